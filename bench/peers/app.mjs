// One application process of the benchmark in JavaScript: `app.mjs KIND PATH|PORT [REQUEST_BYTES]`. Every kind does the
// same work: /hello, /download (1 MiB), /upload (counts the bytes), /env (the headers as JSON).
import http from "node:http";
import { createRequire } from "node:module";
import net from "node:net";

const [kind, where, requestBytes] = process.argv.slice(2);
const port = /^\d+$/.test(where) ? Number(where) : undefined;
const bind = port === undefined ? `unix:${where}` : `127.0.0.1:${port}`;
/** The arguments of a plain `listen`. */
const place = port === undefined ? [where] : [port, "127.0.0.1"];
const HELLO = "hello world\n";
const MEBIBYTE = Buffer.alloc(1048576, "x");

/** The work as a Node listener. */
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

/** An upload is read in one go, as most applications do. */
const wholeApp = {
  async fetch(request) {
    const { byteLength } = await request.arrayBuffer();
    return new Response(`${byteLength}\n`, { headers: { "Content-Type": "text/plain" } });
  },
};

async function expressApp() {
  const { default: express } = await import("express");
  const app = express();
  app.get("/hello", (_req, res) => {
    res.type("text/plain").send(HELLO);
  });
  return app;
}

async function fastifyApp() {
  const { default: fastify } = await import("fastify");
  const app = fastify();
  app.get("/hello", async (_request, reply) => {
    reply.type("text/plain");
    return HELLO;
  });
  return app;
}

async function honoApp() {
  const { Hono } = await import("hono");
  const app = new Hono();
  app.get("/hello", (c) => c.text(HELLO));
  return app;
}

/** Nothing parsed, a fixed answer to every REQUEST_BYTES bytes: what Node's sockets cost and nothing else. */
function floor() {
  const answer = fastcgiAnswer(Buffer.from(HELLO));
  const size = Number(requestBytes);
  net
    .createServer((peer) => {
      let got = 0;
      peer.on("data", (chunk) => {
        for (got += chunk.length; got >= size; got -= size) peer.write(answer);
      });
      peer.on("error", () => {});
    })
    .listen(...place);
}

function fastcgiAnswer(body) {
  const head = "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n";
  const record = (type, content) =>
    Buffer.concat([Buffer.from([1, type, 0, 1, content.length >> 8, content.length & 255, 0, 0]), content]);
  const stdout = record(6, Buffer.from(head + body));
  return Buffer.concat([stdout, record(6, Buffer.alloc(0)), record(3, Buffer.alloc(8))]);
}

async function postern(app) {
  const { serve } = await import("../../dist/index.js");
  await serve(app, { bind, signals: false });
}

/** As a worker of the manager serves: watched by its scoreboard, with siblings on the socket. */
async function worker(app) {
  const { Server } = await import("../../dist/server/server.js");
  const { handlerFor } = await import("../../dist/adapters/app.js");
  const { Scoreboard, ScoreboardFile } = await import("../../dist/manager/scoreboard.js");
  const observer = new Scoreboard(new ScoreboardFile().fd);
  const hooks = { observer, isShared: true, onBusy() {} };
  await new Server(handlerFor(app), { bind }, hooks).listen();
}

function plainHttp(app) {
  http.createServer({ keepAliveTimeout: 60000 }, app).listen(...place);
}

const KINDS = {
  floor,
  "postern fetch": () => postern(fetchApp),
  "postern fetch, whole body": () => postern(wholeApp),
  "postern listener": () => postern(listener),
  "postern express": async () => postern(await expressApp()),
  "postern fastify": async () => postern(await fastifyApp()),
  "postern hono": async () => postern(await honoApp()),
  "worker fetch": () => worker(fetchApp),
  "worker listener": () => worker(listener),
  "node:http": () => plainHttp(listener),
  "node:http express": async () => plainHttp(await expressApp()),
  async "node:http fastify"() {
    const app = await fastifyApp();
    await app.listen(port === undefined ? { path: where } : { port, host: "127.0.0.1" });
  },
  async "node:http hono"() {
    const { getRequestListener } = await import("@hono/node-server");
    const app = await honoApp();
    plainHttp(getRequestListener(app.fetch));
  },
  "node-fastcgi"() {
    createRequire(import.meta.url)("node-fastcgi")
      .createServer(listener)
      .listen(...place);
  },
};
await KINDS[kind]();
