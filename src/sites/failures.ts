/**
 * What goes wrong between a web server and an application, how each server shows it, and what to do: the status that
 * visitors get and the line in the server's log, as its sources write it. Measured: the end-to-end tests cause each of
 * these behind every server that can be had, and the pages in docs/deploy are held against this list.
 */

import { MORE_LINES, versionByte } from "./failure-lines.ts";
import {
  EXPLANATIONS,
  type Explanation,
  type Failure,
  type FailureCause,
  type Outcome,
} from "./failure-model.ts";
import type { ApacheModule, WebServerName } from "./model.ts";

export {
  EXPLANATIONS,
  type Explanation,
  type Failure,
  type FailureCause,
  type Outcome,
} from "./failure-model.ts";

type Row = readonly [cause: FailureCause, outcome: Outcome, ...lines: string[]];

function of(server: WebServerName, module: ApacheModule | undefined, rows: readonly Row[]): Failure[] {
  return rows.map(([cause, outcome, ...lines]) =>
    module === undefined ? { server, cause, outcome, lines } : { server, module, cause, outcome, lines },
  );
}

export const FAILURES: readonly Failure[] = [
  ...of("nginx", undefined, [
    ["no-socket", 502, "connect() to unix:… failed (2: No such file or directory)"],
    ["socket-refused", 502, "connect() to … failed (111: Connection refused)"],
    ["port-refused", 502, "connect() failed (111: Connection refused)"],
    ["no-permission", 502, "connect() to unix:… failed (13: Permission denied)"],
    ["not-fastcgi", 502, "upstream sent unsupported FastCGI protocol version: 72"],
    ["died", 502, "upstream prematurely closed connection while reading response header"],
    ["died-answering", "cut", "upstream prematurely closed connection while reading upstream"],
    ["silent", 504, "upstream timed out (110: Connection timed out)"],
    ["not-a-head", 502, "upstream sent invalid header"],
    ["bad-status", 502, "upstream sent invalid status"],
    ["head-too-large", 502, "upstream sent too big header"],
    ["threw", 500, "FastCGI sent in stderr"],
    [
      "failed-answering",
      "cut",
      "upstream sent unsupported FastCGI protocol version: 0 while reading upstream",
    ],
  ]),
  ...of("apache", "proxy_fcgi", [
    [
      "no-socket",
      503,
      "(2)No such file or directory: AH02454: FCGI: attempt to connect to Unix domain socket",
    ],
    ["socket-refused", 503, "(111)Connection refused: AH02454"],
    ["port-refused", 503, "(111)Connection refused: AH00957"],
    ["no-permission", 503, "(13)Permission denied: AH02454"],
    ["not-fastcgi", 503, "AH01068: Got bogus version 72"],
    ["died", 503, "AH01067: Failed to read FastCGI header"],
    ["died-answering", "cut", "AH01067: Failed to read FastCGI header"],
    ["silent", 504, "(70007)The timeout specified has expired"],
    ["not-a-head", 500, "AH01070: Error parsing script headers"],
    ["bad-status", 500, "Invalid status line from script"],
    ["head-too-large", 500, "Premature end of script headers"],
    ["threw", 500, "AH01071: Got error"],
    ["failed-answering", "cut", "AH01068: Got bogus version 0"],
  ]),
  ...of("apache", "fcgid", [
    ["died", 500, "End of script output before headers"],
    ["died-answering", "unnoticed", "mod_fcgid: error reading data, FastCGI server closed connection"],
    ["silent", 500, "mod_fcgid: read data timeout in … seconds"],
    ["not-a-head", 500, "malformed header from script … Bad header"],
    ["bad-status", 500, "Invalid status line from script"],
    ["head-too-large", 500, "Premature end of script headers"],
    ["threw", 500, "mod_fcgid: stderr:"],
    ["failed-answering", "unnoticed", "mod_fcgid: error reading data, FastCGI server closed connection"],
  ]),
  // Not run: mod_fastcgi cannot be had. Recorded with SNAP-0910052141.
  ...of("apache", "fastcgi", [
    ["no-socket", 500, "failed to connect to server … connect() failed"],
    ["no-permission", 500, "(13)Permission denied"],
    ["not-fastcgi", 500, "protocol error: invalid version: 72"],
    ["died", 500, "incomplete headers (0 bytes) received from server"],
    ["silent", 500, "aborted: idle timeout"],
  ]),
  ...of("lighttpd", undefined, [
    ["no-socket", 503, "establishing connection failed: socket: unix:… No such file or directory"],
    ["socket-refused", 503, "establishing connection failed: … Connection refused"],
    ["port-refused", 503, "establishing connection failed: … Connection refused"],
    ["no-permission", 503, "establishing connection failed: … Permission denied"],
    ["not-fastcgi", 500, "unexpected end-of-file (perhaps the fastcgi process died)"],
    ["died", 500, "unexpected end-of-file (perhaps the fastcgi process died)"],
    ["died-answering", "cut", "response already sent out, but backend returned error"],
    ["silent", 504, "read timeout on socket"],
    ["not-a-head", 502],
    ["bad-status", 502],
    ["head-too-large", 502, "response headers too large"],
    ["threw", 500, "FastCGI-stderr:"],
    ["failed-answering", "cut", "FastCGI: header.type not handled: 0"],
  ]),
  ...of("caddy", undefined, [
    ["no-socket", 502, "dialing backend: dial unix … connect: no such file or directory"],
    ["socket-refused", 502, "dialing backend: dial unix … connect: connection refused"],
    ["port-refused", 502, "dialing backend: dial tcp … connect: connection refused"],
    ["no-permission", 502, "dialing backend: dial unix … connect: permission denied"],
    ["not-fastcgi", 502, "fcgi: invalid header version"],
    ["died", 502, '"msg":"EOF"'],
    ["died-answering", "unnoticed"],
    ["silent", "waits"],
    ["not-a-head", 502, "malformed MIME header: missing colon"],
    ["bad-status", 502, "strconv.Atoi: parsing … invalid syntax"],
    ["threw", 500],
    ["failed-answering", "cut", "aborting with incomplete response"],
  ]),
  ...of("haproxy", undefined, [
    ["no-socket", 503, " SC-- "],
    ["socket-refused", 503, " SC-- "],
    ["port-refused", 503, " SC-- "],
    ["no-permission", 503, " SC-- "],
    ["not-fastcgi", 502, " SH-- "],
    ["died", 502, " SH-- "],
    ["died-answering", "cut", " SD-- "],
    ["silent", 504, " sH-- "],
    ["not-a-head", 502, " PH-- "],
    ["bad-status", "not HTTP"],
    ["head-too-large", 502, " PH-- "],
    ["threw", 500],
    ["failed-answering", "cut", " SD-- "],
  ]),
  ...of("h2o", undefined, [
    ["no-socket", 503, "connection failed:failed to connect to host"],
    ["socket-refused", 503, "connection failed:failed to connect to host"],
    ["port-refused", 503, "connection failed:connection failed"],
    ["no-permission", 503, "connection failed:failed to connect to host"],
    ["not-fastcgi", 503, "fastcgi connection closed unexpectedly"],
    ["died", 503, "fastcgi connection closed unexpectedly"],
    ["died-answering", "unnoticed"],
    ["silent", 503, "I/O timeout"],
    ["not-a-head", 503, "received broken response"],
    ["bad-status", 503, "failed to parse Status header, got:"],
    ["threw", 500, "in request:"],
    ["failed-answering", "unnoticed", "received unexpected record, type: 0"],
  ]),
  // Not run: Cherokee cannot be had. Recorded with 1.2.104.
  ...of("cherokee", undefined, [
    ["no-socket", 503, "Taking source=… back on-line"],
    ["no-permission", 503, "Could not connect: Permission denied"],
    ["not-fastcgi", 500, "Parsing error: unknown version"],
    ["died", 500],
    ["silent", 504],
    ["not-a-head", 500],
    ["head-too-large", 500],
  ]),
];

/** What a line of {@link Failure.lines} is in a log. */
export function linePattern(line: string): RegExp {
  return new RegExp(
    line
      .split("…")
      .map((part) => part.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&"))
      .join(".*?"),
  );
}

/** What a line of a web server's log tells of the application; the longest line that fits says most. */
export function explainLogLine(server: WebServerName, text: string): (Failure & Explanation) | undefined {
  let best: Failure | undefined;
  let longest = 0;
  for (const failure of [...FAILURES, ...MORE_LINES]) {
    if (failure.server !== server) continue;
    for (const line of failure.lines) {
      if (line.length > longest && linePattern(line).test(text)) {
        best = failure;
        longest = line.length;
      }
    }
  }
  if (best === undefined) return undefined;
  const own = best.cause === "not-fastcgi" ? versionByte(text) : undefined;
  return { ...best, ...EXPLANATIONS[best.cause], ...own };
}
