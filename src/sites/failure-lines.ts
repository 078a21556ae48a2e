/**
 * Lines of web servers' logs beside those of failures.ts: the second line of a failure, what programs that are started
 * print, and what happens rarely. From the recordings and the sources of the servers; not each is caused by a test.
 */
import type { Explanation, Failure, FailureCause, Outcome } from "./failure-model.ts";
import type { ApacheModule, WebServerName } from "./model.ts";

type Row = readonly [cause: FailureCause, outcome: Outcome, ...lines: string[]];

function of(server: WebServerName, module: ApacheModule | undefined, rows: readonly Row[]): Failure[] {
  return rows.map(([cause, outcome, ...lines]) =>
    module === undefined ? { server, cause, outcome, lines } : { server, module, cause, outcome, lines },
  );
}

/** What `/usr/bin/env`, the kernel and Node say of a program that cannot be started; in the log of who started it. */
const STARTING = [
  "env: …node…: No such file or directory",
  "env: …: Permission denied",
  "listen EINVAL",
  "listen ENOTSOCK",
  "Cannot find module",
  "ERR_MODULE_NOT_FOUND",
  "SyntaxError:",
  "bad interpreter:",
];

export const MORE_LINES: readonly Failure[] = [
  ...of("nginx", undefined, [
    ["not-fastcgi", 502, "upstream sent unsupported FastCGI protocol version:"],
    [
      "no-head",
      502,
      "upstream prematurely closed FastCGI stdout",
      "upstream sent unexpected FastCGI record: 3",
    ],
    [
      "not-fastcgi",
      502,
      "upstream sent unexpected FastCGI record:",
      "upstream sent unexpected FastCGI request id",
    ],
    [
      "died",
      502,
      "recv() failed (104: Connection reset by peer)",
      "upstream prematurely closed connection while",
    ],
    ["hung-up", 502, "writev() failed (32: Broken pipe)", "writev() failed (104: Connection reset by peer)"],
    ["not-taken", 502, "connect() to … failed (11: Resource temporarily unavailable)"],
    ["port-refused", 502, "failed (113: No route to host)", "failed (101: Network is unreachable)"],
    ["no-backend", 502, "no live upstreams while connecting to upstream"],
    ["body-too-large", 413, "client intended to send too large body"],
    ["silent", 504, "upstream timed out (110: Operation timed out)", "upstream timed out"],
    [
      "unreadable",
      500,
      "client-body… failed (13: Permission denied)",
      "open() … failed (13: Permission denied)",
    ],
    ["unreadable", 404, "stat() … failed (13: Permission denied)"],
    ["recursion", 500, "rewrite or internal redirection cycle"],
    ["upgrade", "not HTTP", "client sent invalid method while reading client request line"],
  ]),
  ...of("apache", "proxy_fcgi", [
    ["not-fastcgi", 503, "AH01068: Got bogus version"],
    ["not-fastcgi", 503, "AH01069: Got bogus rid"],
    ["no-socket", 503, "AH01079: failed to make connection to backend"],
    [
      "no-backend",
      503,
      "AH00940: HTTP: disabled connection for",
      "AH01114: HTTP: failed to make connection to backend",
    ],
    ["no-backend", 503, "AH00959: ap_proxy_connect_backend disabling worker", "AH01059"],
    [
      "died",
      503,
      "(70014)End of file found: … AH01075",
      "(104)Connection reset by peer: … AH01075",
      "AH01075: Error dispatching request to",
    ],
    ["died", 503, "(70014)End of file found", "Connection reset by peer"],
    ["hung-up", 503, "AH01075: Error dispatching request to … (sending"],
    ["silent", 504, "AH01075: Error dispatching request to … (polling)"],
    ["not-taken", 503, "(11)Resource temporarily unavailable: AH02454"],
    ["sent-too-early", 503, "AH01074: Failed writing Environment"],
    ["head-too-large", 500, "AH01070: … headers too long"],
    ["no-backend", 500, "AH01144: No protocol handler was valid for the URL"],
    [
      "unreadable",
      403,
      "AH00035: access to … denied",
      "because search permissions are missing on a component of the path",
    ],
    [
      "recursion",
      500,
      "AH00124: Request exceeded the limit of",
      "AH00125: Request exceeded the limit of",
      "AH00125",
    ],
    ["body-too-large", 413, "AH01587: Requested content-length of", "AH00588"],
  ]),
  ...of("apache", "fcgid", [
    ["died", 500, "Premature end of script headers", "End of script output before headers"],
    ["too-many-processes", 503, "mod_fcgid: can't apply process slot for", "can't apply process slot"],
    ["body-too-large", 500, "mod_fcgid: HTTP request length … exceeds MaxRequestLen"],
    ["silent", 500, "mod_fcgid: ap_pass_brigade failed", "mod_fcgid: read data timeout in"],
    [
      "died",
      500,
      "mod_fcgid: error reading data from FastCGI server",
      "(104)Connection reset by peer: … mod_fcgid",
    ],
    ["died", 500, "mod_fcgid: process … exit(communication error)"],
    [
      "spawn-failed",
      500,
      "mod_fcgid: error spawning process",
      "mod_fcgid: spawn process … error",
      "mod_fcgid: can't run",
    ],
    ["spawn-failed", 500, "mod_fcgid: … exec … failed", "AH01215: …", "exec of … failed", "couldn't spawn"],
    ["spawn-failed", 500, "mod_fcgid: process … exit(server exited)", "mod_fcgid: can't create process"],
    [
      "spawn-failed",
      503,
      "mod_fcgid: can't connect unix domain socket",
      "mod_fcgid: error binding unix domain socket",
    ],
    ["spawn-failed", 500, "mod_fcgid: can't lock process table", ...STARTING],
    ["unreadable", 403, "AH01276: Cannot serve directory", "AH01630: client denied by server configuration"],
    ["spawn-failed", 403, "Options ExecCGI is off in this directory"],
    ["unreadable", 404, "script not found or unable to stat"],
  ]),
  ...of("apache", "fastcgi", [
    ["died", 500, "incomplete headers (… bytes) received from server"],
    ["not-fastcgi", 500, "protocol error: invalid version:"],
    ["silent", 500, "aborted: idle timeout (… sec)"],
    [
      "spawn-failed",
      500,
      "FastCGI: can't start",
      "FastCGI: … has failed to remain running",
      "invalid option: -host",
    ],
  ]),
  ...of("lighttpd", undefined, [
    ["no-backend", 503, "all handlers for … are down", "gw-server re-enabled:", "gw-server disabled:"],
    [
      "died",
      500,
      "response not received, request sent:",
      "child exited with status",
      "child signalled:",
      "unexpected end-of-file",
    ],
    ["died", 500, "Connection reset by peer"],
    ["hung-up", 500, "Broken pipe"],
    ["silent", 504, "connect timeout on socket", "write timeout on socket"],
    [
      "spawn-failed",
      503,
      "gw-backend failed to start",
      "execve failed for:",
      "exec failed",
      "child exited: … unable to start",
    ],
    ["spawn-failed", 503, "[ERROR]: spawning gw failed", "the gw-backend … failed to start", ...STARTING],
    ["spawn-failed", 503, "If you're trying to run your app as a FastCGI backend", "bind failed for:"],
    ["not-fastcgi", 500, "FastCGI: got … header.version", "FastCGI: header.type not handled:"],
    ["not-taken", 503, "establishing connection failed: … Resource temporarily unavailable"],
    ["body-too-large", 413, "request-size too long:", "request entity too large"],
    ["no-length", 411, "POST-request, but content-length missing"],
    ["unreadable", 403, "-- access denied", "opening … failed: Permission denied"],
  ]),
  ...of("caddy", undefined, [
    ["silent", 504, "i/o timeout"],
    ["bad-status", 502, "invalid syntax"],
    ["not-a-head", 502, "malformed MIME header", "malformed MIME header line"],
    ["died", 502, "connection reset by peer", "unexpected EOF"],
    ["hung-up", 502, "write: broken pipe", "write: connection reset by peer"],
    ["no-backend", 503, "no upstreams available"],
    ["body-too-large", 413, "http: request body too large"],
    ["threw", 500, '"msg":"stderr"'],
    ["upgrade", "not HTTP", "internal error: 101 switching protocols response with non-writable body"],
  ]),
  ...of("haproxy", undefined, [
    ["silent", 504, " sD-- "],
    ["died", 502, " SL-- "],
    ["not-taken", 503, " sQ-- ", " SQ-- "],
    ["no-socket", 503, " sC-- "],
    ["no-backend", 503, " has no server available!", " is DOWN"],
    ["failed-answering", "cut", " PD-- "],
  ]),
  ...of("h2o", undefined, [
    ["no-head", 503, "received FCGI_END_REQUEST before end of the headers"],
    ["not-fastcgi", 503, "received unexpected record, type:", "received invalid record"],
    ["no-socket", 503, "connection failed:"],
    ["spawn-failed", 503, "failed to exec", "exec failed", ...STARTING],
    ["upgrade", "not HTTP", "unexpected 101 response"],
  ]),
  ...of("cherokee", undefined, [
    ["no-socket", 503, "Could not connect", "Taking source"],
    ["spawn-failed", 503, "Could not execute", "execv failed", "exec: …: not found", ...STARTING],
    ["not-fastcgi", 500, "Parsing error: unknown"],
  ]),
];

