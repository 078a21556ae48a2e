/** One application made of the libraries that most applications are made of, each used as its own documentation shows. */
import { createReadStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import bodyParser from "body-parser";
import busboy from "busboy";
import compression from "compression";
import timeout from "connect-timeout";
import cookieParser from "cookie-parser";
import cookieSession from "cookie-session";
import cors from "cors";
import express from "express";
import { rateLimit } from "express-rate-limit";
import session from "express-session";
import formidable from "formidable";
import helmet from "helmet";
import { createProxyServer } from "http-proxy-3";
import { createProxyMiddleware } from "http-proxy-middleware";
import methodOverride from "method-override";
import morgan from "morgan";
import multer from "multer";
import onFinished from "on-finished";
import onHeaders from "on-headers";
import passport from "passport";
import { Strategy as LocalStrategy } from "passport-local";
import pinoHttp from "pino-http";
import getRawBody from "raw-body";
import responseTime from "response-time";
import send from "send";
import serveIndex from "serve-index";
import serveStatic from "serve-static";
import sirv from "sirv";
import { fetch as undiciFetch } from "undici";
import vhost from "vhost";

const FILES = new URL("files/", import.meta.url).pathname;
/** Another HTTP server, for what passes requests on. */
const UPSTREAM = process.env.UPSTREAM ?? "http://127.0.0.1:9";

const app = express();
export default app;

app.use(
  morgan("morgan :method :url :status :remote-addr :res[content-length] :response-time ms :http-version"),
);
app.use(responseTime());
app.use(helmet());
app.use(cors({ origin: "https://example.org", credentials: true }));
app.use((_req, res, next) => {
  onHeaders(res, () => res.setHeader("X-Late", String(res.statusCode)));
  next();
});

const admin = express();
admin.get("/vhost", (req, res) => res.send(`admin of ${req.vhost.hostname}`));
app.use(vhost("admin.example.com", admin));

// Bodies

app.post("/json", bodyParser.json({ limit: "100kb" }), (req, res) => res.json({ got: req.body }));
app.post("/form", bodyParser.urlencoded({ extended: true }), (req, res) => res.json({ got: req.body }));
app.post("/text", bodyParser.text({ defaultCharset: "utf-8" }), (req, res) => res.json({ got: req.body }));
app.post("/bytes", bodyParser.raw({ limit: "10mb" }), (req, res) => res.json({ bytes: req.body.length }));
app.post("/raw-body", async (req, res, next) => {
  try {
    const body = await getRawBody(req, {
      length: req.headers["content-length"],
      limit: "1mb",
      encoding: true,
    });
    res.json({ characters: body.length });
  } catch (error) {
    next(error);
  }
});

const memory = multer({ storage: multer.memoryStorage(), limits: { fileSize: 6_000_000 } });
app.post("/upload/memory", memory.single("file"), (req, res) => {
  const { originalname, mimetype, size } = req.file;
  res.json({ originalname, mimetype, size, field: req.body.title });
});
app.post("/upload/disk", async (req, res, next) => {
  const dest = await mkdtemp(join(tmpdir(), "libraries-"));
  const gone = () => rm(dest, { recursive: true, force: true });
  multer({ dest }).array("file", 3)(req, res, async (error) => {
    if (error) {
      console.log(`upload failed: ${error.message}`);
      await gone();
      next(error);
      return;
    }
    const sizes = await Promise.all(req.files.map(async ({ path }) => (await stat(path)).size));
    await gone();
    res.json({ sizes });
  });
});
app.post("/upload/limited", multer({ limits: { fileSize: 1000 } }).single("file"), (_req, res) =>
  res.json({}),
);
app.post("/upload/busboy", (req, res) => {
  const parts = [];
  const parser = busboy({ headers: req.headers });
  parser.on("file", (name, file, { filename }) => {
    let bytes = 0;
    file.on("data", (piece) => (bytes += piece.length));
    file.on("end", () => parts.push({ name, filename, bytes }));
  });
  parser.on("field", (name, value) => parts.push({ name, value }));
  parser.on("close", () => res.json({ parts }));
  req.pipe(parser);
});
app.post("/upload/formidable", async (req, res, next) => {
  const form = formidable({
    fileWriteStreamHandler: () => new Writable({ write: (_piece, _encoding, done) => done() }),
  });
  try {
    const [fields, files] = await form.parse(req);
    res.json({
      fields,
      names: Object.keys(files),
      sizes: Object.values(files)
        .flat()
        .map(({ size }) => size),
    });
  } catch (error) {
    next(error);
  }
});

// Answers

app.get("/compressed", compression(), (_req, res) => res.type("text").send("much the same\n".repeat(2000)));
app.get("/events", compression(), (req, res) => {
  res.writeHead(200, { "Content-Type": "text/event-stream" });
  res.write("data: hello\n\n");
  res.flush();
  req.on("close", () => console.log("a listener left"));
});
app.use("/send", (req, res) => {
  send(req, req.path, { root: FILES, maxAge: "1h" })
    .on("directory", () => res.redirect(301, `${req.originalUrl}/`))
    .on("error", (error) => res.status(error.status ?? 500).end(error.message))
    .pipe(res);
});
app.use("/public", serveStatic(FILES, { index: false }));
app.use("/sirv", sirv(FILES, { etag: true }));
app.use("/index", serveIndex(FILES));
app.get("/pipeline", async (_req, res) => {
  res.type("text");
  await pipeline(createReadStream(join(FILES, "hello.txt")), res);
});
app.get("/pipeline/broken", async (_req, res) => {
  res.setHeader("Content-Type", "text/plain");
  async function* half() {
    yield "the first half";
    await new Promise((resolve) => setImmediate(resolve));
    throw new Error("no second half");
  }
  await pipeline(Readable.from(half()), res).catch((error) => console.log(`pipeline: ${error.message}`));
});
app.get("/finished/whole", (req, res) => {
  watch("whole", req, res);
  res.send("whole");
});
app.get("/finished/never", (req, res) => {
  watch("never", req, res);
  res.set("X-Accel-Buffering", "no").type("text").write("and then");
});
app.post("/finished/upload", (req, res) => {
  watch("upload", req, res);
  req.resume();
});

function watch(name, req, res) {
  const before = onFinished.isFinished(res);
  onFinished(res, (error) => {
    const after = onFinished.isFinished(res);
    console.log(
      `finished response ${name}: ${before} ${after} ${error?.code ?? "fine"} whole=${res.writableFinished}`,
    );
  });
  onFinished(req, (error) =>
    console.log(`finished request ${name}: ${error?.code ?? "fine"} complete=${req.complete}`),
  );
}

app.get("/pino", (req, res) => {
  pinoHttp({ serializers: { req: ({ method, url, remoteAddress }) => ({ method, url, remoteAddress }) } })(
    req,
    res,
  );
  req.log.info("from the handler");
  res.send("logged");
});

// Who is asking

const visits = session({ secret: "s", name: "sid", resave: false, saveUninitialized: true });
app.get("/session", visits, (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1;
  res.json({ visits: req.session.visits });
});
const secure = session({
  secret: "s",
  name: "ssid",
  resave: false,
  saveUninitialized: true,
  cookie: { secure: true },
});
app.get("/secure", secure, (req, res) => {
  req.session.seen = true;
  res.json({ secure: req.secure, protocol: req.protocol });
});
app.get("/cookie-session", cookieSession({ name: "cs", keys: ["k"] }), (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1;
  res.json({ visits: req.session.visits });
});
app.get("/cookies", cookieParser("secret"), (req, res) => {
  res.cookie("plain", "1").cookie("signed", "x", { signed: true });
  res.json({ cookies: req.cookies, signed: req.signedCookies });
});

passport.use(
  new LocalStrategy((name, password, done) => done(null, password === "right" ? { name } : false)),
);
passport.serializeUser(({ name }, done) => done(null, name));
passport.deserializeUser((name, done) => done(null, { name }));
const people = [
  session({ secret: "p", name: "pid", resave: false, saveUninitialized: false }),
  passport.session(),
];
app.post(
  "/login",
  people,
  bodyParser.urlencoded({ extended: false }),
  passport.authenticate("local"),
  (req, res) => res.json(req.user),
);
app.get("/me", people, (req, res) => res.json({ user: req.user ?? null, in: req.isAuthenticated() }));
app.post("/logout", people, (req, res, next) =>
  req.logout((error) => (error ? next(error) : res.json({ out: true }))),
);

app.use(
  "/limited",
  rateLimit({ windowMs: 60_000, limit: 2, standardHeaders: "draft-8", legacyHeaders: false }),
  (req, res) => res.send(req.ip),
);

// Other ways of answering

app.use("/override", methodOverride("X-HTTP-Method-Override"), (req, res) =>
  res.send(`${req.originalMethod} as ${req.method}`),
);
app.get("/slow", timeout("100ms"), (req) => {
  req.on("timeout", () => console.log("timed out"));
});
app.use("/middleware", createProxyMiddleware({ target: UPSTREAM, changeOrigin: true, xfwd: true }));
const proxy = createProxyServer({ target: UPSTREAM });
proxy.on("error", (error, _req, res) => res.status(502).end(error.code));
app.use("/proxy", (req, res) => proxy.web(req, res));
app.all("/undici", async (req, res) => {
  const init = { method: req.method, headers: { "x-by": "undici" }, duplex: "half" };
  const answer = await undiciFetch(
    `${UPSTREAM}/echo`,
    req.method === "GET" ? init : { ...init, body: Readable.toWeb(req) },
  );
  res.status(answer.status).type(answer.headers.get("content-type"));
  await pipeline(Readable.fromWeb(answer.body), res);
});

// Express knows an error handler by its four parameters.
app.use((error, _req, res, _next) => {
  res.status(error.status ?? (error.code === "LIMIT_FILE_SIZE" ? 413 : 500));
  res.json({ error: error.type ?? error.code ?? error.message });
});
