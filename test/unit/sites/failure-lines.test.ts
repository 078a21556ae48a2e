/** Lines of logs as web servers write them, from recordings and their sources: none of a failure is a riddle. */
import { describe, expect, it } from "vitest";
import { versionByte } from "../../../src/sites/failure-lines.ts";
import { explainLogLine } from "../../../src/sites/failures.ts";

describe("a line of a log", () => {
  it.each([
    [
      "nginx",
      "2026/11/22 20:03:25 [error] 1#1: *1 upstream prematurely closed FastCGI stdout while reading response header from upstream",
      "no-head",
    ],
    [
      "nginx",
      "2026/11/22 20:03:25 [error] 1#1: *1 upstream sent unexpected FastCGI record: 3 while reading response header",
      "no-head",
    ],
    [
      "nginx",
      "recv() failed (104: Connection reset by peer) while reading response header from upstream",
      "died",
    ],
    ["nginx", "*2 connect() failed (111: Connection refused) while connecting to upstream", "port-refused"],
    [
      "nginx",
      "connect() to unix:/run/a.sock failed (11: Resource temporarily unavailable) while connecting to upstream",
      "not-taken",
    ],
    [
      "nginx",
      "*5 client intended to send too large body: 2000000 bytes, client: 127.0.0.1",
      "body-too-large",
    ],
    ["nginx", "*5 no live upstreams while connecting to upstream", "no-backend"],
    ["nginx", "upstream sent too big header while reading response header from upstream", "head-too-large"],
    [
      "nginx",
      "upstream sent unsupported FastCGI protocol version: 21 while reading response header",
      "not-fastcgi",
    ],
    ["nginx", "client sent invalid method while reading client request line", "upgrade"],
    ["apache", "[proxy:error] AH01079: failed to make connection to backend: 127.0.0.1", "no-socket"],
    [
      "apache",
      "[proxy_fcgi:error] (70014)End of file found: [client 127.0.0.1:1] AH01075: Error dispatching request to : (reading input brigade)",
      "died",
    ],
    [
      "apache",
      "[proxy_fcgi:error] (70007)The timeout specified has expired: [client] AH01075: Error dispatching request to : (polling)",
      "silent",
    ],
    [
      "apache",
      "[proxy_fcgi:error] (32)Broken pipe: [client 127.0.0.1:1] AH01075: Error dispatching request to : (sending empty stdin)",
      "hung-up",
    ],
    ["caddy", '"msg":"write unix @->/run/app.sock: write: broken pipe"', "hung-up"],
    ["nginx", "*7 writev() failed (32: Broken pipe) while sending request to upstream", "hung-up"],
    ["apache", "[proxy_fcgi:error] AH01068: Got bogus version 83", "not-fastcgi"],
    ["apache", "AH01074: Failed writing Environment to 127.0.0.1:", "sent-too-early"],
    ["apache", "[cgi:error] End of script output before headers: app.fcgi", "died"],
    ["apache", "[core:error] Premature end of script headers: app.fcgi", "head-too-large"],
    ["apache", "mod_fcgid: can't apply process slot for /srv/app.fcgi", "too-many-processes"],
    [
      "apache",
      "mod_fcgid: HTTP request length 131272 (so far) exceeds MaxRequestLen (131072)",
      "body-too-large",
    ],
    ["apache", "mod_fcgid: read data timeout in 40 seconds", "silent"],
    ["apache", "/usr/bin/env: 'node': No such file or directory", "spawn-failed"],
    ["apache", "AH00125: Request exceeded the limit of 10 subrequest nesting levels", "recursion"],
    ["apache", 'FastCGI: comm with server "/srv/app.fcgi" aborted: idle timeout (30 sec)', "silent"],
    ["apache", 'FastCGI: incomplete headers (57 bytes) received from server "/srv/app.fcgi"', "died"],
    ["lighttpd", "(gw_backend.c.2279) all handlers for /app?x=1 on .fcgi are down.", "no-backend"],
    ["lighttpd", "(gw_backend.c.315) gw-server re-enabled: unix:/run/a.sock  0", "no-backend"],
    ["lighttpd", "response not received, request sent: 912 on socket: unix:/run/a.sock for /?", "died"],
    [
      "lighttpd",
      "(gw_backend.c.638) child exited: 1 unix:/run/a.sock-0 gw-backend failed to start: /srv/app.fcgi",
      "spawn-failed",
    ],
    ["lighttpd", "execve failed for: /srv/app.fcgi : No such file or directory", "spawn-failed"],
    [
      "caddy",
      '{"level":"error","ts":1.5,"msg":"dialing backend: dial unix /run/a.sock: connect: permission denied"}',
      "no-permission",
    ],
    ["caddy", '{"level":"error","msg":"reading: read unix @->/run/a.sock: i/o timeout"}', "silent"],
    ["caddy", "internal error: 101 switching protocols response with non-writable body", "upgrade"],
    [
      "h2o",
      "[lib/handler/fastcgi.c] in request:/:received FCGI_END_REQUEST before end of the headers",
      "no-head",
    ],
    ["cherokee", "Taking source='127.0.0.1:9000' back on-line", "no-socket"],
    ["cherokee", "Could not connect: Permission denied", "no-permission"],
  ] as const)("%s: %s", (server, line, cause) => {
    const found = explainLogLine(server, line);
    expect(found?.cause).toBe(cause);
    expect(found?.means).not.toBe("");
    expect(found?.remedy).not.toBe("");
  });

  it("with a number where FastCGI has its version says what begins with that byte", () => {
    const means = (byte: number): string | undefined =>
      explainLogLine(
        "nginx",
        `upstream sent unsupported FastCGI protocol version: ${byte} while reading response header`,
      )?.means;
    expect(means(72)).toBe(
      "where FastCGI begins with the byte 1 there came 72 (“H”): “H” as in “HTTP/1.1 400”: that port speaks HTTP",
    );
    expect(means(21)).toMatch(/TLS/);
    expect(means(22)).toMatch(/TLS/);
    expect(means(51)).toMatch(/SCGI/);
    expect(means(83)).toMatch(/“S”.*SSH/);
    expect(means(67)).toMatch(/CGI answer/);
    expect(means(200)).toMatch(/no FastCGI application/);
    expect(versionByte("upstream timed out")).toBeUndefined();
  });
});
