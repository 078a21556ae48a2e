/**
 * The application of the Fetch-semantics suite, in a process of its own: `app.mjs srvx|postern ADDRESS [OPTIONS]`.
 * Plain JavaScript on web standards, so that every runtime can run it.
 *
 * `/s/NAME?id=N` runs a scenario: a fetch function that notes what it sees. `/go?id=N` lets a waiting one continue.
 * Notes leave on stdout, a line each: `note N JSON`. When it serves it prints `listening PORT-OR-ADDRESS`.
 */
import process from "node:process";
import { body } from "./scenarios/body.mjs";
import { lifetime } from "./scenarios/lifetime.mjs";
import { request } from "./scenarios/request.mjs";
import { response } from "./scenarios/response.mjs";
import { streams } from "./scenarios/streams.mjs";

const [how, address, options = "{}"] = process.argv.slice(2);
const scenarios = { ...request, ...body, ...response, ...streams, ...lifetime };

/** What waits for `/go`, by id. Either may come first. */
const gates = new Map();
function gate(id) {
  let found = gates.get(id);
  if (found === undefined) {
    found = {};
    found.opened = new Promise((resolve) => {
      found.open = resolve;
    });
    gates.set(id, found);
  }
  return found;
}

function notes(id) {
  return (value) => void process.stdout.write(`note ${id} ${JSON.stringify(value)}\n`);
}

function answer(request, context) {
  const url = new URL(request.url);
  const id = url.searchParams.get("id");
  if (url.pathname.endsWith("/go")) {
    gate(id).open();
    return new Response("gone\n");
  }
  const scenario = scenarios[url.pathname.slice(url.pathname.indexOf("/s/") + "/s/".length)];
  if (scenario === undefined) return new Response("no such scenario\n", { status: 404 });
  return scenario(request, { note: notes(id), opened: () => gate(id).opened, url, context });
}

// What nobody catches ends the process; here it is only another thing that is seen.
process.on("unhandledRejection", (error) => notes("unhandled")(String(error)));

if (how === "srvx") {
  const { patchGlobalRequest, serve } = await import("srvx/node");
  patchGlobalRequest(); // `new Request(request)`, which Postern sees to by itself
  const server = serve({
    fetch: answer,
    port: 0,
    hostname: "127.0.0.1",
    silent: true,
    gracefulShutdown: false,
  });
  await server.ready();
  process.stdout.write(`listening ${new URL(server.url).port}\n`);
} else {
  const { serve } = await import("postern");
  const server = await serve(
    { fetch: answer },
    { bind: address, mode: 0o666, drainTimeoutMs: 1000, ...JSON.parse(options) },
  );
  process.stdout.write(`listening ${server.addresses[0]}\n`);
}
