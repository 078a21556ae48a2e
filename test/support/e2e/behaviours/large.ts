/** Bodies that must not be held in memory, in both directions, and the reader that is slower than the application. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { expect } from "vitest";
import { isThorough } from "../../thorough.ts";
import { waitFor } from "../../wait.ts";
import { residentBytes, watchMemory } from "../memory.ts";
import type { Echo, Entry } from "../probe.ts";
import type { SuiteSite } from "../sites.ts";
import { type Behaviour, type Context, get, isPython, newId } from "./model.ts";

const MEBIBYTE = 1_048_576;
const LARGE_BYTES = 200 * MEBIBYTE;
/** More than a web server and the kernel hold on the way of one answer. */
const FLOOD_BYTES = 96 * MEBIBYTE;
/** What a process of Node may need for a moment, whatever goes through it. */
const SOME_MEMORY = 80 * MEBIBYTE;

const once200 = (site: SuiteSite): string | undefined =>
  isThorough && (site.isFirst || (isPython(site) && site.column === "nginx"))
    ? undefined
    : "once for each server and each framework in Python, when everything is tested";

interface Download {
  readonly incoming: http.IncomingMessage;
  readonly received: Promise<{ readonly bytes: number; readonly sha256: string }>;
}

/** GET of a large answer, of which nothing is kept. */
async function download({ web, site }: Context, path: string): Promise<Download> {
  const outgoing = http.get(`${web.origin}${site.mount}${path}`, { agent: false });
  const [incoming] = (await once(outgoing, "response")) as [http.IncomingMessage];
  expect(incoming.statusCode).toBe(200);
  const hash = createHash("sha256");
  let bytes = 0;
  incoming.on("data", (piece: Buffer) => {
    hash.update(piece);
    bytes += piece.length;
  });
  const received = once(incoming, "end").then(() => ({ bytes, sha256: hash.digest("hex") }));
  return { incoming, received };
}

/** POST of so many bytes, no faster than they are taken. */
async function upload({ web, site }: Context, bytes: number): Promise<{ sent: string; echo: Echo }> {
  const outgoing = http.request(`${web.origin}${site.mount}/upload`, {
    agent: false,
    method: "POST",
    headers: { "Content-Length": bytes },
  });
  const response = once(outgoing, "response") as Promise<[http.IncomingMessage]>;
  const hash = createHash("sha256");
  for (let at = 0; at < bytes; at += MEBIBYTE) {
    const piece = Buffer.alloc(MEBIBYTE, at / MEBIBYTE);
    hash.update(piece);
    if (!outgoing.write(piece)) await once(outgoing, "drain");
  }
  outgoing.end();
  const [incoming] = await response;
  const body = Buffer.concat(await incoming.toArray()).toString("latin1");
  expect(incoming.statusCode, body).toBe(200);
  return { sent: hash.digest("hex"), echo: JSON.parse(body) as Echo };
}

/** The application's process. */
function pidOf({ probe }: Context): number {
  return probe.entries().at(-1)?.pid ?? 0;
}

export const largeBehaviours: readonly Behaviour[] = [
  {
    name: "bodies: 200 MiB arrive by their checksum, and are not held in memory",
    left: once200,
    async test(context) {
      await get(context, "/warm");
      const memory = watchMemory({ application: pidOf(context) });
      const { sent, echo } = await upload(context, LARGE_BYTES);
      expect(echo).toMatchObject({ bodyBytes: LARGE_BYTES, bodySha256: sent });
      expect(memory.stop()["application"]).toBeLessThan(SOME_MEMORY);
      return undefined;
    },
  },
  {
    name: "responses: 200 MiB arrive by their checksum, and are not held in memory",
    left: once200,
    async test(context) {
      const id = newId();
      await get(context, "/warm");
      const memory = watchMemory({ application: pidOf(context) });
      const { received } = await download(context, `/probe/flood?bytes=${LARGE_BYTES}&id=${id}`);
      const { bytes, sha256 } = await received;
      const { sha256: sent } = await context.probe.wait(
        "the checksum",
        (entry) => entry.event === "flooded" && entry.id === id,
      );
      expect([bytes, sha256]).toEqual([LARGE_BYTES, sent]);
      expect(memory.stop()["application"]).toBeLessThan(SOME_MEMORY);
      return undefined;
    },
  },
  {
    name: "back-pressure: a client that does not read stops the application, whose memory stays as it is",
    async test(context) {
      const { probe, expected } = context;
      const id = newId();
      await get(context, "/warm");
      const memory = residentBytes(pidOf(context));
      const { incoming, received } = await download(context, `/probe/flood?bytes=${FLOOD_BYTES}&id=${id}`);
      incoming.pause();
      const mine = (): Entry[] => probe.entries().filter((entry) => entry.id === id);
      const isWhole = (): boolean => mine().some(({ event }) => event === "flooded");
      const written = (): number => Math.max(0, ...mine().map(({ bytes }) => bytes ?? 0));
      if (expected === undefined) await stopped(() => (isWhole() ? FLOOD_BYTES : written()));
      else await waitFor(isWhole, { timeoutMs: 20_000, what: "the whole answer to be taken" });
      const wasCollected = isWhole();
      expect(residentBytes(pidOf(context)) - memory).toBeLessThan(SOME_MEMORY);
      incoming.resume();
      expect((await received).bytes).toBe(FLOOD_BYTES);
      return wasCollected ? "collected by the web server" : undefined;
    },
  },
];

/** Waits until a count has stopped: the same for ten readings. */
async function stopped(read: () => number): Promise<number> {
  let [last, times] = [-1, 0];
  await waitFor(
    () => {
      const now = read();
      times = now === last ? times + 1 : 0;
      last = now;
      return times >= 10 || now === FLOOD_BYTES;
    },
    { timeoutMs: 20_000, what: "the answer to stop" },
  );
  return last;
}
