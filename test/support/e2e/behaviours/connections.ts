/** How answers flow, how connections live and end, and what happens at the limits. */
import { writeFileSync } from "node:fs";
import { expect } from "vitest";
import { connectHttp, type HttpConnection, request } from "../../http.ts";
import { waitFor } from "../../wait.ts";
import type { SuiteSite } from "../sites.ts";
import { HAPROXY } from "./differences.ts";
import {
  ask,
  type Behaviour,
  begin,
  type Context,
  echoOf,
  finalResponse,
  get,
  headOf,
  isPython,
  newId,
} from "./model.ts";

const MEBIBYTE = 1_048_576;
/** More than any server collects before it sees that nobody is there. */
const FLOOD_BYTES = 1024 * MEBIBYTE;

/** The second piece is written only when the client has the first. */
async function pieces(context: Context, type: string): Promise<string | undefined> {
  const gate = newId();
  const client = await begin(
    context.web,
    `GET ${context.site.mount}/probe/pieces?gate=${gate}&type=${encodeURIComponent(type)}`,
  );
  let hasFirst: boolean;
  try {
    if (context.expected === undefined) await client.waitForText(/data: first/);
    else await get(context, "/between");
    hasFirst = client.text().includes("data: first");
    expect(client.text()).not.toContain("second");
  } finally {
    context.probe.open(gate);
  }
  const { body, complete } = await finalResponse(client);
  expect([body.toString(), complete]).toEqual(["data: first\n\ndata: second\n\n", true]);
  client.close();
  return hasFirst ? undefined : "collected first";
}

export const streamingBehaviours: readonly Behaviour[] = [
  {
    name: "streaming: server-sent events reach the client one by one",
    test: (context) => pieces(context, "text/event-stream"),
  },
  {
    name: "streaming: any answer in pieces reaches the client piece by piece",
    test: (context) => pieces(context, "text/plain"),
  },
  {
    name: "streaming: an answer in pieces reaches an HTTP/1.0 client whole",
    async test({ web, site, probe }) {
      const gate = newId();
      probe.open(gate);
      const client = await connectHttp(web.origin);
      const path = `${site.mount}/probe/pieces?gate=${gate}&type=text/plain`;
      await client.send(`GET ${path} HTTP/1.0\r\nHost: example.com\r\n\r\n`);
      const { body } = await finalResponse(client);
      expect(body.toString()).toBe("data: first\n\ndata: second\n\n");
      client.close();
      return undefined;
    },
  },
];

/**
 * A request on a connection that the web server has accepted before. Some do not watch a connection that came with its
 * request, so that they would notice its end or not, by chance: see docs/web-servers.md.
 */
async function beginAccepted(context: Context, path: string): Promise<HttpConnection> {
  const head = headOf(`GET ${context.site.mount}${path}`);
  const client = await connectHttp(context.web.origin);
  await client.send(head.subarray(0, 1));
  // Connections are accepted in order: when a later one is answered, this one is waited for.
  await get(context, "/accepted");
  await client.send(head.subarray(1));
  return client;
}

/** What the application hears of a client that is gone while it works: at once, when it writes, or never. */
async function leaving(context: Context, leave: "close" | "reset"): Promise<string | undefined> {
  const { site, probe, expected } = context;
  const [id, gate] = [newId(), newId()];
  const path = `/probe/flood?bytes=${16 * MEBIBYTE}&id=${id}&gate=${gate}`;
  const client = await beginAccepted(context, path);
  await probe.wait("the request", (entry) => entry.event === "request" && entry.id === id);
  client[leave]();
  const left = (): boolean => probe.entries().some((entry) => entry.event === "left" && entry.id === id);
  try {
    if (expected === undefined) {
      const entry = await probe.wait("that the client left", (one) => one.event === "left" && one.id === id);
      expect(entry.destroyed).toBe(true);
      return undefined;
    }
    await waitFor(() => client.socket.destroyed);
    // mod_fcgid gives a process one request at a time, and this may be the only process.
    if (site.column !== "Apache mod_fcgid") await get(context, "/between");
    if (left()) return undefined;
  } finally {
    probe.open(gate);
  }
  await waitFor(
    () => probe.entries().some((entry) => entry.id === id && ["left", "flooded"].includes(entry.event)),
    { timeoutMs: 15_000, what: "the end of the request" },
  );
  await probe.waitUntilIdle();
  return left() ? "when it writes" : "never";
}

