// A program that serves, and is wrong in the one way that its argument names: `postern conform` must find it.
import { fstatSync, readFileSync, readlinkSync } from "node:fs";
import { serve } from "../../../../dist/index.js";

const wrong = process.argv[2];
const listed = process.env.FCGI_WEB_SERVER_ADDRS;

// Node opens /dev/null in the place of a descriptor that is closed.
if (wrong === "2.2-closed-outputs" && fstatSync(1).isCharacterDevice()) process.exit(1);
if (wrong === "3.2-listed-peer" && listed !== undefined) process.exit(1);
if (wrong === "3.2-unlisted-peer" || wrong === "3.2-unix-peer") delete process.env.FCGI_WEB_SERVER_ADDRS;

// Serves on unix sockets only.
if (wrong === "2.2-descriptor-0") {
  const [, inode] = /\[(\d+)\]/.exec(readlinkSync("/proc/self/fd/0"));
  if (!readFileSync("/proc/self/net/unix", "utf8").includes(` ${inode}`)) process.exit(1);
}

const application = (request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    response.setHeader("Content-Type", "text/plain");
    response.end(`${request.url}\n${Buffer.concat(pieces)}`);
  });
};
await serve(application);
if (wrong === "7-sigterm" || wrong === "7-exit-status") {
  process.removeAllListeners("SIGTERM");
  process.on("SIGTERM", () => {
    if (wrong === "7-exit-status") process.exit(3);
  });
}
