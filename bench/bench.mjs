// What measurements are made with: candidates started, loaded in turns, and their CPU time per request.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CANDIDATES } from "./candidates.mjs";
import { APPLICATION_CORE, pinned, runLoad } from "./load/load.mjs";
import { startNginx } from "./nginx.mjs";
import { freePort, startServer } from "./processes.mjs";
import { requestFile, WORK } from "./requests.mjs";
import { programOf, setUp } from "./set-up.mjs";

/** Long enough for caches to be warm again after another candidate's turn. */
const TURN_WARM_S = 0.15;

/**
 * A group says how its candidates are measured; those of one group are measured together, in turns, once:
 *
 *     { work: a name of WORK, connections, close: a connection per request?, transport: "unix" or "tcp",
 *       nginx: behind it? }
 */
export class Bench {
  /**
   * @param options `{ node: path, rounds, seconds: of one turn, say: takes a line about what goes on, installs: whether
   *   to install what is missing }`
   */
  constructor(options) {
    this.node = options.node;
    this.nodeVersion = execFileSync(options.node, ["-p", "process.version"], { encoding: "utf8" }).trim();
    this.rounds = options.rounds;
    this.seconds = options.seconds;
    this.say = options.say;
    this.installs = options.installs;
    /** For sockets and files, removed in the end, whatever that is. */
    this.folder = mkdtempSync(join(tmpdir(), "postern-bench-"));
    process.once("exit", () => this.close());
    /** need → why it is not there */
    this.missing = new Map();
    this.wanted = new Map(); // group → set of names
    this.measured = new Map(); // group → promise of figures
  }

  /** Says in advance what `compare` will be asked for, so that all of a group takes turns. */
  want(group, names) {
    const set = this.wanted.get(group) ?? new Set();
    for (const name of names) set.add(name);
    this.wanted.set(group, set);
  }

  /** Installs and builds what all that is wanted needs. @param more further names of set-up.mjs */
  async setUp(more = []) {
    if (!existsSync(new URL("../dist/index.js", import.meta.url))) {
      throw new Error("dist/ is missing: run `npm run build` first");
    }
    const needs = new Set(["gcc", "libc", ...more]);
    for (const [group, names] of this.wanted) {
      if (group.nginx) needs.add("nginx");
      for (const name of names) for (const need of CANDIDATES[name].needs) needs.add(need);
    }
    this.missing = await setUp(needs, this.say, this.installs);
    const compiler = this.missing.get("gcc") ?? this.missing.get("libc");
    if (compiler !== undefined) throw new Error(`the load cannot be compiled: ${compiler}`);
  }

  /**
   * Measures a group.
   * @returns name → `{ cpuUs, totalUs, perSecond, p50, p99 }`, each a list with a figure for every round, or `{ missing }`
   *   with the reason; `totalUs` is application and nginx together
   */
  compare(group) {
    let figures = this.measured.get(group);
    if (figures === undefined) {
      figures = this.#compare(group, [...this.wanted.get(group)]);
      this.measured.set(group, figures);
    }
    return figures;
  }

  /** Starts a candidate on the application's core. @returns `{ pid, address, protocol, stop() }` */
  async start(name, transport = "unix") {
    const candidate = CANDIDATES[name];
    for (const need of candidate.needs) {
      if (this.missing.has(need)) throw new Error(`${need}: ${this.missing.get(need)}`);
    }
    const where =
      transport === "unix" ? join(this.folder, `${name.replaceAll(/\W/g, "-")}.sock`) : `${await freePort()}`;
    rmSync(where, { force: true });
    const address = transport === "unix" ? `unix:${where}` : `127.0.0.1:${where}`;
    const command = candidate.command({ node: this.node, where, folder: this.folder });
    const server = await startServer(pinned(APPLICATION_CORE, command), address);
    return { ...server, protocol: candidate.protocol };
  }

  close() {
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #compare(group, names) {
    this.say(`${describe(group)}: ${names.join(", ")}`);
    const figures = new Map();
    const runs = [];
    const stops = [];
    try {
      for (const name of names) {
        try {
          const server = await this.start(name, group.transport);
          stops.push(server.stop);
          runs.push({ name, server, address: server.address, protocol: server.protocol });
          figures.set(name, { cpuUs: [], totalUs: [], perSecond: [], p50: [], p99: [] });
        } catch (error) {
          this.#lose(figures, name, error.message);
        }
      }
      if (group.nginx) await this.#putBehindNginx(runs, stops, figures);
      for (const run of runs) await this.#turn(group, run, figures, true);
      for (let round = 0; round < this.rounds; round++) {
        for (const run of runs) await this.#turn(group, run, figures, false);
      }
    } finally {
      await Promise.all(stops.map((stop) => stop()));
    }
    return figures;
  }

  async #putBehindNginx(runs, stops, figures) {
    try {
      if (this.missing.has("nginx")) throw new Error(this.missing.get("nginx"));
      const backends = runs.map(({ server }) => server);
      const nginx = await startNginx(programOf("nginx"), this.folder, backends);
      stops.push(nginx.stop);
      for (const [index, run] of runs.entries()) {
        run.address = nginx.addresses[index];
        run.protocol = "http";
        run.nginx = nginx;
      }
    } catch (error) {
      for (const { name } of runs.splice(0)) this.#lose(figures, name, `nginx: ${error.message}`);
    }
  }

  /** One candidate's turn: the first is for warming up only. */
  async #turn(group, run, figures, isFirst) {
    const figure = figures.get(run.name);
    if (figure.missing !== undefined) return;
    const work = WORK[group.work];
    try {
      const result = await runLoad(run.address, {
        protocol: run.protocol,
        request: requestFile(this.folder, run.protocol, group.work, !group.close),
        expect: work.expect,
        connections: group.connections,
        close: group.close,
        warm: TURN_WARM_S,
        // A run that is too short to be trusted needs none.
        "warm-count": isFirst ? Math.ceil(work.warm * Math.min(1, this.rounds * this.seconds)) : 1,
        ...(isFirst ? { count: 1 } : { seconds: this.seconds }),
        pid: run.nginx === undefined ? [run.server.pid] : [run.server.pid, run.nginx.pid],
      });
      if (result.failed > 0) {
        throw new Error(`${result.failed} answers failed beside ${result.answered}: ${result.failure}`);
      }
      if (result.resent > 0)
        this.say(`${run.name}: ${result.resent} requests lost with a kept connection, sent again`);
      if (isFirst) return;
      const [cpuUs, nginxUs = 0] = result.cpuUs;
      figure.cpuUs.push(cpuUs / result.answered);
      figure.totalUs.push((cpuUs + nginxUs) / result.answered);
      figure.perSecond.push(result.answered / result.seconds);
      figure.p50.push(result.p50);
      figure.p99.push(result.p99);
    } catch (error) {
      this.#lose(figures, run.name, error.message);
    }
  }

  #lose(figures, name, reason) {
    this.say(`missing: ${name}: ${reason}`);
    figures.set(name, { missing: `${name}: ${reason}` });
  }
}

export function median(list) {
  return list.toSorted((a, b) => a - b)[list.length >> 1];
}

function describe({ work, connections, close, transport, nginx }) {
  const mode = close ? `connection per request, ${connections} at a time` : `${connections} kept`;
  return `${work}, ${mode}, ${transport}${nginx ? ", behind nginx" : ""}`;
}
