// The requests of the benchmark: what nginx sends for a browser's GET (26 parameters), and the same over HTTP.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const HEADERS = {
  Host: "example.com",
  "User-Agent":
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
  Accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  "Accept-Language": "en-US,en;q=0.5",
  "Accept-Encoding": "gzip, deflate, br",
};

/**
 * What is asked of applications. `expect`: length of the answer's body; `warm`: answers before anything is measured, so
 * that JIT compilers are done.
 */
export const WORK = {
  hello: { path: "/hello", bytes: 0, expect: 12, warm: 4000 },
  headers: { path: "/env", bytes: 0, warm: 2000 },
  "1 MiB response": { path: "/download", bytes: 0, expect: 1048576, warm: 3000 },
  "64 KiB upload": { path: "/upload", bytes: 65536, expect: 6, warm: 4000 },
  "10 MiB upload": { path: "/upload", bytes: 10485760, expect: 9, warm: 60 },
};

/** Writes the bytes of a request for that work into a file, once. @returns its path */
export function requestFile(folder, protocol, work, isKept) {
  const file = join(folder, `${protocol} ${work} ${isKept ? "kept" : "closing"}`);
  if (!existsSync(file)) writeFileSync(file, requestFor(protocol, WORK[work], isKept));
  return file;
}

/** The bytes of one request: for `path`, with a body of so many bytes. */
export function requestFor(protocol, { path, bytes }, isKept) {
  const body = Buffer.alloc(bytes, "u");
  return protocol === "http" ? httpRequest(path, body, isKept) : fastcgiRequest(path, body, isKept);
}

function httpRequest(path, body, isKept) {
  const lines = Object.entries(HEADERS).map(([name, value]) => `${name}: ${value}`);
  if (body.length > 0) lines.push(`Content-Length: ${body.length}`);
  lines.push(`Connection: ${isKept ? "keep-alive" : "close"}`);
  const method = body.length > 0 ? "POST" : "GET";
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`), body]);
}

function fastcgiRequest(path, body, isKept) {
  const params = {
    // What php-fpm runs. The others ignore it.
    SCRIPT_FILENAME: new URL("peers/hello.php", import.meta.url).pathname,
    QUERY_STRING: "",
    REQUEST_METHOD: body.length > 0 ? "POST" : "GET",
    CONTENT_TYPE: "",
    CONTENT_LENGTH: body.length > 0 ? String(body.length) : "",
    SCRIPT_NAME: "",
    REQUEST_URI: path,
    DOCUMENT_URI: path,
    DOCUMENT_ROOT: "/var/www/html",
    SERVER_PROTOCOL: "HTTP/1.1",
    REQUEST_SCHEME: "http",
    GATEWAY_INTERFACE: "CGI/1.1",
    SERVER_SOFTWARE: "nginx/1.22.1",
    REMOTE_ADDR: "127.0.0.1",
    REMOTE_PORT: "38946",
    SERVER_ADDR: "127.0.0.1",
    SERVER_PORT: "80",
    SERVER_NAME: "example.com",
    REDIRECT_STATUS: "200",
    PATH_INFO: path,
    HTTP_CONNECTION: "keep-alive",
  };
  for (const [name, value] of Object.entries(HEADERS)) {
    params[`HTTP_${name.toUpperCase().replaceAll("-", "_")}`] = value;
  }
  const length = (size) => (size < 128 ? Buffer.from([size]) : Buffer.from([0x80, 0, size >> 8, size & 255]));
  const pairs = Object.entries(params).flatMap(([name, value]) => [
    length(name.length),
    length(value.length),
    Buffer.from(name + value),
  ]);
  const records = [record(1, Buffer.from([0, 1, isKept ? 1 : 0, 0, 0, 0, 0, 0]))];
  records.push(record(4, Buffer.concat(pairs)), record(4, Buffer.alloc(0)));
  for (let at = 0; at < body.length; at += 32768) records.push(record(5, body.subarray(at, at + 32768)));
  records.push(record(5, Buffer.alloc(0)));
  return Buffer.concat(records);
}

function record(type, content) {
  const header = Buffer.from([1, type, 0, 1, content.length >> 8, content.length & 255, 0, 0]);
  return Buffer.concat([header, content]);
}
