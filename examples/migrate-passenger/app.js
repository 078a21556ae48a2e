// An application as Passenger's documentation has it for applications with more than one server. It runs under both.
const http = require("node:http");

if (typeof PhusionPassenger !== "undefined") {
  PhusionPassenger.configure({ autoInstall: false });
}

const server = http.createServer((req, res) => {
  res.setHeader("Content-Type", "text/plain; charset=utf-8");
  res.end(`${req.socket.remoteAddress} asks for ${req.url}\n`);
});
server.listen("passenger");
