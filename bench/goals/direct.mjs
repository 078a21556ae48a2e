// Rows 1-3, 6-8 and the first half of 10: hello on kept connections, without a web server.
import { ratioRow } from "./ratio.mjs";

const KEPT = { work: "hello", connections: 16, close: false, transport: "unix" };
/** node:http is used over TCP, so this is where it is compared. */
const TCP = { work: "hello", connections: 16, close: false, transport: "tcp" };

export const rows = [
  ratioRow({
    row: "1",
    work: "fetch hello, 16 kept connections / raw net floor",
    group: KEPT,
    ours: ["postern fetch"],
    theirs: [{ name: "floor", gate: 1.4, goal: 0.9 }],
  }),
  ratioRow({
    row: "2",
    work: "Node listener hello, 16 kept connections / raw net floor",
    group: KEPT,
    ours: ["postern listener"],
    theirs: [{ name: "floor", gate: 1.8, goal: 1.2 }],
  }),
  ratioRow({
    row: "10",
    work: "fetch hello, 16 kept connections / Go net/http/fcgi",
    group: KEPT,
    ours: ["postern fetch"],
    theirs: [{ name: "go", gate: 0.28, goal: 0.15 }],
  }),
  ratioRow({
    row: "3",
    work: "fetch hello / node:http, both TCP direct",
    group: TCP,
    ours: ["postern fetch"],
    theirs: [{ name: "node:http", gate: 0.7, goal: 0.45 }],
  }),
  ratioRow({
    row: "6",
    work: "Hono / @hono/node-server, TCP direct",
    group: TCP,
    ours: ["postern hono"],
    theirs: [{ name: "node:http hono", gate: 0.6, goal: 0.4 }],
  }),
  ratioRow({
    row: "7",
    work: "Express 5 / node:http + Express 5, TCP direct",
    group: TCP,
    ours: ["postern express"],
    theirs: [{ name: "node:http express", gate: 0.75, goal: 0.55 }],
  }),
  ratioRow({
    row: "8",
    work: "Fastify 5 / node:http + Fastify 5, TCP direct",
    group: TCP,
    ours: ["postern fastify"],
    theirs: [{ name: "node:http fastify", gate: 0.8, goal: 0.55 }],
  }),
];
