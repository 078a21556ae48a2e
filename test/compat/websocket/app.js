/**
 * The application of the WebSocket tests: one http.Server with `ws` and Socket.IO on it, as their own guides have it.
 * `postern serve app.js` serves what is exported; `node app.js --listen` lets it listen by itself.
 *
 * What it observes is kept under the `id` of a request and told by `/observed?id=…`.
 */
import { createServer } from "node:http";
import { Server as SocketServer } from "socket.io";
import { WebSocketServer } from "ws";

const observed = new Map();
const sockets = new Map();
const sentBytes = new Map();

function note(id, what) {
  if (id === null) return;
  observed.set(id, [...(observed.get(id) ?? []), what]);
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const id = searchParams.get("id");
  switch (pathname) {
    case "/observed":
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(observed.get(id) ?? []));
      return;
    case "/pid":
      response.end(String(process.pid));
      return;
    case "/never":
      return;
    case "/sent":
      response.end(String(sentBytes.get(id) ?? 0));
      return;
    case "/report":
      request.setEncoding("utf8").on("data", (text) => note(id, text));
      request.on("end", () => response.end());
      return;
    case "/resume":
      sockets.get(id)?.resume();
      response.end("resumed");
      return;
    case "/page":
      response.setHeader("content-type", "text/html");
      response.end(page());
      return;
    default:
      response.end(`ordinary ${request.method} ${request.url} ${request.headers.upgrade ?? "-"}`);
  }
});

// ws, in the way for several paths: no server of its own, and who may come in is decided here.
const plain = new WebSocketServer({
  noServer: true,
  maxPayload: 64 * 1024 * 1024,
  handleProtocols: (offered) => (offered.has("chat") ? "chat" : false),
});
const deflating = new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 0 } });

plain.on("connection", (socket, request) =>
  converse(socket, new URL(request.url, "http://localhost"), request),
);
deflating.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});

function converse(socket, { pathname, searchParams }, request) {
  const id = searchParams.get("id");
  if (id !== null) sockets.set(id, socket);
  socket.on("error", (error) => note(id, `error ${error.code}`));
  socket.on("close", (code, reason) => note(id, `close ${code} ${reason}`));
  socket.on("ping", (data) => note(id, `ping ${data}`));
  socket.on("pong", (data) => note(id, `pong ${data}`));
  switch (pathname) {
    case "/echo":
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
      return;
    case "/ws":
      socket.send(`you asked for ${request.url}`);
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
      return;
    case "/born": // when this process was
      socket.send(String(performance.timeOrigin));
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
      return;
    case "/hello":
      socket.send(`hello from ${request.socket.remoteAddress}, you asked for ${request.url}`);
      return;
    case "/close":
      socket.close(Number(searchParams.get("code")), searchParams.get("reason") ?? "");
      return;
    case "/terminate":
      socket.terminate();
      return;
    case "/ping":
      socket.ping("are you there");
      return;
    case "/flood":
      flood(socket, Number(searchParams.get("bytes")), id);
      return;
    case "/lazy":
      socket.pause();
      note(id, "paused");
      socket.on("message", (data) => {
        note(id, `message ${data.length}`);
        if (data.length === 3) socket.close(1000, "all read");
      });
      return;
    case "/throw":
      socket.on("message", () => {
        throw new Error("the application fails");
      });
      return;
    case "/crash":
      socket.on("message", () => {
        setImmediate(() => {
          throw new Error("the application fails");
        });
      });
      return;
    case "/silent":
      socket.on("message", (data) => note(id, `message ${data}`));
  }
}

/** As fast as the client takes it, and no faster. */
function flood(socket, bytes, id) {
  const piece = Buffer.alloc(65536, "x");
  let most = 0;
  let sent = 0;
  const next = () => {
    if (socket.readyState !== socket.OPEN) return;
    most = Math.max(most, socket.bufferedAmount);
    if (sent >= bytes) {
      note(id, `most buffered ${most}`);
      socket.close(1000);
      return;
    }
    sent += piece.length;
    sentBytes.set(id, sent);
    socket.send(piece, next);
  };
  next();
}

