// Fastify: export the instance itself. Postern awaits app.ready(), so a plugin that fails stops the start.
// Run it:  postern serve app.js --bind unix:/run/yourapplication/app.sock
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import cookie from "@fastify/cookie";
import formbody from "@fastify/formbody";
import Fastify from "fastify";
import { fastcgi } from "postern";

const app = Fastify();
app.register(cookie);
app.register(formbody);

/** The mount, which the web server tells. */
const mountOf = (request) => request.raw.baseUrl ?? "";

app.get("/", (request, reply) => {
  reply.type("text/html");
  return `<p>You are ${request.ip}.</p><a href="${mountOf(request)}/news/1">News</a>\n`;
});

app.get("/news/:id", async (request) => ({ id: request.params.id, mount: mountOf(request) }));

app.get("/search", async (request) => ({ q: request.query.q }));

app.post("/json", async (request) => ({ got: request.body }));

app.post("/form", async (request) => ({ got: request.body }));

app.addContentTypeParser("application/octet-stream", (_request, payload, done) => done(null, payload));

app.put("/files/:name", async (request) => {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of request.body) {
    bytes += piece.length;
    hash.update(piece);
  }
  return { name: request.params.name, bytes, sha256: hash.digest("hex") };
});

app.get("/cookies", async (request, reply) => {
  reply.setCookie("seen", "yes", { httpOnly: true }).setCookie("last", "news");
  return { theme: request.cookies.theme };
});

app.get("/old", (request, reply) => reply.redirect(`${mountOf(request)}/news/1`));

app.get("/numbers", (_request, reply) => {
  reply.type("text/plain");
  return Readable.from(numbers(), { objectMode: false });
});

function* numbers() {
  for (let number = 1; number <= 20_000; number++) yield `${number}\n`;
}

// Server-sent events: Postern tells nginx not to hold them back.
app.get("/events", (_request, reply) => {
  const stream = new Readable({ read() {} });
  stream.push("data: hello\n\n");
  const timer = setInterval(() => stream.push("data: still here\n\n"), 15_000);
  stream.on("close", () => {
    clearInterval(timer);
    console.log("a listener left");
  });
  reply.type("text/event-stream");
  return stream;
});

app.get("/cached", async (request, reply) => {
  reply.header("ETag", '"v1"');
  if (request.headers["if-none-match"] === '"v1"') return reply.code(304).send();
  return "the same as ever\n";
});

app.get("/whoami", async (request) => ({ address: request.ip }));

// What FastCGI tells beyond HTTP: this throws where the application runs without Postern.
app.get("/gateway", async (request) => ({ server: fastcgi(request).gateway.serverSoftware }));

// Fastify's own handler shows the message to the client.
app.setErrorHandler((error, _request, reply) => {
  console.error(error);
  return reply.code(error.statusCode ?? 500).send({ error: "something went wrong" });
});

app.get("/fail", async () => {
  throw new Error("secret: the handler above answers to this");
});

export default app;
