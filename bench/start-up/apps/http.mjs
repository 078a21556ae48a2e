// The same over node:http, in an ES module: `http.mjs PATH`.
import http from "node:http";
import listener from "./listener.mjs";

http.createServer(listener).listen(process.argv[2]);