export const leavingBehaviours: readonly Behaviour[] = [
  {
    name: "leaving: a client that closes is noticed while the application works",
    test: (context) => leaving(context, "close"),
  },
  {
    name: "leaving: a client that resets is noticed while the application works",
    test: (context) => leaving(context, "reset"),
  },
  {
    name: "leaving: a client that resets is noticed while the answer streams",
    async test(context) {
      const { probe } = context;
      const id = newId();
      const client = await beginAccepted(context, `/probe/flood?bytes=${FLOOD_BYTES}&id=${id}`);
      await probe.wait("the first MiB", (entry) => entry.event === "wrote" && entry.id === id);
      client.reset();
      const end = await probe.wait(
        "the end of the request",
        (entry) => entry.id === id && ["left", "flooded"].includes(entry.event),
      );
      await probe.waitUntilIdle();
      return end.event === "left" ? undefined : "never";
    },
  },
];

function uncounted({ transports, isSpawned }: SuiteSite): string | undefined {
  return isSpawned || transports.length > 1 ? "counted where there is one process of our own" : undefined;
}

/** How many connections the web server made for ten requests, one after the other. */
async function connectionsOfTen({ web, site, probe }: Context): Promise<number> {
  const ids: string[] = [];
  const client = await connectHttp(web.origin);
  for (let n = 0; n < 10; n++) {
    const id = newId();
    ids.push(id);
    await client.send(`GET ${site.mount}/kept?id=${id} HTTP/1.1\r\nHost: example.com\r\n\r\n`);
    expect(echoOf(await client.nextResponse()).url).toBe(`/kept?id=${id}`);
  }
  client.close();
  const counts = probe
    .entries()
    .filter(({ event, id }) => event === "request" && ids.includes(id ?? ""))
    .map(({ acceptedConnections }) => acceptedConnections ?? 0);
  expect(counts.length).toBe(10);
  return Math.max(...counts) - Math.min(...counts) + 1;
}

