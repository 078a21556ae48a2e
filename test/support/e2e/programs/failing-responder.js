#!/usr/bin/env node
/**
 * A FastCGI program that fails on the wire as programs do, written from the specification and with none of the
 * product's code. It listens where its argument says, a path or a port; without one on descriptor 0. `?way=` of the
 * request says how it fails; without it, it answers.
 */
import { chmodSync, chownSync } from "node:fs";
import { createServer } from "node:net";

const [where, group] = process.argv.slice(2);
const STDIN = 5;
const STDOUT = 6;
const END_REQUEST = 3;

function record(type, id, content = "") {
  const body = Buffer.from(content, "latin1");
  const head = Buffer.from([1, type, id >> 8, id & 255, body.length >> 8, body.length & 255, 0, 0]);
  return Buffer.concat([head, body]);
}

const whole = (id, text) =>
  Buffer.concat([record(STDOUT, id, text), record(STDOUT, id), record(END_REQUEST, id, "\0\0\0\0\0\0\0\0")]);
const die = () => process.kill(process.pid, "SIGKILL");
const HEAD = "Status: 200 OK\r\nContent-Type: text/plain\r\n";

const WAYS = {
  fine: (socket, id) => socket.end(whole(id, `${HEAD}\r\nfine`)),
  silent: () => {},
  die,
  half: (socket, id) => socket.write(record(STDOUT, id, `${HEAD}\r\n${"x".repeat(20_000)}`), later),
  "half-length": (socket, id) =>
    socket.write(record(STDOUT, id, `${HEAD}Content-Length: 100000\r\n\r\n${"x".repeat(20_000)}`), later),
  // What a print before the header lines makes of them.
  text: (socket, id) => socket.end(whole(id, `connecting to the database\n${HEAD}\r\nfine`)),
  status: (socket, id) => socket.end(whole(id, "Status: fine\r\nContent-Type: text/plain\r\n\r\nfine")),
  "big-head": (socket, id) => socket.end(whole(id, `${HEAD}X-Big: ${"x".repeat(60_000)}\r\n\r\nfine`)),
  "huge-head": (socket, id) =>
    socket.end(
      Buffer.concat([
        record(STDOUT, id, `${HEAD}X-Big: ${"x".repeat(60_000)}`),
        whole(id, `${"x".repeat(20_000)}\r\n\r\nfine`),
      ]),
    ),
};

/** The part that was written shall be on its way to the client first. */
function later() {
  setTimeout(die, 300);
}

const server = createServer((socket) => {
  socket.on("error", () => {});
  let pending = Buffer.alloc(0);
  let params = "";
  socket.on("data", (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 8) {
      const length = pending.readUInt16BE(4);
      const total = 8 + length + pending[6];
      if (pending.length < total) return;
      const [type, id] = [pending[1], pending.readUInt16BE(2)];
      params += pending.toString("latin1", 8, 8 + length);
      pending = pending.subarray(total);
      if (type === STDIN && length === 0) {
        const way = /\?way=([a-z-]+)/.exec(params)?.[1] ?? "fine";
        params = "";
        WAYS[way](socket, id);
      }
    }
  });
});
if (where === undefined) server.listen({ fd: 0 }, ready);
else if (where.includes("/")) {
  server.listen(where, () => {
    chmodSync(where, 0o660);
    if (group !== undefined) chownSync(where, process.getuid(), Number(group));
    ready();
  });
} else server.listen(Number(where), "127.0.0.1", ready);

function ready() {
  console.log("ready");
}
