// `npm run bench -- --profile [--only hello,express] [--out FOLDER]`: where the time of an application goes, as flame
// graphs. What V8 cannot see (reading a socket, waiting) is in none of them; the shares of user and kernel time that are
// printed beside them come from the same seconds, and count everything.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Bench } from "../bench.mjs";
import { CANDIDATES } from "../candidates.mjs";
import { APPLICATION_CORE, pinned, runLoad } from "../load/load.mjs";
import { startServer } from "../processes.mjs";
import { requestFile, WORK } from "../requests.mjs";
import { flameGraph, OWNERS, treeOf } from "./flame-graph.mjs";

const PROFILED = new URL("profiled.mjs", import.meta.url).pathname;
const CONNECTIONS = 16;
const WRITTEN_MS = 10_000;

/** File name → candidate and what it is, for people. */
const PROFILES = {
  "fetch-hello": ["postern fetch", "a fetch application"],
  "listener-hello": ["postern listener", "a Node listener"],
  "express-hello": ["postern express", "Express 5"],
  "fastify-hello": ["postern fastify", "Fastify 5"],
};

/** @returns a list of `{ name, file, shares: owner → share of what V8 sees, userUs, systemUs: per request }` */
export async function profiles({ only, out, ...options }) {
  const bench = new Bench(options);
  const group = { work: "hello", connections: CONNECTIONS, close: false, transport: "unix" };
  const names = Object.keys(PROFILES).filter(
    (name) => only === undefined || only.some((one) => name.includes(one)),
  );
  if (names.length === 0)
    throw new Error(`--only: no such profile; there are ${Object.keys(PROFILES).join(", ")}`);
  bench.want(
    group,
    names.map((name) => PROFILES[name][0]),
  );
  await bench.setUp();
  mkdirSync(out, { recursive: true });
  try {
    const results = [];
    for (const name of names) results.push(await profile(bench, name, out));
    return results;
  } finally {
    bench.close();
  }
}

async function profile(bench, name, out) {
  const [candidate, what] = PROFILES[name];
  bench.say(`${name}: ${candidate}`);
  const where = join(bench.folder, `${name}.sock`);
  const file = join(bench.folder, `${name}.cpuprofile`);
  const [node, ...args] = CANDIDATES[candidate].command({ node: bench.node, where, folder: bench.folder });
  process.env.POSTERN_PROFILE = file;
  const server = await startServer(
    pinned(APPLICATION_CORE, [node, "--import", PROFILED, ...args]),
    `unix:${where}`,
  );
  let before;
  let used;
  try {
    const { answered } = await runLoad(
      server.address,
      {
        protocol: "fastcgi",
        request: requestFile(bench.folder, "fastcgi", "hello", true),
        expect: WORK.hello.expect,
        connections: CONNECTIONS,
        "warm-count": 20_000,
        seconds: bench.seconds,
        pid: [server.pid],
      },
      (event) => {
        if (event === "begin") before = ticksOf(server.pid);
        else used = ticksOf(server.pid).map((ticks, at) => ticks - before[at]);
        process.kill(server.pid, "SIGUSR2");
      },
    );
    for (let waited = 0; !existsSync(file); waited += 50) {
      if (waited > WRITTEN_MS) throw new Error(`${name}: no profile was written`);
      await wait(50);
    }
    await wait(200); // it is written whole by then
    const tree = treeOf(JSON.parse(readFileSync(file, "utf8")));
    const title = `${what}, hello, ${CONNECTIONS} kept connections, Node ${bench.nodeVersion}`;
    const [userUs, systemUs] = used.map((ticks) => (ticks * 10_000) / answered);
    const kernel = Math.round((100 * systemUs) / (userUs + systemUs));
    const note = `width is time that V8 sees; of all CPU time ${kernel} % was the kernel's`;
    const path = join(out, `${name}.svg`);
    writeFileSync(path, flameGraph(tree, title, note));
    const shares = Object.fromEntries(
      Object.keys(OWNERS).map((owner) => [owner, tree.ms[owner] / tree.totalMs]),
    );
    return { name, file: path, shares, userUs, systemUs };
  } finally {
    await server.stop();
  }
}

/** User and system time of a process, in hundredths of a second. */
function ticksOf(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return [Number(fields[11]), Number(fields[12])];
}

export function printProfiles(results) {
  for (const { name, file, shares, userUs, systemUs } of results) {
    const parts = Object.entries(shares).map(([owner, share]) => `${owner} ${Math.round(100 * share)} %`);
    console.log(
      `${name}: ${parts.join(", ")}; user ${userUs.toFixed(1)} us, kernel ${systemUs.toFixed(1)} us a request: ${file}`,
    );
  }
}
