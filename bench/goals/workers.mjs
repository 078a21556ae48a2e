// Rows 19, 19b and 20: several workers on one listening socket.
//
// 19 and 19b: how long light requests take while others compute. Four workers behind nginx, with their fairness
// (src/server/fairness.ts) off and on, beside php-fpm with as many children, all in turns: one request in ten uses 20 ms of
// a processor, the others nothing. Requests come at a fixed rate, whether earlier ones were answered or not. Only the light
// ones are counted. 19 is a connection per request to the application, 19b are kept ones.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "../bench.mjs";
import { runLoad } from "../load/load.mjs";
import { freePort } from "../processes.mjs";
import { startGroup, workersOverOne } from "../scaling/workers.mjs";
import { programOf } from "../set-up.mjs";

const BURN_MS = 20;
const BURN_EVERY = 10;
const PER_SECOND = 250;
const CHILDREN = 4;
/** Of the client: more than are ever open at once. */
const CONNECTIONS = 64;
const LEAST_SECONDS = 3;

/** Both rows come from one run. */
let latencies;

export const rows = [
  {
    row: "19",
    work: "4 workers, 10 % burn 20 ms: p99 of the rest, a connection per request",
    gate: 1.5,
    goal: 1,
    peers: ["php-fpm"],
    needs: ["nginx", "php"],
    measure: (bench) => fairness(bench, "per request"),
  },
  {
    row: "19b",
    work: "the same on kept connections",
    gate: 3,
    goal: 1.2,
    peers: ["php-fpm"],
    needs: ["nginx", "php"],
    measure: (bench) => fairness(bench, "kept"),
  },
  {
    row: "20",
    work: "CPU per request at saturation, 2 workers / 1",
    gate: 2,
    goal: 1.3,
    peers: ["one worker"],
    async measure(bench) {
      const { figures, minima } = await workersOverOne(bench, bench.rounds);
      const [ourUs, theirUs] = [figures.get(2), figures.get(1)];
      const measured = ourUs / theirUs;
      return [
        {
          mode: "a connection per request",
          peer: "one worker",
          measured,
          minima: minima.get(2) / minima.get(1),
          ourUs,
          theirUs,
        },
      ];
    },
  },
];

async function fairness(bench, mode) {
  for (const need of ["nginx", "php"]) if (bench.missing.has(need)) throw new Error(bench.missing.get(need));
  latencies ??= compareAll(bench);
  const all = await latencies;
  const p99 = (name) => all.get(`${name}, ${mode}`).map((figure) => figure.p99);
  const php = p99("php-fpm");
  return ["on", "off"].map((scheme) => {
    const own = p99(`postern ${scheme}`);
    return {
      mode: scheme === "on" ? "worker" : "worker without fairness",
      peer: "php-fpm",
      measured: median(own) / median(php),
      minima: Math.min(...own) / Math.min(...php),
      ourUs: median(own),
      theirUs: median(php),
      ...(scheme === "off" && { gate: null, goal: null }),
    };
  });
}

/** Name and mode → a figure for every round. */
async function compareAll({ node, rounds, seconds }) {
  const folder = mkdtempSync(join(tmpdir(), "postern-fair-"));
  const stops = [];
  const figures = new Map();
  try {
    const groups = [await startPhp(folder, CHILDREN)];
    stops.push(groups[0].stop);
    for (const scheme of ["off", "on"]) {
      const path = join(folder, `${scheme}.sock`);
      const group = await startGroup(node, path, CHILDREN, scheme);
      stops.push(group.stop);
      groups.push({ name: `postern ${scheme}`, address: `unix:${path}` });
    }
    const candidates = groups.flatMap((group) => [
      // A child of php-fpm that has a kept connection takes no other: with all of them kept, requests wait for ever. Each
      // of the two nginx processes keeps as many as it says here.
      { group, name: `${group.name}, kept`, keepalive: group.name === "php-fpm" ? 1 : 16 },
      { group, name: `${group.name}, per request`, keepalive: 0 },
    ]);
    const nginx = await startNginx(folder, candidates);
    stops.push(nginx.stop);
    for (let round = 0; round <= rounds; round++) {
      for (const candidate of candidates) {
        await nginx.forgetConnections();
        const figure = await run(folder, candidate.port, Math.max(seconds, LEAST_SECONDS));
        if (round === 0)
          figures.set(candidate.name, []); // for warming up
        else figures.get(candidate.name).push(figure);
      }
    }
  } finally {
    for (const stop of stops.reverse()) await stop();
    rmSync(folder, { recursive: true, force: true });
  }
  return figures;
}

/** Open loop. The light requests are the ones whose latencies the load gives first. */
async function run(folder, port, seconds) {
  const file = (path) => {
    const name = join(folder, path.replaceAll(/\W/g, "-"));
    writeFileSync(name, `GET ${path} HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\n\r\n`);
    return name;
  };
  const result = await runLoad(`127.0.0.1:${port}`, {
    protocol: "http",
    request: file("/work.php"),
    also: file("/work.php?burn"),
    every: BURN_EVERY,
    connections: CONNECTIONS,
    rate: PER_SECOND,
    seconds,
  });
  if (result.failed > 0) throw new Error(`${result.failed} requests failed: ${result.failure}`);
  return result;
}

async function startPhp(folder, count) {
  const program = programOf("php");
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
  const nginx = spawn(programOf("nginx"), args, { stdio: "ignore" });
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
