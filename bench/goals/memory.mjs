// Rows 17 and 18: memory. Linux only.
import { rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { median } from "../bench.mjs";
import { startServer } from "../processes.mjs";
import { fastcgiRequest, httpRequest } from "../request-bytes.mjs";
import { startOnce, starts } from "../start-up/starts.mjs";
import { memoryMb, peakMb } from "../usage.mjs";

const DOWNLOAD_BYTES = 104857600;
/** What the reader takes in ms: 50 MB/s. */
const STEP_MS = 10;
const STEP_BYTES = 500_000;
const APP = new URL("../scaling/app.mjs", import.meta.url).pathname;
/** What is left over from the start or from an earlier answer goes, or settles. */
const SETTLE_MS = 300;

export const rows = [
  {
    row: "17",
    work: "memory growth while a slow reader takes 100 MiB",
    unit: " MB",
    gate: 10,
    goal: 4,
    peers: ["node:http"],
    async measure(bench) {
      const parts = [];
      for (const [mode, peer] of [
        ["listener", "none"],
        ["fetch", "none"],
        ["node:http", "node:http"],
      ]) {
        const path = `${bench.folder}/slow.sock`;
        rmSync(path, { force: true });
        const server = await startServer([bench.node, APP, mode, path], `unix:${path}`);
        const growth = [];
        try {
          await download(path, mode, Number.POSITIVE_INFINITY); // what stays from the first one is not growth
          for (let round = 0; round < Math.min(bench.rounds, 3); round++) {
            await wait(SETTLE_MS);
            const before = memoryMb(server.pid).rss;
            writeFileSync(`/proc/${server.pid}/clear_refs`, "5"); // forgets the peak
            await download(path, mode, STEP_BYTES);
            growth.push(peakMb(server.pid) - before);
          }
        } finally {
          await server.stop();
        }
        const isPeer = peer !== "none";
        parts.push({
          mode,
          peer,
          measured: median(growth),
          minima: Math.min(...growth),
          ...(isPeer && { gate: null, goal: null }),
        });
      }
      return parts;
    },
  },
  {
    row: "18",
    work: "private memory of an idle worker above a bare socket's",
    unit: " MB",
    gate: 5,
    goal: 3,
    peers: ["floor"],
    async measure(bench) {
      const all = starts(bench.node, bench.folder);
      const modes = ["a worker of the manager, listener", "a worker of the manager, fetch"];
      const names = [...modes, "a bare socket (node:net)"];
      const wanted = names.map((name) => all.find((start) => start.name === name));
      const figures = new Map(names.map((name) => [name, []]));
      for (let round = 0; round < bench.rounds; round++) {
        for (const start of wanted) {
          const { seen } = await startOnce(start, {}, async ([pid]) => {
            await wait(SETTLE_MS);
            return memoryMb(pid).private;
          });
          figures.get(start.name).push(seen);
        }
      }
      const floor = figures.get(names.at(-1));
      return modes.map((mode) => ({
        mode,
        peer: "floor",
        measured: median(figures.get(mode)) - median(floor),
        minima: Math.min(...figures.get(mode)) - Math.min(...floor),
      }));
    },
  },
];

/** Takes an answer, not more than so many bytes in every step. */
async function download(path, mode, stepBytes) {
  const { head, end } = fastcgiRequest({ path: `/bytes/${DOWNLOAD_BYTES}`, isKept: false });
  const request = mode === "node:http" ? httpRequest(`/bytes/${DOWNLOAD_BYTES}`) : Buffer.concat([head, end]);
  const socket = net.connect(path);
  socket.write(request);
  let got = 0;
  let inStep = 0;
  for await (const piece of socket) {
    got += piece.length;
    inStep += piece.length;
    if (inStep < stepBytes) continue;
    inStep = 0;
    await wait(STEP_MS);
  }
  if (got < DOWNLOAD_BYTES) throw new Error(`only ${got} bytes came`);
}
