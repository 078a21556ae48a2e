/** A process that shares its socket keeps one connection while its requests compute, and all of them otherwise. */
import { describe, expect, it } from "vitest";
import { Fairness } from "../../../src/server/fairness.ts";
import type { ServerHooks } from "../../../src/server/hooks.ts";
import { getValuesRecord, TYPE } from "../../support/records.ts";
import { startServer, type TestServer, type Wire } from "../../support/wire.ts";

describe("the share of the time spent in long turns", () => {
  it("decides: one short turn is nothing, several are something, and it is forgiven in time", () => {
    const fairness = new Fairness();
    fairness.onBlocked(60, 1000);
    expect(fairness.closesConnection(2, 1000)).toBe(false);
    fairness.onBlocked(60, 1100);
    expect(fairness.closesConnection(2, 1100)).toBe(true);
    expect(fairness.closesConnection(2, 2900)).toBe(true);
    expect(fairness.closesConnection(2, 3100)).toBe(false);
  });

  it("is at most a hundredth in the long run, however short the turns are", () => {
    const often = new Fairness();
    const seldom = new Fairness();
    for (let now = 0; now < 90_000; now += 1000) {
      often.onBlocked(12, now);
      seldom.onBlocked(9, now);
    }
    expect(often.closesConnection(2, 90_000)).toBe(true);
    expect(seldom.closesConnection(2, 90_000)).toBe(false);
  });

  it("is forgiven within ten seconds, however long it was", () => {
    const fairness = new Fairness();
    for (let now = 0; now < 5000; now += 500) fairness.onBlocked(500, now);
    expect(fairness.closesConnection(2, 14_000)).toBe(true);
    expect(fairness.closesConnection(2, 15_000)).toBe(false);
  });

  it("does not matter to the only connection there is", () => {
    const fairness = new Fairness();
    fairness.onBlocked(500, 1000);
    expect(fairness.closesConnection(1, 1000)).toBe(false);
    expect(fairness.closesConnection(2, 1000)).toBe(true);
  });
});

/** Uses so much time of a processor, in ms. */
function compute(ms: number): void {
  const { user, system } = process.cpuUsage();
  for (let spent = 0; spent < ms * 1000; ) {
    const now = process.cpuUsage();
    spent = now.user + now.system - user - system;
  }
}

const BURN = { REQUEST_URI: "/burn", PATH_INFO: "/burn" };

function start(hooks: ServerHooks): Promise<TestServer> {
  return startServer(
    (request, response) => {
      if (request.url === "/burn") compute(150);
      response.end("ok");
    },
    {},
    hooks,
  );
}

/** Lets timers run that are due: the loop watch among them. */
const turns = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

/** Two kept connections; a request on one of them has computed. */
async function twoConnections(server: TestServer): Promise<[Wire, Wire]> {
  const [one, two] = [await server.connect(), await server.connect()];
  two.request({ keepConn: true });
  await two.answer();
  one.request({ keepConn: true, params: BURN });
  await one.answer();
  await turns();
  return [one, two];
}

describe("a server that shares its socket", () => {
  it("closes a connection behind its answer when a request has computed, and keeps the last one", async () => {
    await using server = await start({ isShared: true });
    const [one, two] = await twoConnections(server);
    two.request({ id: 2, keepConn: true });
    const answer = await two.answer(2);
    expect(answer.body.toString()).toBe("ok");
    expect(answer.end).toEqual({ appStatus: 0, protocolStatus: 0 });
    await two.end();
    one.request({ id: 2, keepConn: true });
    expect((await one.answer(2)).body.toString()).toBe("ok");
    one.request({ id: 3, keepConn: true, params: BURN });
    await one.answer(3);
    expect(one.ended).toBe(false);
    expect(server.server.stats.connections).toBe(1);
  });

  it("tells nginx in the same write, which would use the connection once more otherwise", async () => {
    await using server = await start({ isShared: true });
    const [one, two] = await twoConnections(server);
    two.request({ id: 2, keepConn: true, params: { SERVER_SOFTWARE: "nginx/1.30.6" } });
    await two.end();
    const [end, goodbye] = two.records.slice(-2);
    expect(end).toMatchObject({ id: 2, type: TYPE["END_REQUEST"] });
    expect(goodbye).toMatchObject({ id: 0, type: TYPE["GET_VALUES_RESULT"] });
    expect(goodbye?.content.length).toBe(0);
    expect(one.records.every(({ id }) => id === 1)).toBe(true);
  });

  it("leaves a connection alone that carries several requests", async () => {
    await using server = await start({ isShared: true });
    const [, two] = await twoConnections(server);
    // Who asks for the limits wants to put several on one connection.
    two.send(getValuesRecord(["FCGI_MPXS_CONNS"])).request({ id: 2, keepConn: true });
    await two.answer(2);
    two.request({ id: 3, keepConn: true });
    expect((await two.answer(3)).body.toString()).toBe("ok");
    expect(server.server.stats.connections).toBe(2);
  });

  it("keeps all connections while nothing computes", async () => {
    await using server = await start({ isShared: true });
    const wires = [await server.connect(), await server.connect(), await server.connect()];
    for (let id = 1; id <= 20; id++) {
      for (const wire of wires) {
        wire.request({ id, keepConn: true });
        await wire.answer(id);
      }
    }
    expect(server.server.stats).toMatchObject({ connections: 3, acceptedConnections: 3 });
  });
});

describe("a server that is alone on its socket", () => {
  it("keeps its connections whatever its requests do", async () => {
    await using server = await start({ observer: { onRequestBegin() {}, onRequestEnd() {} } });
    const [, two] = await twoConnections(server);
    for (let id = 2; id < 6; id++) {
      two.request({ id, keepConn: true });
      expect((await two.answer(id)).body.toString()).toBe("ok");
    }
    expect(server.server.stats.connections).toBe(2);
  });
});

describe("closing a kept connection of nginx", () => {
  it("is told behind the last answer while draining, and not to others, nor where nginx did not keep it", async () => {
    for (const [software, keepConn, isTold] of [
      ["nginx/1.22.1", true, true],
      ["nginx/1.22.1", false, false],
      ["Apache/2.4.66", true, false],
    ] as const) {
      await using server = await start({});
      const wire = await server.connect();
      const params = { SERVER_SOFTWARE: software };
      wire.request({ keepConn: true, params });
      await wire.answer();
      expect(wire.records.some(({ id }) => id === 0)).toBe(false);
      const closed = server.server.close();
      wire.request({ id: 2, keepConn, params });
      await wire.end();
      await closed;
      expect(wire.records.at(-1)?.id).toBe(isTold ? 0 : 2);
    }
  });
});
