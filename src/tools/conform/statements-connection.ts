/** FastCGI 1.0 §3.5, §5.1: who closes a connection, and when; connections that break off. */
import { Broken, holds, untestable, type Verdict } from "./model.ts";
import type { Ask, Probe } from "./probe.ts";
import type { Statement } from "./statement.ts";

export const connectionStatements: readonly Statement[] = [
  {
    id: "5.1-closes",
    section: "§5.1",
    level: "must",
    statement: "Without FCGI_KEEP_CONN the application closes the connection after its answer",
    run: (probe) => closesAfter(probe, {}),
  },
  {
    id: "5.1-keeps",
    section: "§5.1",
    level: "must",
    statement: "With FCGI_KEEP_CONN it leaves the connection open, and serves the next request on it",
    run: (probe) => keepsAfter(probe, { keep: true }),
  },
  {
    id: "5.1-closes-later",
    section: "§5.1",
    level: "must",
    statement: "The flag of each request decides: kept twice, then closed",
    async run(probe) {
      const wire = await probe.open();
      for (let count = 0; count < 2; count++) {
        if (wire.isOver) return untestable("it keeps no connection open");
        wire.send(probe.bytes({ keep: true }));
        await probe.answer(wire);
      }
      if (wire.isOver) return untestable("it keeps no connection open");
      wire.send(probe.bytes({}));
      await probe.answer(wire);
      if (!(await wire.until(() => wire.isEnded, probe.deadlineMs))) {
        throw new Broken("the connection stays open after the third request", wire.evidence());
      }
      return holds();
    },
  },
  {
    id: "5.1-other-flags",
    section: "§5.1",
    level: "should",
    statement: "The other bits of the flags say nothing about the connection",
    async run(probe) {
      await closesAfter(probe, { flags: 0xfe });
      await keepsAfter(probe, { flags: 0xff });
      return holds();
    },
  },
  {
    id: "5.1-reserved",
    section: "§5.1",
    level: "should",
    statement: "The reserved bytes of BEGIN_REQUEST say nothing",
    async run(probe) {
      await probe.same({ bodyReserved: 255 });
      return holds();
    },
  },
  {
    id: "3.5-closed-idle",
    section: "§3.5",
    level: "must",
    statement: "The web server may close a connection on which no request is active",
    async run(probe) {
      for (let count = 0; count < 5; count++) (await probe.open()).destroy();
      const kept = await probe.open();
      kept.send(probe.bytes({ keep: true }));
      await probe.answer(kept);
      kept.destroy();
      await lives(probe, "after connections were closed unused and kept");
      return holds();
    },
  },
  {
    id: "3.5-broken-off",
    section: "§3.5",
    level: "must",
    statement: "A connection that breaks off inside a request, anywhere, harms no other",
    async run(probe) {
      const bytes = probe.bytes(probe.hasStdin ? { body: Buffer.alloc(200, "b") } : {});
      for (const at of [
        1,
        5,
        8,
        12,
        16,
        20,
        24,
        60,
        bytes.length - 100,
        bytes.length - 8,
        bytes.length - 1,
        bytes.length,
      ]) {
        const wire = await probe.open();
        wire.sendOdd(bytes.subarray(0, at), `the first ${at} bytes of a request`);
        await new Promise<void>((resolve) => {
          wire.socket.end(resolve);
        });
        wire.destroy();
        await lives(probe, `after a connection broke off behind ${at} bytes of a request`);
      }
      return holds();
    },
  },
  {
    id: "3.5-half-closed",
    section: "§3.5",
    level: "should",
    statement: "A request is answered although the web server has closed its own side behind it",
    async run(probe) {
      const wanted = await probe.plain({});
      const wire = await probe.open();
      wire.send(probe.bytes({}));
      wire.socket.end();
      wire.note("the web server closes its side");
      await probe.sameOn(wire, {}, wanted);
      return holds();
    },
  },
];

async function closesAfter(probe: Probe, ask: Ask): Promise<Verdict> {
  const wire = await probe.open();
  wire.send(probe.bytes(ask));
  await probe.answer(wire);
  if (!(await wire.until(() => wire.isEnded, probe.deadlineMs))) {
    throw new Broken("the connection stays open after END_REQUEST", wire.evidence());
  }
  return holds();
}

async function keepsAfter(probe: Probe, ask: Ask): Promise<Verdict> {
  const wire = await probe.open();
  wire.send(probe.bytes(ask));
  await probe.answer(wire);
  await probe.within(wire, () => wire.isEnded);
  if (wire.isEnded) throw new Broken("the connection was closed after END_REQUEST", wire.evidence());
  wire.send(probe.bytes({ ...ask, id: 2 }));
  await probe.answer(wire, 2);
  return holds();
}

async function lives(probe: Probe, when: string): Promise<void> {
  try {
    await probe.ask({});
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    throw new Broken(`${when}: ${error.message}`, error.evidence);
  }
}
