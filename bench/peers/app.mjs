// One application process of the benchmark: `apps.mjs KIND SOCKET REQUEST_BYTES`. Answers "cpu" over IPC with the CPU
// time it has used, so that the figure is the application's alone.
import http from "node:http";
import net from "node:net";

const [kind, socket, requestBytes] = process.argv.slice(2);
const HELLO = "hello world\n";
const MEBIBYTE = Buffer.alloc(1048576, "x");

process.on("message", () => process.send(process.cpuUsage()));

const listening = () => process.send("ready");

/** The work of every candidate, as a Node listener. */
function listener(req, res) {
  const path = req.url;
  if (path === "/download") {
    res.setHeader("Content-Type", "application/octet-stream");
    res.setHeader("Content-Length", MEBIBYTE.length);
    res.end(MEBIBYTE);
  } else if (path === "/upload") {
    let bytes = 0;
    req.on("data", (piece) => {
      bytes += piece.length;
    });
    req.on("end", () => {
      res.setHeader("Content-Type", "text/plain");
      res.end(`${bytes}\n`);
    });
  } else if (path === "/env") {
    res.setHeader("Content-Type", "application/json");
    res.end(JSON.stringify(req.headers));
  } else {
    res.setHeader("Content-Type", "text/plain");
    res.end(HELLO);
  }
}

/** The same as a fetch application. */
const fetchApp = {
  async fetch(request) {
    const path = request.url.slice(request.url.indexOf("/", 8));
    if (path === "/download") {
      const headers = { "Content-Type": "application/octet-stream", "Content-Length": `${MEBIBYTE.length}` };
      return new Response(MEBIBYTE, { headers });
    }
    if (path === "/upload") {
      let bytes = 0;
      for await (const piece of request.body) bytes += piece.length;
      return new Response(`${bytes}\n`, { headers: { "Content-Type": "text/plain" } });
    }
    if (path === "/env") return Response.json(Object.fromEntries(request.headers));
    return new Response(HELLO, { headers: { "Content-Type": "text/plain" } });
  },
};

/** Nothing parsed, a fixed answer to every REQUEST_BYTES bytes: what Node's sockets cost and nothing else. */
function floor(answer) {
  const size = Number(requestBytes);
  return net.createServer((peer) => {
    let got = 0;
    peer.on("data", (chunk) => {
      for (got += chunk.length; got >= size; got -= size) peer.write(answer);
    });
    peer.on("error", () => {});
  });
}

function fastcgiAnswer(body) {
  const head = "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n";
  const record = (type, content) =>
    Buffer.concat([Buffer.from([1, type, 0, 1, content.length >> 8, content.length & 255, 0, 0]), content]);
  const pieces = [record(6, Buffer.from(head))];
  for (let at = 0; at < body.length; at += 65528) pieces.push(record(6, body.subarray(at, at + 65528)));
  pieces.push(record(6, Buffer.alloc(0)), record(3, Buffer.alloc(8)));
  return Buffer.concat(pieces);
}

switch (kind) {
  case "floor":
    floor(fastcgiAnswer(Buffer.from(HELLO))).listen(socket, listening);
    break;
  case "floor-download":
    floor(fastcgiAnswer(MEBIBYTE)).listen(socket, listening);
    break;
  case "node:http":
    http.createServer({ keepAliveTimeout: 60000 }, listener).listen(socket, listening);
    break;
  case "postern listener":
  case "postern fetch": {
    const { serve } = await import("../dist/index.js");
    await serve(kind === "postern fetch" ? fetchApp : listener, { bind: `unix:${socket}`, signals: false });
    listening();
    break;
  }
  case "worker listener":
  case "worker fetch": {
    // As a worker of the manager serves: watched by its scoreboard, with siblings on the socket.
    const { Server } = await import("../dist/server/server.js");
    const { handlerFor } = await import("../dist/adapters/app.js");
    const { Scoreboard, ScoreboardFile } = await import("../dist/manager/scoreboard.js");
    const handler = handlerFor(kind === "worker fetch" ? fetchApp : listener);
    const observer = new Scoreboard(new ScoreboardFile().fd);
    const hooks = { observer, isShared: true, onBusy() {} };
    await new Server(handler, { bind: `unix:${socket}` }, hooks).listen();
    listening();
    break;
  }
  default:
    throw new Error(`unknown kind ${kind}`);
}
