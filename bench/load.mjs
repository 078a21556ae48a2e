// The load: `load.mjs PROTOCOL SOCKET PATH CONNECTIONS KEEP SECONDS`. Closed loop; every answer is read to its end and
// checked. Prints one JSON line: requests, seconds, and latency percentiles in microseconds.
import net from "node:net";
import { requestFor } from "./requests.mjs";

const [protocol, socket, path, connections, keep, seconds] = process.argv.slice(2);
const isKept = keep === "keep";
const request = requestFor(protocol, path, isKept);
const latencies = [];
let answered = 0;
let running = true;

/** Reads FastCGI records; calls `done` at END_REQUEST. */
function fastcgiReader(done) {
  let header = Buffer.alloc(0);
  let skip = 0;
  let type = 0;
  let stdout = 0;
  return (chunk) => {
    let at = 0;
    while (at < chunk.length || (skip === 0 && header.length === 8)) {
      if (skip > 0) {
        const step = Math.min(skip, chunk.length - at);
        skip -= step;
        at += step;
        if (skip === 0 && type === 3) {
          if (stdout < 20) throw new Error(`answer with ${stdout} bytes`);
          stdout = 0;
          done();
        }
        continue;
      }
      if (header.length === 0 && chunk.length - at >= 8) {
        header = chunk.subarray(at, at + 8);
        at += 8;
      } else {
        const step = Math.min(8 - header.length, chunk.length - at);
        header = Buffer.concat([header, chunk.subarray(at, at + step)]);
        at += step;
      }
      if (header.length < 8) return;
      type = header[1];
      skip = ((header[4] << 8) | header[5]) + header[6];
      if (type === 6) stdout += skip;
      if (header[0] !== 1) throw new Error("not a FastCGI record");
      header = header.subarray(8, 8);
    }
  };
}

/** Reads HTTP answers with a Content-Length; calls `done` at the end of each. */
function httpReader(done) {
  let text = "";
  let left = -1;
  return (chunk) => {
    let at = 0;
    while (at < chunk.length) {
      if (left < 0) {
        text += chunk.toString("latin1", at);
        const end = text.indexOf("\r\n\r\n");
        if (end < 0) return;
        if (!text.startsWith("HTTP/1.1 200")) throw new Error(text.slice(0, 60));
        left = Number(/content-length: (\d+)/i.exec(text)[1]);
        at = chunk.length - (text.length - end - 4);
        text = "";
      }
      const step = Math.min(left, chunk.length - at);
      left -= step;
      at += step;
      if (left === 0) {
        left = -1;
        done();
      }
    }
  };
}

function open() {
  const peer = net.connect(socket);
  let started = process.hrtime.bigint();
  const send = () => {
    started = process.hrtime.bigint();
    peer.write(request);
  };
  const read = (protocol === "http" ? httpReader : fastcgiReader)(() => {
    answered++;
    latencies.push(Number(process.hrtime.bigint() - started) / 1000);
    if (isKept && running) send();
    else peer.end();
  });
  peer.on("data", read);
  peer.on("error", (error) => {
    if (running) throw error;
  });
  peer.on("close", () => {
    if (!isKept && running) open();
  });
  send();
}

for (let index = 0; index < Number(connections); index++) open();
const warmUp = Math.min(1000, Number(seconds) * 300);
setTimeout(() => {
  answered = 0;
  latencies.length = 0;
  process.send("start");
  const started = process.hrtime.bigint();
  setTimeout(() => {
    running = false;
    const elapsed = Number(process.hrtime.bigint() - started) / 1e9;
    latencies.sort((a, b) => a - b);
    const at = (share) => Math.round(latencies[Math.floor(latencies.length * share)] ?? 0);
    process.send({ answered, elapsed, p50: at(0.5), p99: at(0.99) }, () => process.exit());
  }, Number(seconds) * 1000);
}, warmUp);
