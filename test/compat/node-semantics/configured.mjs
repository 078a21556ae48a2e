/** The variant of the application that is an `http.Server` with options, classes and listeners of its own. */
import { IncomingMessage, ServerResponse } from "node:http";

class OwnRequest extends IncomingMessage {
  get shout() {
    return this.url.toUpperCase();
  }
}

class OwnResponse extends ServerResponse {
  sayHello() {
    this.setHeader("X-Class", "own");
    this.end("hello\n");
  }
}

export const serverOptions = {
  IncomingMessage: OwnRequest,
  ServerResponse: OwnResponse,
  joinDuplicateHeaders: true,
  rejectNonStandardBodyWrites: true,
  uniqueHeaders: ["X-Unique"],
  highWaterMark: 8192,
};

let connections = 0;

/** How many connections the server has seen. */
export function connectionCount() {
  return connections;
}

/** Events of the server, noted under the id of the request they are about. */
export function serverEvents(server, notes) {
  const noteFor = (req) => notes(new URL(req.url, "http://localhost").searchParams.get("id"));
  server.on("checkContinue", (req, res) => {
    noteFor(req)("server checkContinue");
    res.writeContinue();
    server.emit("request", req, res);
  });
  server.on("checkExpectation", (req, res) => {
    noteFor(req)(`server checkExpectation ${req.headers.expect}`);
    res.writeHead(417, { "X-Expectation": "refused" });
    res.end("no\n");
  });
  server.on("request", (req) => {
    if (req.url.includes("second-listener")) noteFor(req)("second listener");
  });
  server.on("connection", () => {
    connections++;
  });
  server.on("timeout", (socket) => {
    notes("server")("timeout");
    socket.destroy();
  });
}
