// Row 22: what it costs to see everything. One worker under `postern serve`, and `serve()` in one process, each with
// nothing switched on and with everything: access log, metrics, status page, both asked for in every turn.
import { once } from "node:events";
import { join } from "node:path";
import { FastCGIClient } from "../../dist/client/index.js";
import { median } from "../bench.mjs";
import { APPLICATION_CORE, pinned, runLoad } from "../load/load.mjs";
import { startServer } from "../processes.mjs";
import { requestFile, WORK } from "../requests.mjs";

const CLI = new URL("../../dist/cli/main.js", import.meta.url).pathname;
const APP = new URL("../peers/observed.mjs", import.meta.url).pathname;
const TURN_WARM_S = 0.15;

/** Mode → how each of both is started: a command line after `node`, by its socket and a folder of its own. */
const MODES = {
  "postern serve": {
    off: (socket, folder, name) => serve(socket, folder, name),
    on: (socket, folder, name) => [
      ...serve(socket, folder, name),
      ...[
        "--access-log",
        join(folder, `${name}.log`),
        "--status-path",
        "/status",
        "--metrics-path",
        "/metrics",
      ],
    ],
    asks: ["/metrics", "/status"],
  },
  "serve()": {
    off: (socket) => [APP, socket],
    on: (socket, folder, name) => [APP, socket, join(folder, `${name}.log`)],
    asks: [],
  },
};

function serve(socket, folder, name) {
  const control = join(folder, `${name}.control`);
  return [CLI, "serve", APP, "--bind", socket, "--workers", "1", "--name", name, "--control-socket", control];
}

export const rows = [
  {
    row: "22",
    work: "hello, access log, metrics and status switched on / off",
    gate: 1.1,
    goal: 1.05,
    peers: ["off"],
    measure: async (bench) => {
      const results = [];
      for (const [mode, ways] of Object.entries(MODES)) results.push(await compare(bench, mode, ways));
      return results;
    },
  },
];

async function compare(bench, mode, ways) {
  bench.say(`hello, 16 kept, ${mode}: with everything that shows what it does, and without`);
  const runs = [];
  try {
    for (const way of ["off", "on"]) {
      const name = `${mode.replaceAll(/\W/g, "")}-${way}`;
      const address = `unix:${join(bench.folder, `${name}.sock`)}`;
      const command = [bench.node, ...ways[way](address, bench.folder, name)];
      const server = await startServer(pinned(APPLICATION_CORE, command), address);
      runs.push({ server, asks: way === "on" ? ways.asks : [], cpuUs: [] });
    }
    for (const run of runs) await turn(bench, run, true);
    for (let round = 0; round < bench.rounds; round++) for (const run of runs) await turn(bench, run, false);
    const [off, on] = runs.map(({ cpuUs }) => cpuUs);
    const [ourUs, theirUs] = [median(on), median(off)];
    return {
      mode,
      peer: "off",
      measured: ourUs / theirUs,
      minima: Math.min(...on) / Math.min(...off),
      ourUs,
      theirUs,
    };
  } catch (error) {
    return { mode, peer: "off", missing: error.message };
  } finally {
    for (const { server } of runs) await server.stop();
  }
}

async function turn(bench, run, isFirst) {
  const { expect, warm } = WORK.hello;
  const load = runLoad(
    run.server.address,
    {
      protocol: "fastcgi",
      request: requestFile(bench.folder, "fastcgi", "hello", true),
      expect,
      connections: 16,
      warm: TURN_WARM_S,
      "warm-count": isFirst ? Math.ceil(warm * Math.min(1, bench.rounds * bench.seconds)) : 1,
      ...(isFirst ? { count: 1 } : { seconds: bench.seconds }),
      pid: [run.server.pid],
    },
    (event) => {
      if (event === "begin") for (const path of run.asks) asked.push(ask(run.server.address, path));
    },
  );
  const asked = [];
  const result = await load;
  await Promise.all(asked);
  if (result.failed > 0) throw new Error(`${result.failed} answers failed: ${result.failure}`);
  if (!isFirst) run.cpuUs.push(result.cpuUs[0] / result.answered);
}

/** As Prometheus does, only far more often. */
async function ask(address, path) {
  const client = new FastCGIClient({ connect: address, keepConn: false });
  const params = {
    REQUEST_METHOD: "GET",
    REQUEST_URI: path,
    SCRIPT_NAME: "",
    PATH_INFO: path,
    SERVER_PROTOCOL: "HTTP/1.1",
  };
  const response = await client.request({ params });
  response.body.resume();
  await once(response.body, "end");
  await client.close();
  if (response.status !== 200) throw new Error(`${path} answers ${response.status}`);
}
