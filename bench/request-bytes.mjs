// Requests of any size as bytes, for the parts of the benchmark that vary it.

/**
 * A FastCGI request as pieces: what comes before its body, and what after.
 * @param params more parameters than the few that a request needs @param paramsBytes fills them up to so many bytes
 * @param bodyBytes what CONTENT_LENGTH says @param isKept whether the connection stays
 */
export function fastcgiRequest({
  path = "/hello",
  params = {},
  paramsBytes = 0,
  bodyBytes = 0,
  isKept = true,
} = {}) {
  const all = {
    REQUEST_METHOD: bodyBytes > 0 ? "POST" : "GET",
    REQUEST_URI: path,
    SCRIPT_NAME: "",
    PATH_INFO: path,
    QUERY_STRING: "",
    CONTENT_TYPE: bodyBytes > 0 ? "application/octet-stream" : "",
    CONTENT_LENGTH: bodyBytes > 0 ? String(bodyBytes) : "",
    SERVER_PROTOCOL: "HTTP/1.1",
    SERVER_SOFTWARE: "nginx/1.22.1",
    SERVER_NAME: "example.com",
    SERVER_ADDR: "127.0.0.1",
    SERVER_PORT: "80",
    REMOTE_ADDR: "127.0.0.1",
    REMOTE_PORT: "38946",
    HTTP_HOST: "example.com",
    HTTP_ACCEPT: "*/*",
    ...params,
  };
  let block = encode(all);
  for (let index = 0; block.length < paramsBytes; index++) {
    // Headers of an ordinary size, and as many as it takes.
    const size = Math.min(100, Math.max(0, paramsBytes - block.length - 20));
    block = Buffer.concat([block, encode({ [`HTTP_X_FILL_${index}`]: "v".repeat(size) })]);
  }
  const head = [record(1, Buffer.from([0, 1, isKept ? 1 : 0, 0, 0, 0, 0, 0]))];
  for (let at = 0; at < block.length; at += 32768) head.push(record(4, block.subarray(at, at + 32768)));
  head.push(record(4, Buffer.alloc(0)));
  return { head: Buffer.concat(head), end: record(5, Buffer.alloc(0)), paramsBytes: block.length };
}

/** A record of a body: 32 KiB, as nginx cuts it, or less. */
export function bodyRecord(bytes = 32768) {
  return record(5, Buffer.alloc(bytes, "u"));
}

export function httpRequest(path) {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n`);
}

function encode(params) {
  const length = (size) =>
    size < 128 ? [size] : [0x80 | (size >> 24), (size >> 16) & 255, (size >> 8) & 255, size & 255];
  return Buffer.concat(
    Object.entries(params).flatMap(([name, value]) => [
      Buffer.from([...length(name.length), ...length(value.length)]),
      Buffer.from(name + value, "latin1"),
    ]),
  );
}

function record(type, content) {
  const header = Buffer.from([1, type, 0, 1, content.length >> 8, content.length & 255, 0, 0]);
  return Buffer.concat([header, content]);
}
