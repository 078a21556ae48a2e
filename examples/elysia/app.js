// Elysia: export the application itself. The runtime of its request has the FastCGI side, and in it the mount.
// Run it:  postern serve app.js --strip-base --bind unix:/run/yourapplication/app.sock
import { createHash } from "node:crypto";
import { Elysia } from "elysia";
import { fastcgi } from "postern";

const mountOf = (request) => request.runtime?.fastcgi?.base ?? "";

const app = new Elysia()
  .get("/", ({ request }) => {
    const page = `<p>Hello.</p><a href="${mountOf(request)}/news/1">News</a>\n`;
    return new Response(page, { headers: { "Content-Type": "text/html; charset=utf-8" } });
  })
  .get("/news/:id", ({ params, request }) => ({ id: params.id, mount: mountOf(request), asked: request.url }))
  .get("/search", ({ query }) => ({ q: query.q }))
  .post("/json", ({ body }) => ({ got: body }))
  .post("/form", ({ body }) => ({ got: body }))
  .put(
    "/files/:name",
    async ({ params, request }) => {
      const hash = createHash("sha256");
      let bytes = 0;
      for await (const piece of request.body) {
        bytes += piece.length;
        hash.update(piece);
      }
      return { name: params.name, bytes, sha256: hash.digest("hex") };
    },
    { parse: "none" },
  )
  .get("/cookies", ({ cookie }) => {
    const theme = cookie.theme.value;
    cookie.seen.set({ value: "yes", httpOnly: true });
    cookie.last.set({ value: "news" });
    return { theme };
  })
  .get("/old", ({ request, set }) => {
    // Elysia's redirect() wants a whole URL on Node.
    set.status = 302;
    set.headers.location = `${mountOf(request)}/news/1`;
  })
  .get("/numbers", function* () {
    for (let number = 1; number <= 20_000; number++) yield `${number}\n`;
  })
  // Server-sent events: Postern tells nginx not to hold them back.
  .get("/events", ({ request, set }) => {
    set.headers["content-type"] = "text/event-stream";
    let timer;
    return new ReadableStream({
      start(controller) {
        controller.enqueue("data: hello\n\n");
        timer = setInterval(() => controller.enqueue("data: still here\n\n"), 15_000);
        request.signal.addEventListener("abort", () => {
          clearInterval(timer);
          console.log("a listener left");
        });
      },
    });
  })
  .get("/cached", ({ headers }) => {
    const answer = { headers: { ETag: '"v1"' } };
    if (headers["if-none-match"] === '"v1"') return new Response(null, { status: 304, ...answer });
    return new Response("the same as ever\n", answer);
  })
  .get("/whoami", ({ request }) => ({ address: request.ip }))
  // What FastCGI tells beyond HTTP: this throws where the application runs without Postern.
  .get("/gateway", ({ request }) => ({ server: fastcgi(request).gateway.serverSoftware }))
  // Elysia's own answer shows the message to the client.
  .onError(({ code, error, status }) => {
    if (code === "NOT_FOUND") return status(404, "There is no such page.\n");
    console.error(error);
    return status(500, "Something went wrong.\n");
  })
  .get("/fail", () => {
    throw new Error("secret: the handler above answers to this");
  });

export default app;
