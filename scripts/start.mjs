/**
 * `npm start [-- app.js] [-- options of postern serve]`: an application in a FastCGI server, the HTTP gateway in
 * front of it, and the address to open. Installs and builds first when that is needed.
 */
import { spawn } from "node:child_process";
import net from "node:net";
import { join, relative } from "node:path";
import { buildIfStale, dependencies, ended, main, root } from "./steps.mjs";

const EXAMPLE = relative(process.cwd(), join(root, "examples", "hello", "app.js"));
const FIRST_PORT = 3000;

await main(async () => {
  await dependencies();
  await buildIfStale();
  const args = process.argv.slice(2);
  const app = args[0] === undefined || args[0].startsWith("-") ? EXAMPLE : args.shift();
  let port;
  if (!args.some((arg) => arg === "--http" || arg.startsWith("--http="))) {
    port = await freePort();
    if (port !== FIRST_PORT) console.log(`port ${FIRST_PORT} is in use, taking ${port}`);
    args.push("--http", `:${port}`);
  }
  const cli = join(root, "dist", "cli", "main.js");
  const child = spawn(process.execPath, [cli, "serve", app, ...args], { stdio: "inherit" });
  // Ctrl-C reaches the child from the terminal already; a signal sent to us alone has to be passed on.
  for (const signal of ["SIGTERM", "SIGHUP", "SIGUSR2"]) process.on(signal, () => child.kill(signal));
  process.on("SIGINT", () => {
    if (!process.stdin.isTTY) child.kill("SIGINT");
  });
  // npm passes a signal on to a shell, which dies of it and leaves us behind.
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) child.kill("SIGTERM");
  }, 250).unref();
  const code = ended(child, process.execPath);
  if (port !== undefined) void announce(port, code);
  return code;
});

/** The first free port from 3000 on; one of the kernel's choice when there are ten applications running already. */
async function freePort() {
  for (let port = FIRST_PORT; port < FIRST_PORT + 10; port++) {
    // Both, because a server on 127.0.0.1 alone does not stop us from listening on all addresses.
    if ((await tryPort(port, "127.0.0.1")) && (await tryPort(port))) return port;
  }
  return tryPort(0);
}

function tryPort(port, host) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once("error", () => resolve(0));
    server.listen({ port, host }, () => {
      const got = server.address().port;
      server.close(() => resolve(got));
    });
  });
}

/** Prints the address once something answers there; silent when the child ends first, which has said why. */
async function announce(port, code) {
  let isOver = false;
  void code.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    if (await accepts(port)) {
      console.log(`\n  Open http://localhost:${port}/   (Ctrl-C stops it)\n`);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: "localhost" });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
