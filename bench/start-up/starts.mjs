// Ways to start something that answers a request, and how long each takes: from the start of the process to the end of
// its first answer. One that inherits its socket (as from a web server or the manager) is asked before it is there.
import { spawn } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { ScoreboardFile } from "../../dist/manager/scoreboard.js";
import { fastcgiRequest, httpRequest } from "../request-bytes.mjs";
import { hold } from "../scaling/workers.mjs";
import { cpuMs, family } from "../usage.mjs";

const here = (name) => new URL(`apps/${name}`, import.meta.url).pathname;
const WORKER = new URL("../../dist/manager/worker-main.js", import.meta.url).pathname;
const POSTERN = new URL("../../dist/cli/main.js", import.meta.url).pathname;
/** Descriptor 0 and a socket that waits in it: what mod_fcgid, lighttpd and spawn-fcgi start a program with. */
const SPAWNED = "spawned";
const PATIENCE_MS = 30_000;

/** @param node the Node to use @param folder for sockets */
export function starts(node, folder) {
  const path = join(folder, "app.sock");
  const serve = (app) => [node, POSTERN, "serve", here(`${app}.mjs`), "--bind", path, "--user", "root"];
  const all = [
    { name: "postern serve (manager and worker), listener", command: serve("listener") },
    { name: "postern serve (manager and worker), fetch", command: serve("fetch") },
    { name: "a worker of the manager, listener", command: [node, WORKER], file: here("listener.mjs") },
    { name: "a worker of the manager, fetch", command: [node, WORKER], file: here("fetch.mjs") },
    { name: "postern serve, spawned, listener", command: [node, POSTERN, "serve", here("listener.mjs")] },
    { name: "postern serve, spawned, fetch", command: [node, POSTERN, "serve", here("fetch.mjs")] },
    { name: "serve() in a .fcgi, spawned, listener", command: [node, here("program.mjs"), "listener"] },
    { name: "serve() in a .fcgi, spawned, fetch", command: [node, here("program.mjs"), "fetch"] },
    { name: "serve() on its own socket, listener", command: [node, here("program.mjs"), "listener", path] },
    { name: "node:http, ES module", command: [node, here("http.mjs"), path], protocol: "http" },
    { name: "node:http, CommonJS", command: [node, here("http.cjs"), path], protocol: "http" },
    { name: "a bare socket (node:net)", command: [node, here("net.mjs"), path] },
  ];
  if (process.getuid?.() !== 0)
    for (const one of all)
      one.command = one.command.filter((word, at, words) => word !== "--user" && words[at - 1] !== "--user");
  const php = ["/usr/sbin/php-fpm8.2", "/usr/sbin/php-fpm", "/usr/sbin/php-fpm8.4"].find(existsSync);
  if (php !== undefined) all.push({ name: "php-fpm (manager and child)", ...phpFpm(php, folder, path) });
  for (const one of all) {
    one.isSpawned = one.name.includes(SPAWNED);
    one.protocol ??= "fastcgi";
    one.path = path;
  }
  return all;
}

function phpFpm(program, folder, path) {
  const isRoot = process.getuid() === 0;
  const script = join(folder, "hello.php");
  const conf = join(folder, "php-fpm.conf");
  writeFileSync(script, '<?php header("Content-Type: text/plain"); echo "hello world\\n";');
  writeFileSync(
    conf,
    `[global]\nerror_log = ${join(folder, "php.log")}\ndaemonize = no\n[www]\n${isRoot ? "user = root\ngroup = root\n" : ""}listen = ${path}\npm = static\npm.max_children = 1\n`,
  );
  return {
    command: [program, "-n", "-F", "-y", conf, ...(isRoot ? ["-R"] : [])],
    params: { SCRIPT_FILENAME: script },
  };
}

/**
 * Starts it and asks once.
 * @param env more of the environment
 * @returns ms until the answer was there, the processor time of everybody by then, and what `look` says of the processes
 */
export async function startOnce(start, env = {}, look = () => undefined) {
  const { command, path, protocol, isSpawned, params, file } = start;
  rmSync(path, { force: true });
  const inherits = isSpawned || file !== undefined;
  const socket = inherits ? await hold(path) : undefined;
  const scoreboard = file === undefined ? undefined : new ScoreboardFile();
  const [program, ...args] = command;
  const begun = performance.now();
  const child = spawn(program, args, {
    stdio:
      file === undefined
        ? [socket?.fd ?? "ignore", "ignore", "ignore"]
        : ["ignore", "ignore", "ignore", "pipe", scoreboard.fd, socket.fd],
    env: { ...process.env, ...env },
  });
  if (file !== undefined) child.stdio[3].write(`${JSON.stringify(instructions(file, path))}\n`);
  try {
    const { head, end } = fastcgiRequest({ isKept: false, params });
    const request = protocol === "http" ? httpRequest("/hello") : Buffer.concat([head, end]);
    await ask(path, request, child);
    const ms = performance.now() - begun;
    const pids = family(child.pid);
    const cpu = pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
    return { ms, cpu, seen: await look(pids) };
  } finally {
    child.stdio[3]?.destroy(); // as when the manager is gone
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), 5000);
    await new Promise((resolve) =>
      (child.exitCode ?? child.signalCode) === null ? child.once("exit", resolve) : resolve(),
    );
    clearTimeout(late);
    socket?.close();
    scoreboard?.close();
  }
}

/** What the manager tells a worker (src/manager/channel.ts). */
function instructions(file, path) {
  const sockets = [{ fd: 5, address: `unix:${path}` }];
  const options = { options: {}, frontOptions: {} };
  const settings = { pool: "bench", id: 1, generation: 1, file, sockets, chdir: "/", ...options };
  return { type: "start", settings: { ...settings, logLevel: "warn", hasSiblings: true } };
}

/** One answer, whoever has to be waited for. */
async function ask(path, request, child) {
  const begun = performance.now();
  for (;;) {
    const answer = await exchange(path, request).catch((error) => error);
    if (Buffer.isBuffer(answer) && answer.includes("hello world")) return;
    if ((child.exitCode ?? child.signalCode) !== null || performance.now() - begun > PATIENCE_MS) {
      throw new Error(`no answer from ${child.spawnargs.join(" ")}: ${answer}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function exchange(path, request) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    const socket = net.connect(path, () => socket.write(request));
    socket.on("data", (piece) => pieces.push(piece));
    socket.on("end", () => resolve(Buffer.concat(pieces)));
    socket.on("error", reject);
  });
}
