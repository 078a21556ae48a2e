// h3: export the application itself. The runtime of its request has the FastCGI side, and in it the mount.
// Run it:  postern serve app.js --strip-base --bind unix:/run/yourapplication/app.sock
import { createHash } from "node:crypto";
import {
  createEventStream,
  getCookie,
  getQuery,
  getRequestIP,
  getRouterParam,
  H3,
  handleCacheHeaders,
  html,
  redirect,
  setCookie,
} from "h3";
import { fastcgi } from "postern";

const app = new H3();
const mountOf = (event) => event.req.runtime?.fastcgi?.base ?? "";

app.get("/", (event) => html`<p>Hello.</p><a href="${mountOf(event)}/news/1">News</a>\n`);

app.get("/news/:id", (event) => ({
  id: getRouterParam(event, "id", { decode: true }),
  mount: mountOf(event),
  asked: event.req.url,
}));

app.get("/search", (event) => ({ q: getQuery(event).q }));

app.post("/json", async (event) => ({ got: await event.req.json() }));

app.post("/form", async (event) => ({ got: Object.fromEntries(await event.req.formData()) }));

app.put("/files/:name", async (event) => {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of event.req.body) {
    bytes += piece.length;
    hash.update(piece);
  }
  return { name: getRouterParam(event, "name"), bytes, sha256: hash.digest("hex") };
});

app.get("/cookies", (event) => {
  setCookie(event, "seen", "yes", { httpOnly: true });
  setCookie(event, "last", "news");
  return { theme: getCookie(event, "theme") };
});

app.get("/old", (event) => redirect(`${mountOf(event)}/news/1`));

app.get("/numbers", () => {
  let number = 0;
  return new ReadableStream({
    pull(controller) {
      if (number === 20_000) controller.close();
      else controller.enqueue(Buffer.from(`${++number}\n`));
    },
  });
});

// Server-sent events: Postern tells nginx not to hold them back.
app.get("/events", (event) => {
  const events = createEventStream(event);
  const timer = setInterval(() => events.push("still here"), 15_000);
  events.onClosed(() => {
    clearInterval(timer);
    console.log("a listener left");
  });
  events.push("hello");
  return events.send();
});

app.get("/cached", (event) => {
  if (handleCacheHeaders(event, { etag: '"v1"' })) return "";
  return "the same as ever\n";
});

app.get("/whoami", (event) => ({ address: getRequestIP(event) }));

// What FastCGI tells beyond HTTP: this throws where the application runs without Postern.
app.get("/gateway", (event) => ({ server: fastcgi(event.req).gateway.serverSoftware }));

app.get("/fail", () => {
  throw new Error("secret: h3 answers 500 to this");
});

export default app;
