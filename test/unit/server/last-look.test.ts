/** What waits in the queue of a listening socket when its process is told to end, and what comes after that. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LastLook } from "../../../src/server/last-look.ts";
import type { Wire as ServerWire } from "../../../src/server/wire.ts";
import { isListening } from "../../support/ports.ts";
import { type Running, start } from "../../support/process.ts";
import { canLaunch, compileSources, launch } from "../../support/spawned.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { patience, waitFor } from "../../support/wait.ts";
import { connectWire, type Wire } from "../../support/wire.ts";

/** The launcher leaves the socket open under the number it got, too. */
const ONLY_STANDARD = "exec 3>&- 4>&- 5>&- 6>&- 7>&-";

let folder: string;
let app: string;
let sockets = 0;

beforeAll(async () => {
  const built = await compileSources();
  folder = temporaryFolder("ll");
  app = join(folder, "app.mjs");
  writeFileSync(
    app,
    `import { serve } from ${JSON.stringify(join(built, "index.js"))};
    const [bind, most] = process.argv.slice(2);
    const server = await serve((req, res) => {
      if (req.url === "/hold") { res.write("begun"); process.once("SIGUSR2", () => res.end(" and finished")); }
      else setTimeout(() => res.end("served " + req.url), 5);
    }, { ...(bind && bind !== "-" ? { bind } : {}), ...(most ? { maxConcurrency: Number(most) } : {}) });
    console.error("ready");`,
  );
}, patience(60_000));

const wires: Wire[] = [];
const processes: Running[] = [];
afterAll(async () => {
  for (const wire of wires) wire.destroy();
  await Promise.all(processes.map((one) => one.stop({ signal: "SIGKILL" })));
});

/** Started with a socket on descriptor 0, or with one that it opens itself. */
async function serving(isInherited: boolean, fds = "0", most = ""): Promise<{ one: Running; path: string }> {
  const path = join(folder, `${++sockets}.sock`);
  const one = isInherited
    ? launch(`${app} - ${most}`, { address: path, fds, prelude: ONLY_STANDARD })
    : start(process.execPath, [app, path, ...(most === "" ? [] : [most])]);
  processes.push(one);
  await one.waitForLine(/ready/, { timeoutMs: 20_000 });
  return { one, path };
}

async function ask(path: string, url: string): Promise<Wire> {
  const wire = await connectWire({ path });
  wires.push(wire);
  wire.request({ params: { REQUEST_URI: url, PATH_INFO: url } });
  return wire;
}

describe.skipIf(!canLaunch)("a process that is told to end", () => {
  for (const [name, isInherited, most] of [
    ["on an inherited socket", true, ""],
    ["on a socket of its own", false, ""],
    ["that has stopped accepting, because it works on as many requests as it may", true, "1"],
  ] as const) {
    it(`${name}: answers the connections that wait in its queue`, async () => {
      const { one, path } = await serving(isInherited, "0", most);
      // It stands still, as under load: connections are made, and nobody accepts them.
      one.signal("SIGSTOP");
      const waiting = await Promise.all(Array.from({ length: 20 }, (_, at) => ask(path, `/${at}`)));
      one.signal("SIGTERM");
      one.signal("SIGCONT");
      for (const [at, wire] of waiting.entries()) {
        expect((await wire.answer()).body.toString()).toBe(`served /${at}`);
      }
      expect(await one.exited).toEqual({ code: 0, signal: null });
    });
  }

  for (const fds of ["0", "0,1"]) {
    it(`refuses new connections while open requests end, with the socket on descriptor ${fds}`, async () => {
      const { one, path } = await serving(true, fds);
      const open = await ask(path, "/hold");
      await open.head();
      one.signal("SIGTERM");
      await waitFor(async () => !(await isListening({ path })), { what: "the socket to be closed" });
      expect(one.exit).toBeUndefined();
      one.signal("SIGUSR2");
      expect((await open.answer()).body.toString()).toBe("begun and finished");
      expect(await one.exited).toEqual({ code: 0, signal: null });
      expect(existsSync(path)).toBe(true);
    });
  }

  it("the same signal again changes nothing for what a web server has started, another one ends it at once", async () => {
    const { one, path } = await serving(true);
    const open = await ask(path, "/hold");
    await open.head();
    one.signal("SIGTERM");
    await one.waitForLine(/draining signal=SIGTERM openRequests=1/);
    one.signal("SIGTERM");
    await one.waitForLine(/the same signal again: still draining signal=SIGTERM openRequests=1/);
    one.signal("SIGINT");
    expect(await one.exited).toEqual({ code: 1, signal: null });
  });
});

describe("the last look", () => {
  /** A server with no connection, and a way to give it one. */
  function looked(): { look: LastLook; events: string[]; accept: () => void } {
    const events: string[] = [];
    let accepted = 0;
    const wire = { pause: () => events.push("pause"), resume: () => events.push("resume") };
    const look = new LastLook({
      accepted: () => accepted,
      close: () => {
        events.push("close");
        look.end();
      },
    });
    const accept = (): void => {
      accepted++;
      look.hold(wire as unknown as ServerWire);
    };
    return { look, events, accept };
  }

  it("reads what it takes when the sockets are closed, and not before", async () => {
    const { look, events, accept } = looked();
    look.begin(false);
    accept();
    accept();
    await waitFor(() => events.includes("resume"));
    expect(events).toEqual(["pause", "pause", "close", "resume", "resume"]);
  });

  it("ends with the next request where it waits for one", async () => {
    const { look, events, accept } = looked();
    look.begin(true);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(events).toEqual([]);
    accept();
    await waitFor(() => events.includes("resume"));
    expect(events).toEqual(["pause", "close", "resume"]);
  });

  it("ends without one that does not come", async () => {
    const { look, events } = looked();
    look.begin(true);
    await waitFor(() => events.length > 0);
    expect(events).toEqual(["close"]);
  });

  it("goes on while connections come, and does not hold them for long", async () => {
    const { look, events, accept } = looked();
    look.begin(false);
    const more = (): void => {
      if (events.includes("resume")) return;
      accept();
      setImmediate(more);
    };
    more();
    await waitFor(() => events.includes("close"));
    expect(events.indexOf("resume")).toBeLessThan(events.indexOf("close"));
  });
});
