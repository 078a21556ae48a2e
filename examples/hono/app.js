// Hono: export the application itself. The second argument of its fetch is Hono's c.env; there is the mount: c.env.base.
// Run it:  postern serve app.js --strip-base --bind unix:/run/yourapplication/app.sock
import { createHash } from "node:crypto";
import { Hono } from "hono";
import { compress } from "hono/compress";
import { getCookie, setCookie } from "hono/cookie";
import { etag } from "hono/etag";
import { stream, streamSSE } from "hono/streaming";
import { fastcgi } from "postern";

const app = new Hono();
const mountOf = (c) => c.env.base ?? "";

app.get("/", (c) => c.html(`<p>Hello.</p><a href="${mountOf(c)}/news/1">News</a>\n`));

app.get("/news/:id", (c) => c.json({ id: c.req.param("id"), mount: mountOf(c), asked: c.req.url }));

app.get("/search", (c) => c.json({ q: c.req.query("q") }));

app.post("/json", async (c) => c.json({ got: await c.req.json() }));

app.post("/form", async (c) => c.json({ got: await c.req.parseBody() }));

app.put("/files/:name", async (c) => {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of c.req.raw.body) {
    bytes += piece.length;
    hash.update(piece);
  }
  return c.json({ name: c.req.param("name"), bytes, sha256: hash.digest("hex") });
});

app.get("/cookies", (c) => {
  setCookie(c, "seen", "yes", { httpOnly: true });
  setCookie(c, "last", "news");
  return c.json({ theme: getCookie(c, "theme") });
});

app.get("/old", (c) => c.redirect(`${mountOf(c)}/news/1`));

app.get("/numbers", (c) =>
  stream(c, async (output) => {
    for (let number = 1; number <= 20_000; number++) await output.write(`${number}\n`);
  }),
);

// Server-sent events: Postern tells nginx not to hold them back.
app.get("/events", (c) =>
  streamSSE(c, async (events) => {
    events.onAbort(() => console.log("a listener left"));
    while (!events.aborted) {
      await events.writeSSE({ data: "hello" });
      await events.sleep(15_000);
    }
  }),
);

app.get("/cached", etag(), (c) => c.text("the same as ever\n"));

app.get("/long", compress(), (c) => c.text("the same as ever\n".repeat(500)));

// Which address it is, the platform tells: request.ip with Postern, as with srvx.
app.get("/whoami", (c) => c.json({ address: c.req.raw.ip ?? c.env.incoming?.socket.remoteAddress }));

// What FastCGI tells beyond HTTP: this throws where the application runs without Postern.
app.get("/gateway", (c) => c.json({ server: fastcgi(c).gateway.serverSoftware }));

app.get("/fail", () => {
  throw new Error("secret: Hono answers 500 to this, and logs the stack");
});

export default app;
