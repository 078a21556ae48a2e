// A program at protocol level: it sees the parameters as FastCGI has them and writes its own header block.
// Run it:  postern serve app.js --bind 127.0.0.1:9000
export default {
  raw(request, response) {
    response.stderr.write(`asked for ${request.url}\n`); // to the web server's error log
    response.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" });
    response.stdout.write(`role ${request.role}, mount ${JSON.stringify(request.base)}\n`);
    for (const [name, value] of Object.entries(request.params)) response.stdout.write(`${name}=${value}\n`);
    response.end();
  },
};
