/** Event streams and long polling through every web server that can stream: each event arrives before the next is made. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  type EventSource,
  FORMS,
  FRONTS,
  type Front,
  type FrontName,
  Streams,
} from "../support/e2e/event-streams.ts";
import { type Served, servePostern, withSite } from "../support/e2e/served.ts";
import { connectHttp, request } from "../support/http.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer, type ServerName } from "../support/web-servers/available.ts";
import { type CurrentName, describeWithCurrent } from "../support/web-servers/current.ts";

/** Web servers that tell at once when the client is gone; the others notice when there is something to send. */
const TELL_AT_ONCE: ReadonlySet<FrontName> = new Set(["nginx", "nginx with kept connections", "gateway"]);

function describeFront(name: FrontName, tests: () => void): void {
  const [first = "", second = ""] = name.split(" ");
  const title = `event streams through ${name}`;
  if (first === "current") describeWithCurrent(second as CurrentName, title, tests);
  else describeWithServer(first === "gateway" ? [] : (first as ServerName), title, tests);
}

/** Opens a stream as a browser does. */
async function open(
  front: Front,
  path: string,
  headers = "",
): Promise<Awaited<ReturnType<typeof connectHttp>>> {
  const client = await connectHttp(front.origin);
  await client.send(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n${headers}\r\n`);
  return client;
}

for (const name of Object.keys(FRONTS) as FrontName[]) {
  describeFront(name, () => {
    for (const form of Object.keys(FORMS)) {
      const streams = new Streams();
      let served: Served;
      let front: Front;
      beforeAll(async () => {
        served = await servePostern(FORMS[form]!(streams));
        front = await FRONTS[name](served.address);
      });
      afterAll(async () => {
        await front.stop();
        await served.close();
      });

      it(`of ${form}: each event arrives before the next is made`, {
        timeout: patience(20_000),
      }, async () => {
        const client = await open(front, "/events");
        const source = await streams.opened("/events");
        for (let id = 1; id <= 5; id++) {
          source.send(id);
          await client.waitForText(new RegExp(`data: event ${id}\n`), 10_000);
        }
        expect(client.text()).toMatch(/content-type: text\/event-stream/i);
        source.end();
        const { body, complete } = await client.nextResponse();
        expect(complete).toBe(true);
        expect(body.toString().match(/event \d/g)).toEqual([1, 2, 3, 4, 5].map((id) => `event ${id}`));
        client.close();
      });

      it(`of ${form}: a client that is gone is noticed, and comes back with the id of its last event`, {
        timeout: 20_000,
      }, async () => {
        const client = await open(front, "/left");
        const source = await streams.opened("/left");
        source.send(1);
        await client.waitForText(/event 1/, 10_000);
        client.reset();
        await waitUntilAborted(source, !TELL_AT_ONCE.has(name));
        const again = await open(front, "/again", "Last-Event-ID: 1\r\n");
        const next = await streams.opened("/again");
        expect(next.lastEventId).toBe("1");
        next.send(2);
        await again.waitForText(/event 2/, 10_000);
        next.end();
        again.close();
      });
    }
  });
}

/** @param whileSending the web server notices only when it has something to pass on */
async function waitUntilAborted(source: EventSource, whileSending: boolean): Promise<void> {
  let id = 1;
  await waitFor(
    () => {
      if (!source.isAborted && whileSending) source.send(++id);
      return source.isAborted;
    },
    { timeoutMs: 10_000, what: "the application to hear that the client is gone" },
  );
}

describeWithServer("nginx", "streams that are no event streams", () => {
  it("arrive piece by piece with fastcgi_buffering off", async () => {
    let response: ServerResponse | undefined;
    const listener = (_req: unknown, res: ServerResponse): void => {
      res.setHeader("Content-Type", "application/x-ndjson");
      res.write('{"n":0}\n');
      response = res;
    };
    const site = {
      web: "nginx",
      mount: "",
      transport: "unix",
      directives: "fastcgi_buffering off;",
    } as const;
    await withSite(site, listener, async ({ web }) => {
      const client = await open(web, "/");
      for (let n = 1; n <= 3; n++) {
        await client.waitForText(new RegExp(`"n":${n - 1}`));
        response!.write(`{"n":${n}}\n`);
      }
      response!.end();
      expect((await client.nextResponse()).complete).toBe(true);
      client.close();
    });
  });
});

for (const keepConn of [false, true]) {
  describeWithServer("nginx", `many open requests, ${keepConn ? "kept" : "closed"} connections`, () => {
    it("500 event streams are open on one worker, each gets its event, and closing ends them", {
      timeout: 60_000,
    }, async () => {
      const COUNT = 500;
      const streams = new Streams();
      const site = { web: "nginx", mount: "", transport: "unix", keepConn } as const;
      await withSite(
        { ...site, server: { drainTimeoutMs: 300 } },
        FORMS["listener"]!(streams),
        async ({ web, served }) => {
          const before = process.memoryUsage().heapUsed;
          const clients = [];
          for (let n = 0; n < COUNT; n++) clients.push(await open(web, `/${n}`));
          await waitFor(() => streams.all.length === COUNT, { timeoutMs: 20_000, what: "all streams" });
          for (const source of streams.all) source.send(7);
          for (const client of clients) await client.waitForText(/event 7/, 20_000);
          expect(served.server.stats.openRequests).toBe(COUNT);
          // The clients of this process are in it, too.
          expect((process.memoryUsage().heapUsed - before) / COUNT).toBeLessThan(200_000);
          await served.server.close();
          for (const client of clients) await client.waitForEnd(20_000);
          expect(streams.all.every(({ isAborted }) => isAborted)).toBe(true);
        },
      );
    });

    it("30 long polls wait on one worker and are all answered by one event", {
      timeout: 30_000,
    }, async () => {
      const waiting: ServerResponse[] = [];
      const listener = (req: IncomingMessage, res: ServerResponse): void => {
        if (req.url === "/poll") waiting.push(res);
        else res.end("quick");
      };
      await withSite({ web: "nginx", mount: "", transport: "unix", keepConn }, listener, async ({ web }) => {
        const polls = Array.from({ length: 30 }, () => request(`${web.origin}/poll`, { timeoutMs: 20_000 }));
        await waitFor(() => waiting.length === 30, { timeoutMs: 10_000, what: "30 polls" });
        expect((await request(`${web.origin}/`)).text).toBe("quick");
        for (const response of waiting) response.end("news");
        expect((await Promise.all(polls)).map(({ text }) => text)).toEqual(Array(30).fill("news"));
      });
    });
  });
}
