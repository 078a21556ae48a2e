/** A histogram for a terminal: a bar for each range of times, ranges as people count: 1, 1.5, 2, 3, 5, 7, 10. */
import type { Histogram } from "./histogram.ts";

const STEPS = [1, 1.5, 2, 3, 5, 7];
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** @param columns of the whole drawing @param hasBlocks whether the terminal shows Unicode's blocks */
export function drawHistogram(histogram: Histogram, columns: number, hasBlocks: boolean): string[] {
  if (histogram.count === 0) return [];
  const edges = edgesOf(histogram.least, histogram.most);
  const counts = histogram.between(edges);
  const first = counts.findIndex((count) => count > 0);
  const last = counts.findLastIndex((count) => count > 0);
  const labels = counts.map((_count, index) => labelOf(edges, index));
  const width = Math.max(...labels.slice(first, last + 1).map((label) => label.length));
  const room = Math.max(10, columns - width - 20);
  const most = Math.max(...counts);
  const lines: string[] = [];
  for (let index = first; index <= last; index++) {
    const count = counts[index]!;
    const share = ((count / histogram.count) * 100).toFixed(1).padStart(5);
    const line = `${labels[index]!.padStart(width)}  ${share} %  ${bar(count / most, room, hasBlocks)}`;
    lines.push(line.trimEnd());
  }
  return lines;
}

function edgesOf(least: number, most: number): number[] {
  const edges: number[] = [];
  for (let power = Math.floor(Math.log10(least || 0.001)); 10 ** power <= most * 10; power++) {
    edges.push(...STEPS.map((step) => Number((step * 10 ** power).toPrecision(2))));
  }
  return edges;
}

function labelOf(edges: readonly number[], index: number): string {
  const upper = edges[index];
  return upper === undefined ? `from ${inMs(edges[index - 1] ?? 0)}` : `below ${inMs(upper)}`;
}

function bar(share: number, room: number, hasBlocks: boolean): string {
  if (!hasBlocks) return "#".repeat(Math.max(share > 0 ? 1 : 0, Math.round(share * room)));
  const eighths = Math.max(share > 0 ? 1 : 0, Math.round(share * room * 8));
  return "█".repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8]!;
}

/** `0.32 ms`, `12 ms`, `1.5 s`: three figures are as many as a measurement has. */
export function inMs(ms: number): string {
  if (ms >= 1000) return `${figures(ms / 1000)} s`;
  return `${figures(ms)} ms`;
}

/** Three significant figures, without an exponent. */
export function figures(value: number): string {
  if (value === 0) return "0";
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}
