// A FastCGI filter: it gets a file (FCGI_DATA) with each request and answers with a changed one, here in capitals.
// No web server in use today sends the filter role; the client of postern/client does.
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";

export default {
  async filter(request, response) {
    response.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" });
    const capitals = new Transform({
      transform: (chunk, _encoding, done) => done(null, chunk.toString("latin1").toUpperCase()),
    });
    await pipeline(request.data, capitals, response.stdout);
  },
};
