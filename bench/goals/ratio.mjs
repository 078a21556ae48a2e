// Rows that are a ratio of CPU time per request: ours / theirs, measured in turns in one group (bench.mjs).
import { median } from "../bench.mjs";

/**
 * @param row row and work as in the table; `group`; `ours`: names of candidates; `theirs`: `{ name, gate, goal }` of each
 *   peer (without a gate: for information); `figure`: "cpuUs" (default), or "totalUs" with nginx's share; `pairs: true`
 *   compares the first of ours with the first of theirs and so on, instead of all with all
 * @returns a row for index.mjs
 */
export function ratioRow({ row, work, group, ours, theirs, figure = "cpuUs", pairs = false }) {
  return {
    row,
    work,
    peers: theirs.map(({ name }) => name),
    want(bench) {
      bench.want(group, [...ours, ...theirs.map(({ name }) => name)]);
    },
    async measure(bench) {
      const figures = await bench.compare(group);
      return theirs.flatMap(({ name, gate, goal }, index) =>
        (pairs ? [ours[index]] : ours).map((our) => ({
          mode: our,
          peer: name,
          gate,
          goal,
          ...ratio(figures.get(our), figures.get(name), figure),
        })),
      );
    },
  };
}

function ratio(our, their, figure) {
  const missing = our.missing ?? their.missing;
  if (missing !== undefined) return { missing };
  const [ourUs, theirUs] = [median(our[figure]), median(their[figure])];
  return {
    measured: ourUs / theirUs,
    minima: Math.min(...our[figure]) / Math.min(...their[figure]),
    ourUs,
    theirUs,
  };
}