/** What a byte says that stands where the version of FastCGI belongs, which is 1. */
const BYTES: readonly (readonly [from: number, to: number, who: string])[] = [
  [0, 0, "a zero byte: an answer that was broken off, or a protocol of bytes such as a database's"],
  [10, 13, "an empty line: a program that prints, and speaks no FastCGI"],
  [21, 22, "TLS speaks there: the port is for HTTPS"],
  [43, 43, "“+” begins an answer of Redis"],
  [45, 45, "“-” begins an error of Redis"],
  [48, 57, "a digit, as SCGI begins: it is an SCGI application"],
  [60, 60, "“<” begins a page or a PHP notice: something prints, and speaks no FastCGI"],
  [
    67,
    67,
    "“C” as in “Content-Type:” or “CONTENT_LENGTH”: a program that prints a CGI answer without FastCGI",
  ],
  [72, 72, "“H” as in “HTTP/1.1 400”: that port speaks HTTP"],
  [80, 80, "“P” as in “PROXY” or “PRI”: a proxy or HTTP/2 speaks there"],
  [83, 83, "“S” as in “SSH-2.0” or “Status:”: SSH, or a program that prints a CGI answer without FastCGI"],
];

/** The byte that a log line complains about, explained; undefined for a line without one. */
export function versionByte(line: string): Explanation | undefined {
  const said = /(?:protocol version|bogus version|invalid version):? (\d{1,3})\b/.exec(line)?.[1];
  if (said === undefined) return undefined;
  const byte = Number(said);
  const who = BYTES.find(([from, to]) => byte >= from && byte <= to)?.[2];
  const shown = byte > 32 && byte < 127 ? ` (“${String.fromCharCode(byte)}”)` : "";
  return {
    means: `where FastCGI begins with the byte 1 there came ${byte}${shown}: ${who ?? "no FastCGI application speaks there"}`,
    remedy:
      byte === 72
        ? "serve the application with Postern (or let it listen for FastCGI), or let the web server pass on by HTTP"
        : "name the address where the FastCGI application listens",
  };
}
