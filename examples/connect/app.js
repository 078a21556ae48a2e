// connect: middleware, one after the other. Links start with the mount, which the web server tells: req.baseUrl.
// Run it:  postern serve app.js --bind unix:/run/yourapplication/app.sock
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import bodyParser from "body-parser";
import connect from "connect";
import { fastcgi } from "postern";

const app = connect();

/** connect has no routes: a method, a path, and the rest of the path as the parameter. */
function route(method, path, ...handlers) {
  app.use((req, res, next) => {
    const { pathname, searchParams } = new URL(req.url, "http://localhost");
    const isBelow = path.endsWith("/:") && pathname.startsWith(path.slice(0, -1));
    const methods = method === "GET" ? ["GET", "HEAD"] : [method];
    if (!methods.includes(req.method) || (pathname !== path && !isBelow)) return next();
    req.parameter = isBelow ? decodeURIComponent(pathname.slice(path.length - 1)) : undefined;
    req.query = searchParams;
    const run = (at) => handlers[at](req, res, (error) => (error ? next(error) : run(at + 1)));
    run(0);
  });
}

const mountOf = (req) => req.baseUrl ?? "";

function sendJson(res, value) {
  res.setHeader("Content-Type", "application/json");
  res.end(JSON.stringify(value));
}

route("GET", "/", (req, res) => {
  res.setHeader("Content-Type", "text/html; charset=utf-8");
  res.end(`<p>Hello.</p><a href="${mountOf(req)}/news/1">News</a>\n`);
});

route("GET", "/news/:", (req, res) => sendJson(res, { id: req.parameter, mount: mountOf(req) }));

route("GET", "/search", (req, res) => sendJson(res, { q: req.query.get("q") }));

route("POST", "/json", bodyParser.json(), (req, res) => sendJson(res, { got: req.body }));

route("POST", "/form", bodyParser.urlencoded({ extended: false }), (req, res) => {
  sendJson(res, { got: req.body });
});

route("PUT", "/files/:", (req, res) => {
  const hash = createHash("sha256");
  let bytes = 0;
  req.on("data", (piece) => {
    bytes += piece.length;
    hash.update(piece);
  });
  req.on("end", () => sendJson(res, { name: req.parameter, bytes, sha256: hash.digest("hex") }));
});

route("GET", "/cookies", (req, res) => {
  res.setHeader("Set-Cookie", ["seen=yes; HttpOnly", "last=news"]);
  sendJson(res, { theme: /(?:^|; )theme=([^;]*)/.exec(req.headers.cookie ?? "")?.[1] });
});

route("GET", "/old", (req, res) => {
  res.writeHead(302, { Location: `${mountOf(req)}/news/1` });
  res.end();
});

route("GET", "/numbers", (_req, res) => {
  Readable.from(numbers()).pipe(res);
});

function* numbers() {
  for (let number = 1; number <= 20_000; number++) yield `${number}\n`;
}

// Server-sent events: Postern tells nginx not to hold them back.
route("GET", "/events", (_req, res) => {
  res.setHeader("Content-Type", "text/event-stream");
  res.write("data: hello\n\n");
  const timer = setInterval(() => res.write("data: still here\n\n"), 15_000);
  res.on("close", () => {
    clearInterval(timer);
    console.log("a listener left");
  });
});

route("GET", "/cached", (req, res) => {
  res.setHeader("ETag", '"v1"');
  res.statusCode = req.headers["if-none-match"] === '"v1"' ? 304 : 200;
  res.end(res.statusCode === 304 ? undefined : "the same as ever\n");
});

route("GET", "/whoami", (req, res) => sendJson(res, { address: req.socket.remoteAddress }));

// What FastCGI tells beyond HTTP: this throws where the application runs without Postern.
route("GET", "/gateway", (req, res) => sendJson(res, { server: fastcgi(req).gateway.serverSoftware }));

route("GET", "/fail", () => {
  throw new Error("secret: connect answers 500 to this, and logs the stack");
});

export default app;
