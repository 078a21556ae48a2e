// `node bench/fairness.mjs [--rounds 5 --seconds 4 --rate 200 --children 4]`: how long light requests take while others
// compute. Four workers on one listening socket behind nginx, with their fairness (src/server/fairness.ts) off and on,
// beside php-fpm with as many children, all in turns: one request in ten uses 20 ms of a processor, the others nothing.
// Requests come at a fixed rate, whether earlier ones were answered or not. Only the light ones are counted. Needs the
// build (npm run build), nginx and php-fpm. Trust the ratios: machines differ and are noisy.
import { fork, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const BURN_MS = 20;
const BURN_EVERY = 10;
/** Requests at once before each measurement. */
const BURST = 32;

if (process.argv[2] === "worker") await work(process.argv[3]);
else await compareAll();

/** One worker: descriptor 0 listens. */
async function work(scheme) {
  const dist = process.env.POSTERN_DIST ?? "../dist";
  const { Server } = await import(`${dist}/server/server.js`);
  const { handlerFor } = await import(`${dist}/adapters/app.js`);
  const listener = (request, response) => {
    if (request.url.includes("burn")) {
      const { user, system } = process.cpuUsage();
      for (let spent = 0; spent < BURN_MS * 1000; ) {
        const now = process.cpuUsage();
        spent = now.user + now.system - user - system;
      }
    }
    response.setHeader("Content-Type", "text/plain");
    response.end("hello world\n");
  };
  const server = new Server(handlerFor(listener), { bind: "fd:0" }, { isShared: scheme !== "off" });
  await server.listen();
  process.on("message", () => process.send({ ...server.load, cpu: process.cpuUsage() }));
  process.on("disconnect", () => process.exit());
  process.send("ready");
}

async function compareAll() {
  const { values: flags } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "4" },
      rate: { type: "string", default: "200" },
      children: { type: "string", default: "4" },
      schemes: { type: "string", default: "off,on" },
    },
  });
  const children = Number(flags.children);
  const folder = mkdtempSync(join(tmpdir(), "postern-fair-"));
  const stops = [];
  try {
    const groups = [await startPhp(folder, children)];
    for (const scheme of flags.schemes.split(",")) groups.push(await startWorkers(folder, scheme, children));
    for (const group of groups) stops.push(group.stop);
    const candidates = groups.flatMap((group) => [
      // A child of php-fpm that has a kept connection takes no other: with all of them kept, requests wait for ever. Each
      // of the two nginx processes keeps as many as it says here.
      { group, name: `${group.name}, kept`, keepalive: group.name === "php-fpm" ? 1 : 16 },
      { group, name: `${group.name}, per request`, keepalive: 0 },
    ]);
    const nginx = await startNginx(folder, candidates);
    stops.push(nginx.stop);
    const figures = new Map(candidates.map((candidate) => [candidate, []]));
    for (const candidate of candidates) await run(candidate, Number(flags.rate), 1);
    for (let round = 0; round < Number(flags.rounds); round++) {
      for (const candidate of candidates) {
        await nginx.forgetConnections();
        const before = await candidate.group.stats();
        const figure = await run(candidate, Number(flags.rate), Number(flags.seconds));
        const after = await candidate.group.stats();
        figure.connections = after.connections - before.connections;
        figures.get(candidate).push(figure);
      }
    }
    print(figures, children, flags);
  } finally {
    for (const stop of stops.reverse()) await stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Open loop: a request every 1/rate seconds. */
async function run({ port }, rate, seconds) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  const light = [];
  let failed = 0;
  const open = new Set();
  const one = (index) => {
    const burns = index % BURN_EVERY === 0;
    // Every other light one is a POST, which nginx does not repeat when a connection breaks: none may be lost.
    const method = !burns && index % 2 === 1 ? "POST" : "GET";
    const started = performance.now();
    const done = new Promise((resolve) => {
      const request = http.request(
        { agent, port, host: "127.0.0.1", path: burns ? "/work.php?burn" : "/work.php", method },
        (response) => {
          response.resume();
          response.on("end", () => {
            if (response.statusCode !== 200) failed++;
            else if (!burns) light.push(performance.now() - started);
            resolve();
          });
        },
      );
      request.on("error", () => {
        failed++;
        resolve();
      });
      request.end(method === "POST" ? "body" : undefined);
    });
    open.add(done);
    void done.then(() => open.delete(done));
    return done;
  };
  // As after any busy moment: the web server has kept more connections than it needs now.
  await Promise.all(Array.from({ length: BURST }, () => one(1)));
  light.length = 0;
  const begun = performance.now();
  let sent = 0;
  await new Promise((resolve) => {
    const tick = () => {
      const elapsed = performance.now() - begun;
      while (sent < (elapsed / 1000) * rate) one(sent++);
      if (elapsed >= seconds * 1000) resolve();
      else setTimeout(tick, 1);
    };
    tick();
  });
  await Promise.all(open);
  agent.destroy();
  light.sort((a, b) => a - b);
  const at = (share) => light[Math.floor(light.length * share)];
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), failed };
}

