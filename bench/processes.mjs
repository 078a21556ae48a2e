// Processes of the benchmark: each is a process group of its own that ends with the benchmark, however that ends.
import { spawn } from "node:child_process";
import net from "node:net";
import { setTimeout as wait } from "node:timers/promises";

const START_MS = 20_000;
const running = new Set();

process.on("exit", () => {
  for (const child of running) kill(child);
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));

/**
 * Starts a program and waits until it accepts connections at `address` (`unix:PATH` or `HOST:PORT`).
 * @returns `{ pid, address, stop() }`
 */
export async function startServer(command, address) {
  const child = spawn(command[0], command.slice(1), {
    detached: true,
    env: { ...process.env, NODE_ENV: "production" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  let failure;
  const listen = (piece) => {
    said = (said + piece).slice(-2000);
  };
  child.stdout.on("data", listen);
  child.stderr.on("data", listen);
  child.once("error", (error) => {
    failure = error.message;
  });
  const ended = new Promise((resolve) => {
    child.once("close", () => {
      running.delete(child);
      failure ??= said.trim().split("\n").at(-1) || "ended at once";
      resolve();
    });
  });
  running.add(child);
  const stop = async () => {
    kill(child);
    await ended;
  };
  for (const deadline = performance.now() + START_MS; !(await accepts(address)); await wait(20)) {
    if (failure === undefined && performance.now() > deadline) failure = "does not listen";
    if (failure === undefined) continue;
    await stop();
    throw new Error(`${command.join(" ")}: ${failure}`);
  }
  return { pid: child.pid, address, stop };
}

export function freePort() {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function kill(child) {
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {} // gone already
}

function accepts(address) {
  const peer = net.connect(
    address.startsWith("unix:")
      ? address.slice(5)
      : { host: "127.0.0.1", port: Number(address.split(":").at(-1)) },
  );
  return new Promise((resolve) => {
    peer.once("connect", () => {
      peer.destroy();
      resolve(true);
    });
    peer.once("error", () => resolve(false));
  });
}