server.on("upgrade", (request, socket, head) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const id = searchParams.get("id");
  // Socket.IO has a listener of its own.
  if (pathname.startsWith("/socket.io/")) return;
  switch (pathname) {
    case "/private":
      socket.end(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 9\r\nConnection: close\r\n\r\nwho? who?",
      );
      return;
    case "/chunked-refusal":
      socket.write(
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n",
      );
      socket.end("3\r\nnot\r\n4\r\n you\r\n0\r\n\r\n");
      return;
    case "/destroyed":
      socket.destroy();
      return;
    case "/raw":
      raw(request, socket, head, id);
      return;
    case "/late":
      // The decision takes a while, as one that asks a database.
      setTimeout(() => plain.handleUpgrade(request, socket, head, (ws) => ws.send("at last")), 200);
      return;
    case "/deflate":
      deflating.handleUpgrade(request, socket, head, (ws) => deflating.emit("connection", ws, request));
      return;
    default:
      plain.handleUpgrade(request, socket, head, (ws) => plain.emit("connection", ws, request));
  }
});

/** A protocol of our own: what comes goes back, `quit` ends it, `destroy` ends it at once. */
function raw(request, socket, head, id) {
  note(id, `head ${head.length}`);
  note(id, `request ${request.method} complete ${request.complete} upgrade ${request.upgrade}`);
  note(id, `same socket ${request.socket === socket}`);
  note(id, `socket ${typeof socket.remoteAddress} ${socket.readyState}`);
  socket.setNoDelay(true).setKeepAlive(true).ref().unref().ref();
  for (const event of ["end", "finish", "close"]) socket.on(event, () => note(id, event));
  socket.on("error", (error) => note(id, `error ${error.code ?? error.message}`));
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\nX-Own: yes\r\n\r\nwelcome\n",
  );
  socket.on("data", (data) => {
    const text = String(data);
    if (text === "quit") socket.end("bye\n");
    else if (text === "destroy") socket.destroy();
    else if (text === "fail") socket.destroy(new Error("of my own"));
    else if (text === "idle") socket.setTimeout(30, () => socket.end("timed out\n"));
    else if (text === "cork") {
      socket.cork();
      for (const word of ["one ", "two ", "three\n"]) socket.write(word);
      process.nextTick(() => socket.uncork());
    } else if (text === "counts") socket.write(`read ${socket.bytesRead} written ${socket.bytesWritten}\n`);
    else socket.write(data);
  });
  socket.on("end", () => socket.end());
}

const io = new SocketServer(server, { destroyUpgrade: false, maxHttpBufferSize: 10_000_000 });
io.on("connection", (socket) => {
  socket.emit("transport", socket.conn.transport.name);
  socket.conn.on("upgrade", () => socket.emit("upgraded", socket.conn.transport.name));
  socket.on("echo", (...args) => {
    const reply = args.pop();
    reply(...args);
  });
  socket.on("join", (room, done) => {
    socket.join(room);
    done();
  });
  socket.on("tell", (room, text) => io.to(room).emit("told", text));
  socket.on("leave", () => socket.disconnect(true));
});

/** What a browser runs: the page goes where it came from, and reports how it went. */
function page() {
  return `<!doctype html><title>a browser</title><script>
const socket = new WebSocket(location.href.replace(/^http/, "ws").replace(/\\/page.*/, "/echo"), ["chat"]);
socket.binaryType = "arraybuffer";
const got = [];
socket.onopen = () => {
  got.push("open " + socket.protocol);
  socket.send("h\\u00e9llo");
  socket.send(new Uint8Array(100000).fill(7));
};
socket.onmessage = ({ data }) => {
  got.push(typeof data === "string" ? data : "binary " + data.byteLength + " " + new Uint8Array(data)[99999]);
  if (got.length === 3) socket.close(4002, "enough");
};
socket.onclose = ({ code, reason, wasClean }) => {
  const body = [...got, code, reason, wasClean].join("|");
  fetch(location.href.replace("/page", "/report"), { method: "POST", body });
};
</script>`;
}

if (process.argv.includes("--listen")) {
  server.listen(0, "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
}

export default server;
