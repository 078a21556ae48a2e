// `npm run bench`: Postern beside node:http and beside the floor (a socket that parses nothing), every interface and
// every kind of work.
import { Bench, median } from "./bench.mjs";

const MODES = [
  { connections: 16, close: false, transport: "unix" },
  { connections: 8, close: true, transport: "unix" },
];
const CANDIDATES = ["node:http", "postern listener", "worker listener", "postern fetch", "worker fetch"];
const WORK = ["hello", "headers", "64 KiB upload", "1 MiB response"];

/** @returns a row for each candidate in each work and mode */
export async function overview(options, onGroup) {
  const bench = new Bench(options);
  const groups = MODES.flatMap((mode) => WORK.map((work) => ({ ...mode, work })));
  // The floor answers one kind of request and never closes.
  const hasFloor = (group) => group.work === "hello" && !group.close;
  try {
    for (const group of groups) bench.want(group, hasFloor(group) ? ["floor", ...CANDIDATES] : CANDIDATES);
    await bench.setUp();
    const all = [];
    for (const group of groups) {
      const rows = rowsOf(group, await bench.compare(group), bench.nodeVersion);
      onGroup(rows);
      all.push(...rows);
    }
    return all;
  } finally {
    bench.close();
  }
}

function rowsOf(group, figures, node) {
  const http = usOf(figures.get("node:http"));
  const floor = usOf(figures.get("floor"));
  return [...figures].map(([candidate, figure]) => ({
    work: group.work,
    mode: group.close
      ? `connection per request, ${group.connections} at a time`
      : `${group.connections} kept connections`,
    candidate,
    node,
    ...(figure.missing === undefined
      ? {
          cpuUs: usOf(figure),
          toHttp: http && usOf(figure) / http,
          toFloor: floor && usOf(figure) / floor,
          perSecond: median(figure.perSecond),
          p50: median(figure.p50),
          p99: median(figure.p99),
        }
      : { missing: figure.missing }),
  }));
}

function usOf(figure) {
  return figure?.cpuUs === undefined ? undefined : median(figure.cpuUs);
}

/** One group as a table. */
export function printGroup(rows) {
  console.log(`\n${rows[0].work}, ${rows[0].mode} (node ${rows[0].node})`);
  console.log(`${"".padEnd(18)}  CPU us/request   / node:http   / floor    requests/s   p50 us   p99 us`);
  for (const row of rows) {
    const cell = (value, width, digits = 2) =>
      (value === undefined ? "-" : value.toFixed(digits)).padStart(width);
    console.log(
      row.missing ??
        row.candidate.padEnd(18) +
          cell(row.cpuUs, 16, 1) +
          cell(row.toHttp, 14) +
          cell(row.toFloor, 10) +
          cell(row.perSecond, 14, 0) +
          cell(row.p50, 9, 0) +
          cell(row.p99, 9, 0),
    );
  }
}
