/** Bodies of a gibibyte both ways, through nginx and through our own gateway: the memory stays flat, and is printed. */
import { execFileSync } from "node:child_process";
import http from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startProgram } from "../support/e2e/built.ts";
import { watchMemory } from "../support/e2e/memory.ts";
import { connectHttp, request } from "../support/http.ts";
import { notice } from "../support/notice.ts";
import type { Running } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { serverUser, type WebServer } from "../support/web-servers/web-server.ts";

const MEBIBYTE = 1024 * 1024;
const GIBIBYTE = 1024 * MEBIBYTE;
/** Far below what was transferred, far above what buffers and a lazy garbage collector need. */
const MOST_GROWTH = 100 * MEBIBYTE;
/** What may be on its way when nobody reads: the buffers of three processes and of the kernel. */
const MOST_ON_ITS_WAY = 64 * MEBIBYTE;

interface Front {
  readonly origin: string;
  readonly pids: Readonly<Record<string, number>>;
}

let application: Running;
let gateway: Running;
let nginx: WebServer;
let fetchNginx: WebServer;
const fronts: Record<string, Front> = {};

/** Sends a body of zeros, by a length or in chunks. Gives the application's answer. */
async function upload(
  origin: string,
  path: string,
  bytes: number,
  onSent?: (sent: number) => void,
): Promise<unknown> {
  const client = await connectHttp(origin);
  await client.send(`POST ${path} HTTP/1.1\r\nHost: example.com\r\nContent-Length: ${bytes}\r\n\r\n`);
  const piece = Buffer.alloc(MEBIBYTE);
  for (let sent = 0; sent < bytes; sent += piece.length) {
    await client.send(piece);
    onSent?.(sent + piece.length);
  }
  const response = await client.nextResponse({ timeoutMs: 30_000 });
  client.close();
  return JSON.parse(response.body.toString());
}

/** Starts a download, and counts. */
async function download(
  origin: string,
  bytes: number,
): Promise<{ incoming: http.IncomingMessage; received: Promise<number> }> {
  const incoming = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http.get(`${origin}/download?bytes=${bytes}`, { agent: false }, resolve).once("error", reject);
  });
  let count = 0;
  incoming.on("data", (piece: Buffer) => {
    count += piece.length;
  });
  const received = new Promise<number>((resolve, reject) => {
    incoming.once("end", () => resolve(count));
    incoming.once("error", reject);
  });
  return { incoming, received };
}

async function measured(
  what: string,
  front: Front,
  bytes: number,
  transfer: () => Promise<void>,
): Promise<void> {
  const watch = watchMemory(front.pids);
  const startMs = performance.now();
  await transfer();
  const seconds = (performance.now() - startMs) / 1000;
  const growth = watch.stop();
  const inMebibytes = Object.entries(growth).map(
    ([name, grown]) => `${name} +${(grown / MEBIBYTE).toFixed(1)} MiB`,
  );
  const rate = (bytes / MEBIBYTE / seconds).toFixed(0);
  notice(
    `${what}: ${bytes / MEBIBYTE} MiB in ${seconds.toFixed(1)} s, ${rate} MiB/s; ${inMebibytes.join(", ")}`,
  );
  for (const [name, grown] of Object.entries(growth))
    expect(grown, `growth of ${name}`).toBeLessThan(MOST_GROWTH);
}

async function state(): Promise<{ written: number; received: number }> {
  return JSON.parse((await request(`${fronts["nginx"]!.origin}/state`)).text) as {
    written: number;
    received: number;
  };
}

/** Waits until a count has stopped: the same for ten readings. */
async function stopped(read: () => number | Promise<number>): Promise<number> {
  let [last, times] = [-1, 0];
  await waitFor(
    async () => {
      const now = await read();
      times = now === last ? times + 1 : 0;
      last = now;
      return times >= 10;
    },
    { timeoutMs: 20_000, what: "the transfer to stop" },
  );
  return last;
}

