/**
 * The application of the Node-semantics suite, in a process of its own: `app.mjs http|fastcgi ADDRESS VARIANT`.
 * Plain JavaScript on Node's built-ins and `postern`, so that every runtime can run it.
 *
 * `/s/NAME?id=N` runs a scenario: a Node listener that notes what it sees. `/go?id=N` lets a waiting one continue.
 * Notes leave on stdout, a line each: `note N JSON`. When it serves it prints `listening PORT-OR-ADDRESS`.
 */
import { EventEmitter } from "node:events";
import { createServer } from "node:http";
import { serverEvents, serverOptions } from "./configured.mjs";
import { body } from "./scenarios/body.mjs";
import { context } from "./scenarios/context.mjs";
import { endings } from "./scenarios/endings.mjs";
import { head } from "./scenarios/head.mjs";
import { headers } from "./scenarios/headers.mjs";
import { request } from "./scenarios/request.mjs";
import { streams } from "./scenarios/streams.mjs";
import { timeouts } from "./scenarios/timeouts.mjs";
import { write } from "./scenarios/write.mjs";

const [how, address, variant = "plain"] = process.argv.slice(2);
const scenarios = {
  ...headers,
  ...head,
  ...write,
  ...endings,
  ...request,
  ...body,
  ...streams,
  ...timeouts,
  ...context,
};

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
  return (value) => process.stdout.write(`note ${id} ${JSON.stringify(value)}\n`);
}

function listener(req, res) {
  const url = new URL(req.url, "http://localhost");
  const id = url.searchParams.get("id");
  if (url.pathname === "/go") {
    gate(id).open();
    res.end("gone\n");
    return undefined;
  }
  const scenario = scenarios[url.pathname.slice("/s/".length)];
  if (scenario === undefined) {
    res.statusCode = 404;
    res.end("no such scenario\n");
    return undefined;
  }
  return scenario(req, res, { note: notes(id), opened: () => gate(id).opened, server, url });
}

// What nobody catches ends the process over node:http; here it is only another thing that is seen.
process.on("uncaughtException", (error) => notes("uncaught")(error.code ?? error.message));

const isConfigured = variant === "configured";
// http.createServer has no such option: it is taken over when an emitter is made.
if (isConfigured) EventEmitter.captureRejections = true;
const server = createServer(isConfigured ? serverOptions : {}, listener);
if (isConfigured) serverEvents(server, notes);

if (how === "http") {
  server.listen(0, "127.0.0.1", () => process.stdout.write(`listening ${server.address().port}\n`));
} else {
  const { serve } = await import("postern");
  // Both forms of an application: the listener on its own, and an http.Server that does not listen.
  await serve(isConfigured ? server : listener, { bind: address, mode: 0o666, drainTimeoutMs: 1000 });
  process.stdout.write(`listening ${address}\n`);
}
