// An application made with http.createServer, unchanged but for the last line: it must not listen, Postern does that.
// Run it:  postern serve app.js --bind unix:/run/yourapplication/app.sock
import http from "node:http";

const server = http.createServer();

server.on("request", (req, res) => {
  res.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" });
  res.end(`${req.method} ${req.url} from ${req.socket.remoteAddress}\n`);
});

export default server; // was: server.listen(3000)
