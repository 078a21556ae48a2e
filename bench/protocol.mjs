/**
 * Nanoseconds per request of the protocol machine alone: a 26-parameter GET in, a 12-byte answer out, no socket.
 *
 *     npm run build && node bench/protocol.mjs [seconds per case]
 *
 * Prints the median and the best of several rounds: compare bests, on the same machine, one after the other.
 */
import { readFileSync } from "node:fs";

const dist = process.env["POSTERN_DIST"] ?? new URL("../dist", import.meta.url).href;
const { AppConnection, Params, RecordReader, RecordWriter, SlabPool, encodeParams } = await import(
  `${dist}/protocol/index.js`
);

const SECONDS = Number(process.argv[2] ?? 1);
const ROUNDS = 9;

/** What nginx 1.22 sends for a plain GET with its usual fastcgi_params. */
const PARAMS = [
  ["QUERY_STRING", ""],
  ["REQUEST_METHOD", "GET"],
  ["CONTENT_TYPE", ""],
  ["CONTENT_LENGTH", ""],
  ["SCRIPT_NAME", "/hello"],
  ["REQUEST_URI", "/hello"],
  ["DOCUMENT_URI", "/hello"],
  ["DOCUMENT_ROOT", "/usr/share/nginx/html"],
  ["SERVER_PROTOCOL", "HTTP/1.1"],
  ["REQUEST_SCHEME", "http"],
  ["GATEWAY_INTERFACE", "CGI/1.1"],
  ["SERVER_SOFTWARE", "nginx/1.22.1"],
  ["REMOTE_ADDR", "127.0.0.1"],
  ["REMOTE_PORT", "40718"],
  ["REMOTE_USER", ""],
  ["SERVER_ADDR", "127.0.0.1"],
  ["SERVER_PORT", "8080"],
  ["SERVER_NAME", "example.com"],
  ["REDIRECT_STATUS", "200"],
  ["HTTP_HOST", "example.com:8080"],
  ["HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"],
  ["HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
  ["HTTP_ACCEPT_LANGUAGE", "en-GB,en;q=0.5"],
  ["HTTP_ACCEPT_ENCODING", "gzip, deflate, br"],
  ["HTTP_CONNECTION", "keep-alive"],
  ["HTTP_COOKIE", "session=0123456789abcdef0123456789abcdef"],
];

function record(type, id, content) {
  const header = Buffer.from([1, type, id >> 8, id & 255, content.length >> 8, content.length & 255, 0, 0]);
  return Buffer.concat([header, content]);
}

const none = Buffer.alloc(0);
const begin = record(1, 1, Buffer.from([0, 1, 1, 0, 0, 0, 0, 0]));
const content = encodeParams(PARAMS);
const hello = Buffer.concat([begin, record(4, 1, content), record(4, 1, none), record(5, 1, none)]);

const sink = { onStdin() {}, onStdinEnd() {}, onData() {}, onDataEnd() {}, onAbort() {} };
const HEAD = "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 12\r\n\r\n";
const LIMITS = { maxParamsBytes: 262144, maxParams: 1000, maxRequests: 64, maxConnections: 1024 };

/** A connection whose application answers at once, reading `names`. */
function connection(names) {
  const writer = new RecordWriter(new SlabPool());
  const app = new AppConnection(
    {
      onRequest(request) {
        for (const name of names) request.params.get(name);
        app.writeHead(request, HEAD);
        app.writeText(request, "Hello world\n", "utf8");
        app.end(request, 0, 0);
        return sink;
      },
      onRefuse() {},
    },
    writer,
    LIMITS,
  );
  return (chunk) => {
    app.receive(chunk);
    writer.take();
    writer.recycle(true);
  };
}

/** Splits a chunk into pieces of `size`. */
function pieces(chunk, size) {
  const list = [];
  for (let at = 0; at < chunk.length; at += size) list.push(chunk.subarray(at, at + size));
  return list;
}

const plain = connection([]);
const four = connection(["REQUEST_METHOD", "REQUEST_URI", "SCRIPT_NAME", "CONTENT_LENGTH"]);
const byteByByte = connection([]);
const crumbs = pieces(hello, 1);
const stdin1 = Buffer.concat(Array.from({ length: 1000 }, () => record(5, 1, Buffer.from("x"))));
const params1 = Buffer.concat([
  begin,
  ...Array.from({ length: content.length }, (_, at) => record(4, 1, content.subarray(at, at + 1))),
  record(4, 1, none),
  record(5, 1, none),
]);
const upload = connection([]);
const held = new AppConnection(
  { onRequest: () => sink, onRefuse() {} },
  new RecordWriter(new SlabPool()),
  LIMITS,
);
held.receive(Buffer.concat([begin, record(4, 1, content), record(4, 1, none)]));
const reader = new RecordReader({ onRecord() {}, onContent() {}, onRecordEnd() {} });
const text = content.toString("latin1");
const small = Buffer.alloc(1024, "x");
const large = Buffer.alloc(262144, "x");
const writer = new RecordWriter(new SlabPool());

/** name, times the unit happens per call, call */
const CASES = [
  ["request, no parameter looked at", 1, () => plain(hello)],
  ["request, four parameters looked at", 1, () => four(hello)],
  [`request, byte by byte (${hello.length} chunks)`, 1, () => crumbs.forEach(byteByByte)],
  [`request, ${content.length} PARAMS records of 1 byte`, 1, () => upload(params1)],
  ["RecordReader alone, 4 records", 1, () => reader.push(hello)],
  ["Params.decode, 26 pairs", 1, () => Params.decode(text, 1000)],
  ["STDIN record of 1 byte", 1000, () => held.receive(stdin1)],
  [
    "write 1 KiB",
    1,
    () => {
      writer.writeBytes(6, 1, small);
      writer.endRequest(1, 0, 0);
      writer.take();
      writer.recycle(true);
    },
  ],
  [
    "write 256 KiB",
    1,
    () => {
      writer.writeBytes(6, 1, large);
      writer.endRequest(1, 0, 0);
      writer.take();
      writer.recycle(true);
    },
  ],
];

/** Nanoseconds of this process's own processor time per call: other work on the machine disturbs it less than a clock. */
function measure(call, milliseconds) {
  let calls = 0;
  const from = process.cpuUsage();
  let used = 0;
  while (used < milliseconds * 1000) {
    for (let i = 0; i < 100; i++) call();
    calls += 100;
    const { user, system } = process.cpuUsage(from);
    used = user + system;
  }
  return (used * 1000) / calls;
}

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
console.log(`postern ${version}, node ${process.version}, ns per unit: median (best of ${ROUNDS})`);
for (const [name, units, call] of CASES) {
  measure(call, 200);
  const rounds = Array.from({ length: ROUNDS }, () => measure(call, (SECONDS * 1000) / ROUNDS) / units);
  rounds.sort((a, b) => a - b);
  const [best, median] = [rounds[0], rounds[ROUNDS >> 1]];
  console.log(`${name.padEnd(44)} ${median.toFixed(0).padStart(8)} (${best.toFixed(0)})`);
}
