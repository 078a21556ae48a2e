/** FastCGI 1.0 §2, §3.2, §7: how a program begins, whom it accepts, how it ends. */
import { BEGIN_BYTES } from "./bytes.ts";
import { absent, Broken, holds, untestable, type Verdict } from "./model.ts";
import type { Probe } from "./probe.ts";
import type { Program } from "./spawner.ts";
import type { Statement } from "./statement.ts";
import type { Wire } from "./wire.ts";

/** An address for documentation (RFC 5737), from which nobody connects. */
const ELSEWHERE = "192.0.2.7";
const CONNECTIONS = 16;
const SIGNAL_DEADLINE_MS = 5000;

export const startStatements: readonly Statement[] = [
  {
    id: "2.2-descriptor-0",
    section: "§2.2",
    level: "must",
    statement: "A program that finds a listening socket in descriptor 0 serves FastCGI on it",
    needsSpawn: true,
    async run(probe) {
      const { program, probe: own } = await probe.start({ transport: "tcp" });
      await served(own, program, "over TCP");
      return holds();
    },
  },
  {
    id: "2.2-closed-outputs",
    section: "§2.2",
    level: "must",
    statement: "It starts and serves with descriptors 1 and 2 closed",
    needsSpawn: true,
    async run(probe) {
      const { program, probe: own } = await probe.start({ transport: "unix", closesOutputs: true });
      await served(own, program, "with descriptors 1 and 2 closed");
      return holds();
    },
  },
  {
    id: "3.2-listed-peer",
    section: "§3.2",
    level: "must",
    statement: "With FCGI_WEB_SERVER_ADDRS, a web server whose address is in the list is served",
    needsSpawn: true,
    async run(probe) {
      const env = { FCGI_WEB_SERVER_ADDRS: `${ELSEWHERE},127.0.0.1` };
      const { program, probe: own } = await probe.start({ transport: "tcp", env });
      await served(own, program, `with FCGI_WEB_SERVER_ADDRS=${env.FCGI_WEB_SERVER_ADDRS}`);
      return holds();
    },
  },
  {
    id: "3.2-unlisted-peer",
    section: "§3.2",
    level: "must",
    statement: "With FCGI_WEB_SERVER_ADDRS, a connection from an address that is not in the list is closed",
    needsSpawn: true,
    run: (probe) => refused(probe, "tcp"),
  },
  {
    id: "3.2-unix-peer",
    section: "§3.2",
    level: "must",
    statement: "With FCGI_WEB_SERVER_ADDRS, a connection that is not TCP is closed",
    needsSpawn: true,
    run: (probe) => refused(probe, "unix"),
  },
  {
    id: "3.2-all-served",
    section: "§3.2",
    level: "must",
    statement: `Of ${CONNECTIONS} connections made at once, each is served, be it one after the other`,
    async run(probe) {
      const wires: Wire[] = [];
      for (let count = 0; count < CONNECTIONS; count++) wires.push(await probe.open());
      const bytes = probe.bytes({});
      for (const wire of wires) wire.send(bytes);
      await Promise.all(wires.map((wire) => probe.answer(wire)));
      return holds();
    },
  },
  {
    id: "3.2-concurrent",
    section: "§3.2",
    level: "may",
    statement: "Several connections are served at the same time",
    async run(probe) {
      const idle = await probe.open();
      idle.send(probe.bytes({}).subarray(0, BEGIN_BYTES)); // a request that has begun
      const wire = await probe.open();
      wire.send(probe.bytes({}));
      const exchange = wire.exchange(1)!;
      if (!(await wire.until(() => exchange.end !== undefined, probe.deadlineMs))) {
        return absent("one connection at a time: while one is open, others wait");
      }
      return holds();
    },
  },
  {
    id: "7-sigterm",
    section: "§7",
    level: "should",
    statement: "SIGTERM ends the program",
    needsSpawn: true,
    async run(probe) {
      const { program, probe: own } = await probe.start({ transport: "unix" });
      await served(own, program, "");
      program.signal("SIGTERM");
      if ((await program.exited(SIGNAL_DEADLINE_MS)) === undefined) {
        throw new Broken(`it still runs ${SIGNAL_DEADLINE_MS / 1000} s after SIGTERM`, program.lines());
      }
      return holds();
    },
  },
  {
    id: "7-exit-status",
    section: "§7",
    level: "should",
    statement: "It exits with status 0 when it was asked to end",
    needsSpawn: true,
    async run(probe) {
      const { program, probe: own } = await probe.start({ transport: "unix" });
      await served(own, program, "");
      program.signal("SIGTERM");
      const exit = await program.exited(SIGNAL_DEADLINE_MS);
      if (exit === undefined) return untestable("SIGTERM does not end it");
      if (exit.code === 0) return holds();
      const how = exit.signal === null ? `it exited with ${exit.code}` : `it was killed by ${exit.signal}`;
      throw new Broken(how, program.lines());
    },
  },
];

async function served(own: Probe, program: Program, how: string): Promise<void> {
  try {
    await own.ask({});
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    const { exit } = program;
    const ended = exit === undefined ? "" : `, the program ended (${exit.signal ?? `code ${exit.code}`})`;
    const printed = program.lines().map((line) => `it printed: ${line}`);
    throw new Broken(`${how}: ${error.message}${ended}`.replace(/^: /, ""), [...error.evidence, ...printed]);
  } finally {
    await own.tidy();
  }
}

async function refused(probe: Probe, transport: "unix" | "tcp"): Promise<Verdict> {
  const { program, probe: own } = await probe.start({ transport, env: { FCGI_WEB_SERVER_ADDRS: ELSEWHERE } });
  try {
    const wire = await own.open();
    wire.send(own.bytes({}));
    const isAnswered = (): boolean => wire.receivedBytes > 0;
    await wire.until(isAnswered, own.deadlineMs);
    if (isAnswered()) {
      throw new Broken(
        `FCGI_WEB_SERVER_ADDRS=${ELSEWHERE}, and it answers over ${transport}`,
        wire.evidence(),
      );
    }
    if (!wire.isOver) throw new Broken("the connection stays open, unanswered", wire.evidence());
    if (program.exit !== undefined) throw new Broken("the program ended", program.lines());
  } finally {
    await own.tidy();
  }
  return holds();
}
