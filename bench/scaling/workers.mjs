// CPU time per request of workers that share a listening socket, at saturation: of row 20 and of the scaling.
import { spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { holdSockets } from "../../dist/server/held-socket.js";
import { median } from "../bench.mjs";
import { runLoad } from "../load/load.mjs";
import { fastcgiRequest } from "../request-bytes.mjs";

const WORKER = new URL("../goals/fair-worker.mjs", import.meta.url).pathname;
const CONNECTIONS = 16;

/** @returns `{ figures: number of workers → median CPU µs per request, minima: the same of the least }` */
export async function workersOverOne({ node, folder, seconds }, rounds) {
  const { head, end } = fastcgiRequest({ isKept: false });
  const request = join(folder, "hello-close");
  writeFileSync(request, Buffer.concat([head, end]));
  const groups = [];
  try {
    for (const count of [1, 2])
      groups.push(await startGroup(node, join(folder, `workers-${count}.sock`), count));
    const costs = new Map(groups.map(({ count }) => [count, []]));
    for (let round = 0; round <= rounds; round++) {
      for (const { count, pids, path } of groups) {
        const load = {
          request,
          connections: CONNECTIONS,
          close: true,
          "warm-count": 500,
          seconds,
          pid: pids,
        };
        const { answered, cpuUs, failed, failure } = await runLoad(`unix:${path}`, load);
        if (failed > 0) throw new Error(`${failed} requests failed: ${failure}`);
        const cost = cpuUs.reduce((sum, us) => sum + us, 0) / answered;
        if (round > 0) costs.get(count).push(cost); // the first is for warming up
      }
    }
    const each = (take) => new Map([...costs].map(([count, list]) => [count, take(list)]));
    return { figures: each(median), minima: each((list) => Math.min(...list)) };
  } finally {
    for (const { stop } of groups) stop();
  }
}

/** A listening socket, as the manager holds it. */
export async function hold(path) {
  const options = {
    mode: 0o600,
    owner: undefined,
    group: undefined,
    backlog: 511,
    allowedClients: { isStated: false },
  };
  const [socket] = await holdSockets({ kind: "unix", path }, options, {});
  return socket;
}

/** Workers on one socket, as the manager has them. */
export async function startGroup(node, path, count, scheme = "on") {
  rmSync(path, { force: true });
  const socket = await hold(path);
  const workers = [];
  const stop = () => {
    for (const worker of workers) if (worker.connected) worker.disconnect();
    socket.close();
  };
  try {
    for (let index = 0; index < count; index++) {
      const worker = spawn(node, [WORKER, scheme], {
        stdio: ["ignore", "inherit", "inherit", "ipc", socket.fd],
      });
      workers.push(worker);
      await message(worker);
    }
  } catch (error) {
    stop();
    throw error;
  }
  return { count, path, workers, pids: workers.map(({ pid }) => pid), stop };
}

/** What a worker says next. */
function message(child) {
  return new Promise((resolve, reject) => {
    const onExit = (code) => reject(new Error(`a worker exited with ${code}`));
    child.once("exit", onExit);
    child.once("message", (answer) => {
      child.off("exit", onExit);
      resolve(answer);
    });
  });
}
