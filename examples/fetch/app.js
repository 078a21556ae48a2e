// A fetch application: a plain object with fetch(request, context), as Hono, h3, Bun and Deno use it.
// Run it:  postern serve app.js --http :8080   and try: curl -d '{"a":1}' http://localhost:8080/echo
export default {
  async fetch(request, context) {
    const { pathname } = new URL(request.url);
    const path = pathname.slice(context.base.length);
    if (path === "/") return Response.json({ url: request.url, mount: context.base, client: request.ip });
    if (path === "/echo" && request.method === "POST") {
      // Streams through: neither side is kept in memory.
      return new Response(request.body, { headers: { "Content-Type": "application/octet-stream" } });
    }
    if (path === "/later") {
      context.waitUntil(record(context));
      return new Response(null, { status: 202 });
    }
    return new Response("There is no such page.\n", { status: 404 });
  },
};

/** Goes on after the client has its answer, as fastcgi_finish_request() lets PHP do. */
async function record(context) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  console.error(`request ${context.id} was recorded after its answer`);
}
