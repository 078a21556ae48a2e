// Koa: export the application itself. Its context has the mount, which the web server tells, as ctx.req.baseUrl.
// Run it:  postern serve app.js --bind unix:/run/yourapplication/app.sock
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { bodyParser } from "@koa/bodyparser";
import Router from "@koa/router";
import Koa from "koa";
import { fastcgi } from "postern";

const app = new Koa();
const router = new Router();
const mountOf = (ctx) => ctx.req.baseUrl ?? "";

router.get("/", (ctx) => {
  ctx.type = "html";
  ctx.body = `<p>You are ${ctx.ip}.</p><a href="${mountOf(ctx)}/news/1">News</a>\n`;
});

router.get("/news/:id", (ctx) => {
  ctx.body = { id: ctx.params.id, path: ctx.path, mount: mountOf(ctx), asked: ctx.originalUrl };
});

router.get("/search", (ctx) => {
  ctx.body = { q: ctx.query.q };
});

router.post("/json", bodyParser(), (ctx) => {
  ctx.body = { got: ctx.request.body };
});

router.post("/form", bodyParser(), (ctx) => {
  ctx.body = { got: ctx.request.body };
});

router.put("/files/:name", async (ctx) => {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of ctx.req) {
    bytes += piece.length;
    hash.update(piece);
  }
  ctx.body = { name: ctx.params.name, bytes, sha256: hash.digest("hex") };
});

router.get("/cookies", (ctx) => {
  ctx.cookies.set("seen", "yes");
  ctx.cookies.set("last", "news", { httpOnly: false });
  ctx.body = { theme: ctx.cookies.get("theme") };
});

router.get("/old", (ctx) => {
  ctx.redirect(`${mountOf(ctx)}/news/1`);
});

router.get("/numbers", (ctx) => {
  ctx.type = "text";
  ctx.body = Readable.from(numbers(), { objectMode: false });
});

function* numbers() {
  for (let number = 1; number <= 20_000; number++) yield `${number}\n`;
}

// Server-sent events: Postern tells nginx not to hold them back.
router.get("/events", (ctx) => {
  const stream = new Readable({ read() {} });
  stream.push("data: hello\n\n");
  const timer = setInterval(() => stream.push("data: still here\n\n"), 15_000);
  stream.on("close", () => {
    clearInterval(timer);
    console.log("a listener left");
  });
  ctx.type = "text/event-stream";
  ctx.body = stream;
});

router.get("/cached", (ctx) => {
  ctx.body = "the same as ever\n";
  ctx.etag = "v1";
  if (ctx.fresh) ctx.status = 304;
});

router.get("/whoami", (ctx) => {
  ctx.body = { address: ctx.ip };
});

// What FastCGI tells beyond HTTP: this throws where the application runs without Postern.
router.get("/gateway", (ctx) => {
  ctx.body = { server: fastcgi(ctx).gateway.serverSoftware };
});

router.get("/fail", () => {
  throw new Error("secret: Koa answers 500 to this, and logs the stack");
});

app.use(router.routes()).use(router.allowedMethods());

export default app;
