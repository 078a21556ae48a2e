/** What a line of a web server's log tells: src/sites/failures.ts. The end-to-end tests cause each of them. */
import { describe, expect, it } from "vitest";
import { EXPLANATIONS, explainLogLine, FAILURES, linePattern } from "../../../src/sites/failures.ts";

describe("what a line of the log tells", () => {
  it.each([
    [
      "nginx",
      '2026/11/22 20:03:25 [crit] 32288#32288: *2 connect() to unix:/run/a/a.sock failed (2: No such file or directory) while connecting to upstream, client: 127.0.0.1, server: example.com, request: "GET /x HTTP/1.1"',
      "no-socket",
    ],
    [
      "nginx",
      '2026/11/22 20:03:49 [error] 1127#1127: *2 upstream sent unsupported FastCGI protocol version: 0 while reading upstream, client: 127.0.0.1, server: example.com, request: "GET /cut HTTP/1.1"',
      "failed-answering",
    ],
    [
      "apache",
      "[Sun Nov 22 20:03:59.831559 2026] [proxy:error] [pid 1544:tid 1550] (13)Permission denied: AH02454: FCGI: attempt to connect to Unix domain socket /run/a/a.sock (yourapplication:8000) failed",
      "no-permission",
    ],
    ["h2o", "[lib/handler/fastcgi.c] in request:/x?way=silent:I/O timeout", "silent"],
    [
      "haproxy",
      '127.0.0.1:54736 [22/Nov/2026:20:06:38.480] v a/a1 0/0/0/2/307 200 20068 - - SD-- 1/1/0/0/0 0/0 "GET /x HTTP/1.1"',
      "died-answering",
    ],
  ] as const)("%s: %s", (server, line, cause) => {
    expect(explainLogLine(server, line)).toMatchObject({ server, cause, ...EXPLANATIONS[cause] });
  });

  it("is nothing for a line about something else, or of another server", () => {
    expect(explainLogLine("nginx", "2026/11/22 [notice] 1#1: start worker processes")).toBeUndefined();
    expect(explainLogLine("caddy", "connect() failed (111: Connection refused)")).toBeUndefined();
  });
});

it("each line is found by itself, and nothing in it is a pattern", () => {
  for (const { lines } of FAILURES) {
    for (const line of lines) expect(linePattern(line).test(`a ${line.replaceAll("…", "(x)")} b`)).toBe(true);
  }
  expect(linePattern("a.b…(c)").test("axb (c)")).toBe(false);
});
