// `npm run bench -- --goals`: the goal table, row by row, with what was measured.
import { loadavg } from "node:os";
import { Bench } from "./bench.mjs";
import { ROWS } from "./goals/index.mjs";

/**
 * @param options those of Bench, and `only`: numbers of rows (default: all)
 * @returns `{ row, work, mode, peer, measured, minima, gate, goal, verdict, unit, node }` of every comparison; `measured`
 *   is null where there is nothing to compare with, and `missing` says why
 */
export async function measureGoals({ only, ...options }) {
  const rows = only === undefined ? ROWS : ROWS.filter(({ row }) => only.includes(row));
  const unknown = (only ?? []).filter((number) => !ROWS.some(({ row }) => row === number));
  if (unknown.length > 0) throw new Error(`--only: there is no row ${unknown.join(", ")}`);
  const bench = new Bench(options);
  const results = [];
  try {
    for (const row of rows) row.want?.(bench);
    await bench.setUp(rows.flatMap(({ needs = [] }) => needs));
    for (const row of rows) {
      for (const part of await measured(row, bench)) results.push(entry(row, part, bench.nodeVersion));
    }
  } finally {
    bench.close();
  }
  return results;
}

/** A row that breaks down is missing, and the others go on. */
async function measured(row, bench) {
  try {
    return await row.measure(bench);
  } catch (error) {
    bench.say(`missing: row ${row.row}: ${error.stack}`);
    return row.peers.map((peer) => ({ peer, missing: error.message }));
  }
}

function entry({ row, work, unit = "", ...defaults }, part, node) {
  const { mode, peer, measured = null, gate = defaults.gate ?? null, goal = defaults.goal ?? null } = part;
  const result = {
    row,
    work,
    mode,
    peer,
    measured,
    gate,
    goal,
    verdict: verdict(measured, gate, goal),
    unit,
    node,
  };
  for (const name of ["minima", "ourUs", "theirUs", "missing"]) {
    if (part[name] !== undefined) result[name] = part[name];
  }
  return result;
}

function verdict(measured, gate, goal) {
  if (measured === null) return "missing";
  if (gate === null) return "-"; // for information
  if (measured <= goal) return "goal";
  return measured <= gate ? "gate" : "missed";
}

/** The table for people. */
export function printGoals(results, { rounds, seconds }) {
  const [first] = results;
  console.log(
    `CPU time per request as ratios of the medians of ${rounds} rounds of ${seconds} s, ours / theirs (node ${first?.node}, load of the machine ${loadavg()[0].toFixed(1)})\n`,
  );
  const lines = [
    ["row", "work", "of ours", "peer", "measured", "minima", "gate", "goal", "verdict", "us", "peer's us"],
  ];
  for (const result of results) {
    const number = (value) =>
      value === null || value === undefined ? "-" : `${digits(value)}${result.unit}`;
    const us = (value) => (value === undefined ? "-" : digits(value));
    lines.push([
      result.row,
      result.work,
      result.mode ?? "-",
      result.peer ?? "-",
      number(result.measured),
      number(result.minima),
      number(result.gate),
      number(result.goal),
      result.verdict,
      us(result.ourUs),
      us(result.theirUs),
    ]);
  }
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  for (const line of lines) {
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column]))
        .join("  ")
        .trimEnd(),
    );
  }
  const missing = results.filter((result) => result.missing !== undefined);
  if (missing.length > 0) console.log("\nmissing:");
  for (const { row, peer, missing: reason } of missing) console.log(`  row ${row}, ${peer}: ${reason}`);
}

function digits(value) {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}
