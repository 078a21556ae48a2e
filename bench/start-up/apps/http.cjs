// The same over node:http, in CommonJS: `http.cjs PATH`.
const http = require("node:http");

http
  .createServer((_req, res) => {
    res.setHeader("Content-Type", "text/plain");
    res.end("hello world\n");
  })
  .listen(process.argv[2]);