describeWithServer("nginx", "large bodies", () => {
  beforeAll(async () => {
    const folder = temporaryFolder("stream");
    const [listener, fetching] = [join(folder, "l.sock"), join(folder, "f.sock")];
    const user = serverUser();
    application = await startProgram("streaming-app.js", [
      `unix:${listener}`,
      `unix:${fetching}`,
      ...(user ? [String(user.gid)] : []),
    ]);
    await application.waitForLine(/ready/);
    nginx = await startNginx({ application: { unix: listener }, streaming: true });
    fetchNginx = await startNginx({ application: { unix: fetching }, streaming: true, keepConn: true });
    gateway = await startProgram("gateway.js", [`unix:${listener}`]);
    const [, port] = await gateway.waitForLine(/port (\d+)/);
    const app = application.pid;
    fronts["nginx"] = { origin: nginx.origin, pids: { app, nginx: workerOf(nginx) } };
    fronts["fetch behind nginx"] = { origin: fetchNginx.origin, pids: { app, nginx: workerOf(fetchNginx) } };
    fronts["gateway"] = { origin: `http://127.0.0.1:${port}`, pids: { app, gateway: gateway.pid } };
    // Code is compiled and heaps find their size before anything is measured.
    for (const { origin } of Object.values(fronts)) {
      await upload(origin, "/upload", 32 * MEBIBYTE);
      await (await download(origin, 32 * MEBIBYTE)).received;
    }
  });
  afterAll(async () => {
    await nginx.stop();
    await fetchNginx.stop();
    await gateway.stop();
    await application.stop();
  });

  for (const [name, bytes] of [
    ["nginx", GIBIBYTE],
    ["gateway", GIBIBYTE],
    ["fetch behind nginx", GIBIBYTE / 4],
  ] as const) {
    it(`an upload of ${bytes / MEBIBYTE} MiB through ${name} takes no memory`, async () => {
      const front = fronts[name]!;
      await measured(`upload through ${name}`, front, bytes, async () => {
        expect(await upload(front.origin, "/upload", bytes)).toMatchObject({ received: bytes });
      });
    });

    it(`a download of ${bytes / MEBIBYTE} MiB through ${name} takes no memory`, async () => {
      const front = fronts[name]!;
      await measured(`download through ${name}`, front, bytes, async () => {
        expect(await (await download(front.origin, bytes)).received).toBe(bytes);
      });
    });
  }

  for (const name of ["nginx", "gateway"] as const) {
    it(`a client that does not read stops the application, through ${name}`, async () => {
      const front = fronts[name]!;
      const bytes = 256 * MEBIBYTE;
      await measured(`download by a slow reader through ${name}`, front, bytes, async () => {
        const { incoming, received } = await download(front.origin, bytes);
        incoming.pause();
        expect(await stopped(async () => (await state()).written)).toBeLessThan(MOST_ON_ITS_WAY);
        incoming.resume();
        expect(await received).toBe(bytes);
      });
    });

    it(`an application that does not read stops the client, through ${name}`, async () => {
      const front = fronts[name]!;
      const bytes = 256 * MEBIBYTE;
      await measured(`upload to a slow reader through ${name}`, front, bytes, async () => {
        let sent = 0;
        const answer = upload(front.origin, "/upload?wait", bytes, (total) => {
          sent = total;
        });
        await waitFor(() => sent > 0);
        expect(await stopped(() => sent)).toBeLessThan(MOST_ON_ITS_WAY);
        await request(`${fronts["nginx"]!.origin}/go`);
        expect(await answer).toMatchObject({ received: bytes });
      });
    });
  }
});

/** The worker of an nginx that has one. */
function workerOf(server: WebServer): number {
  const pids = execFileSync("pgrep", ["-P", String(server.process.pid)], { encoding: "utf8" })
    .trim()
    .split("\n");
  return Number(pids[0]);
}
