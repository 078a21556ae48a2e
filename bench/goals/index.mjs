// All rows of the goal table, from the files of this folder. A row is
//
//     {
//       row: "9", work: what is measured,
//       gate, goal: the most it may be, and what it should be at most (measure may say other ones),
//       unit: "" (a ratio, the default), " MB", " ms" …
//       peers: what it is compared with, for people,
//       needs: optional, names of set-up.mjs,
//       want(bench): optional, tells bench.want which groups will be compared,
//       async measure(bench): a list of { peer, measured } or { peer, missing: the reason }, with mode, gate, goal,
//                             minima, ourUs, theirUs where there are any
//     }
import { rows as bodies } from "./bodies.mjs";
import { rows as closing } from "./closing.mjs";
import { rows as direct } from "./direct.mjs";
import { rows as memory } from "./memory.mjs";
import { rows as nginx } from "./nginx.mjs";
import { rows as observability } from "./observability.mjs";
import { rows as start } from "./start.mjs";
import { rows as workers } from "./workers.mjs";

export const ROWS = [direct, nginx, closing, bodies, memory, observability, start, workers]
  .flat()
  .sort((a, b) => Number.parseInt(a.row, 10) - Number.parseInt(b.row, 10) || a.row.localeCompare(b.row));
