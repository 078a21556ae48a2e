const fcgi = require("node-fastcgi");
const { handler } = require("./handler.js");

// node before.js /run/yourapplication/app.sock; without an address on the inherited socket
const server = fcgi.createServer(handler);
if (process.argv[2]) server.listen(process.argv[2], () => console.error("listening"));
else if (fcgi.isService()) server.listen();
else console.error("start me with an address, or from a web server");