export const connectionBehaviours: readonly Behaviour[] = [
  {
    name: "connections: kept, ten requests of one client come on one or two",
    left: (site) =>
      uncounted(site) ?? (site.isKeptAlive ? undefined : "keep-alive is off, or the server has none"),
    async test(context) {
      expect(await connectionsOfTen(context)).toBeLessThanOrEqual(2);
      return undefined;
    },
  },
  {
    name: "connections: not kept, each of ten requests has its own, closed after it",
    left: (site) => uncounted(site) ?? (site.isKeptAlive ? "keep-alive is on" : undefined),
    async test(context) {
      const open = (): number =>
        context.probe.entries().findLast(({ event }) => event === "state")?.connections ?? 0;
      // HAProxy 2.6 keeps one open for a while whose client has left in the middle of an upload.
      const before = open();
      expect(await connectionsOfTen(context)).toBe(10);
      await waitFor(() => open() <= before, { what: "their connections to be closed" });
      return undefined;
    },
  },
  {
    name: "connections: several applications share the requests",
    left: ({ transports }) => (transports.length < 2 ? "there is one" : undefined),
    async test(context) {
      const before = context.probe.entries().length;
      await Promise.all(Array.from({ length: 30 }, () => get(context, "/shared")));
      const pids = new Set(
        context.probe
          .entries()
          .slice(before)
          .map(({ pid }) => pid),
      );
      expect(pids.size).toBe(context.site.transports.length);
      return undefined;
    },
  },
  {
    name: "connections: 50 at once are answered, each with its own answer",
    left: ({ column, isMultiplexed }) =>
      column === "HAProxy" && isMultiplexed
        ? "2.6 answers 500 by itself to some of many at once: multiplexing.test.ts asks it"
        : undefined,
    async test({ web, site }) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          request(`${web.origin}${site.mount}/n?${n}`, {
            body: `body ${n}`.repeat(n),
            // mod_fcgid has a process for each, starts them one by one, and lets requests wait for that.
            timeoutMs: 80_000,
          }).then(echoOf),
        ),
      );
      expect(answers.map(({ url, bodyBytes }) => [url, bodyBytes])).toEqual(
        answers.map((_, n) => [`/n?${n}`, `body ${n}`.length * n]),
      );
      return undefined;
    },
  },
  {
    name: "connections: a client's requests in one write (pipelined) are answered in order",
    async test({ web, site }) {
      const client = await connectHttp(web.origin);
      const one = (n: number): string => `GET ${site.mount}/p?${n} HTTP/1.1\r\nHost: example.com\r\n\r\n`;
      await client.send(one(1) + one(2) + one(3));
      const urls = [];
      for (let n = 1; n <= 3; n++) urls.push(echoOf(await finalResponse(client)).url);
      expect(urls).toEqual(["/p?1", "/p?2", "/p?3"]);
      client.close();
      return undefined;
    },
  },
  {
    name: "limits: parameters beyond Postern's limit are answered 431, and the next request is served",
    left: (site) => {
      if (isPython(site)) return "the limit in Python, 262144 bytes, is more than web servers let through";
      return site.hand === undefined ? undefined : "its limits are its own";
    },
    async test(context) {
      const lines = [1, 2].map((n) => `X-Big-${n}: ${"x".repeat(3700)}`);
      const refused = await get(context, "/big", lines.join("\n"));
      expect(refused.status).toBe(431);
      expect(refused.body.toString()).toContain("Request Header Fields Too Large");
      const { level } = await context.probe.wait(
        "the line of its log",
        ({ code }) => code === "ERR_POSTERN_PARAMS_TOO_LARGE",
      );
      expect(level).toBe("warn");
      expect(echoOf(await get(context, "/next")).url).toBe("/next");
      return undefined;
    },
  },
];

function withoutFiles({ column, hand }: SuiteSite): string | undefined {
  if (HAPROXY.includes(column)) return "HAProxy sends no files; something else has to";
  return hand === undefined ? undefined : "it has no such folder";
}

export const fileBehaviours: readonly Behaviour[] = [
  {
    name: "files: those of a static folder are sent by the web server",
    left: withoutFiles,
    async test(context) {
      const before = context.probe.entries().length;
      const seen = await ask(context.web, "GET /static/site.css");
      expect([seen.status, seen.body.toString()]).toEqual([200, "body { color: red }\n"]);
      expect(seen.header("content-type").join()).toMatch(/^text\/css/);
      const asked = context.probe.entries().slice(before);
      expect(asked.filter(({ event }) => event === "request")).toEqual([]);
      return undefined;
    },
  },
  {
    name: "files: one that is missing there is a 404 of the web server's",
    left: withoutFiles,
    async test({ web }) {
      const seen = await ask(web, "GET /static/missing.css");
      expect(seen.status).toBe(404);
      expect(seen.body.toString()).not.toContain("originalUrl");
      return undefined;
    },
  },
  {
    name: "files: nothing outside the folder is sent",
    left: withoutFiles,
    async test({ web }) {
      for (const path of ["/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static/..%2fsecret.txt"]) {
        const seen = await ask(web, `GET ${path}`);
        expect(seen.body.toString()).not.toContain("not for visitors");
      }
      return undefined;
    },
  },
];

/** What {@link fileBehaviours} ask for. */
export function writeFiles(folder: string): void {
  writeFileSync(`${folder}/static/site.css`, "body { color: red }\n");
  writeFileSync(`${folder}/../secret.txt`, "not for visitors\n");
}
