// Rows 4 and 5: the same application behind the same nginx, over FastCGI and over HTTP, both on kept connections.
import { ratioRow } from "./ratio.mjs";

const NGINX = { work: "hello", connections: 16, close: false, transport: "unix", nginx: true };
const OURS = ["postern fetch", "postern express", "postern fastify", "postern hono"];
const THEIRS = ["node:http express", "node:http fastify", "node:http hono"].map((name) => ({ name }));

export const rows = [
  ratioRow({
    row: "4",
    work: "hello behind nginx, application only / proxy_pass + node:http",
    group: NGINX,
    ours: OURS,
    theirs: [{ name: "node:http", gate: 0.75, goal: 0.6 }, ...THEIRS],
    pairs: true,
  }),
  ratioRow({
    row: "5",
    work: "hello behind nginx, nginx and application / proxy_pass + node:http",
    group: NGINX,
    figure: "totalUs",
    ours: OURS,
    theirs: [{ name: "node:http", gate: 0.9, goal: 0.75 }, ...THEIRS],
    pairs: true,
  }),
];