function print(figures, children, flags) {
  const median = (list, key) => list.map((figure) => figure[key]).sort((a, b) => a - b)[list.length >> 1];
  console.log(
    `light requests, ms: ${children} processes, ${flags.rate} requests/s, 1 in ${BURN_EVERY} computes ${BURN_MS} ms (node ${process.version}); medians of ${flags.rounds} rounds`,
  );
  console.log(`${"".padEnd(24)}    p50     p90     p99   p99/php   failed  connections`);
  const php = {};
  for (const [{ name, group }, list] of figures) {
    const mode = name.split(", ")[1];
    const p99 = median(list, "p99");
    if (group.name === "php-fpm") php[mode] = p99;
    const failed = list.reduce((sum, figure) => sum + figure.failed, 0);
    const connections = group.name === "php-fpm" ? "-" : String(median(list, "connections"));
    const cell = (key) => median(list, key).toFixed(2).padStart(7);
    console.log(
      `${name.padEnd(24)}${cell("p50")} ${cell("p90")} ${cell("p99")}   ${(p99 / php[mode]).toFixed(2).padStart(7)} ${String(failed).padStart(8)} ${connections.padStart(12)}`,
    );
  }
}

async function startWorkers(folder, scheme, count) {
  const path = join(folder, `${scheme}.sock`);
  const handle = net._createServerHandle(path, -1, -1);
  // Listens, and never accepts: the workers do.
  for (const step of [
    () => handle.open(handle.fd),
    () => handle.listen(511),
    () => handle.readStart(),
    () => handle.readStop(),
  ]) {
    if (step() !== 0) throw new Error("this Node cannot listen without accepting");
  }
  const workers = [];
  for (let index = 0; index < count; index++) {
    const worker = fork(new URL(import.meta.url).pathname, ["worker", scheme], {
      stdio: [handle.fd, "inherit", "inherit", "ipc"],
    });
    await message(worker);
    workers.push(worker);
  }
  return {
    name: `postern ${scheme}`,
    address: `unix:${path}`,
    async stats() {
      let connections = 0;
      for (const worker of workers) {
        worker.send("stats");
        connections += (await message(worker)).acceptedConnections;
      }
      return { connections };
    },
    stop() {
      for (const worker of workers) worker.disconnect();
      handle.unref();
    },
  };
}

async function startPhp(folder, count) {
  const program = ["/usr/sbin/php-fpm8.2", "/usr/sbin/php-fpm"].find(existsSync);
  if (program === undefined) throw new Error("php-fpm is not installed");
  const path = join(folder, "php.sock");
  const isRoot = process.getuid() === 0;
  writeFileSync(
    join(folder, "work.php"),
    `<?php
header("Content-Type: text/plain");
if (isset($_GET["burn"])) {
  $spent = fn() => (($u = getrusage())["ru_utime.tv_sec"] + $u["ru_stime.tv_sec"]) * 1000 + ($u["ru_utime.tv_usec"] + $u["ru_stime.tv_usec"]) / 1000;
  for ($start = $spent(); $spent() - $start < ${BURN_MS}; );
}
echo "hello world\\n";
`,
  );
  writeFileSync(
    join(folder, "php-fpm.conf"),
    `[global]
error_log = ${join(folder, "php.log")}
daemonize = no
[www]
${isRoot ? "user = root\ngroup = root" : ""}
listen = ${path}
pm = static
pm.max_children = ${count}
`,
  );
  const args = ["-n", "-F", "-y", join(folder, "php-fpm.conf"), ...(isRoot ? ["-R"] : [])];
  const php = spawn(program, args, { stdio: "ignore" });
  await until(() => existsSync(path));
  return {
    name: "php-fpm",
    address: `unix:${path}`,
    stats: async () => ({ connections: 0 }),
    stop: () => ended(php),
  };
}

/** A port and an upstream for each candidate. */
async function startNginx(folder, candidates) {
  const servers = [];
  for (const [index, candidate] of candidates.entries()) {
    candidate.port = await freePort();
    const { keepalive } = candidate;
    servers.push(`
  upstream u${index} { server ${candidate.group.address}; ${keepalive > 0 ? `keepalive ${keepalive};` : ""} }
  server {
    listen 127.0.0.1:${candidate.port};
    keepalive_requests 1000000;
    location / {
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param SCRIPT_FILENAME ${folder}/work.php;
      fastcgi_param SCRIPT_NAME "";
      fastcgi_param PATH_INFO $fastcgi_script_name;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param SERVER_SOFTWARE nginx/$nginx_version;
      fastcgi_pass u${index};
      ${keepalive > 0 ? "fastcgi_keep_conn on;" : ""}
    }
  }`);
  }
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  writeFileSync(
    join(folder, "nginx.conf"),
    `${process.getuid() === 0 ? "user root;" : ""}
daemon off;
worker_processes 2;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.log;
events { worker_connections 1024; }
http {
  access_log off;
  ${paths.map((name) => `${name}_temp_path ${folder}/${name};`).join("\n  ")}
  ${servers.join("\n")}
}
`,
  );
  const args = ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", join(folder, "nginx.log")];
  const nginx = spawn("/usr/sbin/nginx", args, { stdio: "ignore" });
  await until(() => existsSync(join(folder, "nginx.pid")));
  return {
    stop: () => ended(nginx),
    async forgetConnections() {
      nginx.kill("SIGHUP");
      await new Promise((resolve) => setTimeout(resolve, 300));
    },
  };
}

function ended(child) {
  return new Promise((resolve) => {
    child.once("exit", resolve);
    if (!child.kill("SIGTERM")) resolve();
  });
}

async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

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

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
