/**
 * The application of streaming.test.ts, in a process of its own so that its memory can be measured.
 * `node streaming-app.js LISTENER_ADDRESS FETCH_ADDRESS GROUP`
 */
import { createServer, serve } from "postern";

const [listenerAddress, fetchAddress, group] = process.argv.slice(2);
const piece = Buffer.alloc(65_536);
const state = { written: 0, received: 0 };
let letGo = () => {};

async function listener(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://x");
  if (pathname === "/state") {
    response.end(JSON.stringify(state));
  } else if (pathname === "/go") {
    letGo();
    response.end();
  } else if (pathname === "/upload") {
    state.received = 0;
    // With ?wait nothing is read until somebody asks for /go.
    if (searchParams.has("wait")) await new Promise((resolve) => (letGo = resolve));
    for await (const chunk of request) state.received += chunk.length;
    response.end(JSON.stringify(state));
  } else {
    state.written = 0;
    const bytes = Number(searchParams.get("bytes"));
    while (state.written < bytes) {
      state.written += piece.length;
      if (!response.write(piece)) await new Promise((resolve) => response.once("drain", resolve));
    }
    response.end();
  }
}

async function answer(request) {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/upload") {
    let received = 0;
    for await (const chunk of request.body) received += chunk.length;
    return Response.json({ received });
  }
  let left = Number(searchParams.get("bytes"));
  return new Response(
    new ReadableStream({
      pull(controller) {
        if (left <= 0) controller.close();
        else controller.enqueue(new Uint8Array(65_536));
        left -= 65_536;
      },
    }),
  );
}

const options = group === undefined ? {} : { group: Number(group) };
const server = await serve(listener, { bind: listenerAddress, ...options });
const fetchServer = await createServer({ fetch: answer }, { bind: fetchAddress, ...options }).listen();
void server.closed.then(() => fetchServer.close());
console.log("ready");
