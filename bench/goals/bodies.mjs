// Rows 14-16: large bodies, on the one kept connection that libfcgi can serve.
import { ratioRow } from "./ratio.mjs";

const group = (work) => ({ work, connections: 1, close: false, transport: "unix" });
const OURS = ["postern fetch", "postern listener"];

export const rows = [
  ratioRow({
    row: "14",
    work: "1 MiB response",
    group: group("1 MiB response"),
    ours: OURS,
    theirs: [
      { name: "libfcgi", gate: 0.65, goal: 0.45 },
      { name: "node:http", gate: 0.85, goal: 0.6 },
    ],
  }),
  ratioRow({
    row: "15",
    work: "64 KiB upload",
    group: group("64 KiB upload"),
    ours: [...OURS, "postern fetch, whole body"],
    theirs: [
      { name: "libfcgi", gate: 2.2, goal: 1.4 },
      { name: "node:http", gate: 0.85, goal: 0.55 },
    ],
  }),
  ratioRow({
    row: "16",
    work: "10 MiB upload",
    group: group("10 MiB upload"),
    ours: OURS,
    theirs: [
      { name: "libfcgi", gate: 1.8, goal: 1.2 },
      { name: "go", gate: 1.0, goal: 0.7 },
    ],
  }),
];
