// One of several workers on the socket in descriptor 4: `fair-worker.mjs on|off` (its fairness). A request with "burn" in
// its URL uses 20 ms of a processor; the others nothing.
import { handlerFor } from "../../dist/adapters/app.js";
import { Server } from "../../dist/server/server.js";

const BURN_MS = 20;

function listener(request, response) {
  if (request.url.includes("burn")) {
    const { user, system } = process.cpuUsage();
    for (let spent = 0; spent < BURN_MS * 1000; ) {
      const now = process.cpuUsage();
      spent = now.user + now.system - user - system;
    }
  }
  response.setHeader("Content-Type", "text/plain");
  response.end("hello world\n");
}

const hooks = { isShared: process.argv[2] !== "off" };
const server = new Server(handlerFor(listener), { bind: "fd:4" }, hooks);
await server.listen();
process.on("message", () => process.send(server.load));
process.on("disconnect", () => process.exit());
process.send("ready");
