/**
 * What `checkConfiguration` finds wrong → steps that mend it: edits of the file where it stands, as far as one can be
 * written without knowing more, else the sentence. Reads the files to be edited, and writes none.
 */
import { readFileSync } from "node:fs";
import type { Finding as SiteFinding } from "../../sites/model.ts";
import type { Remedy, SourceLine, WebServerFact } from "./model.ts";
import { placeOf } from "./places.ts";

/** What a limit of bodies becomes when nobody says how much is needed. */
const ENOUGH = 100;

/** Steps for one finding, without the reload. */
export function stepsFor(server: WebServerFact, finding: SiteFinding): Remedy[] {
  return LITERAL[server.server]?.[finding.rule]?.(server, finding) ?? [inWords(server, finding)];
}

/** The steps that make a server take what was changed in its files. */
export function taking(server: WebServerFact): Remedy[] {
  if (server.running && server.reload !== undefined) return [{ run: server.reload }];
  if (server.restart !== undefined) return [{ run: server.restart }];
  return [{ advice: server.running ? `stop ${server.server} and start it again` : `start ${server.server}` }];
}

function inWords({ lines, files }: WebServerFact, { line, remedy }: SiteFinding): Remedy {
  const at = lines?.[line - 1];
  const where = at === undefined ? (files[0] ?? "the configuration") : `${at.file}:${at.line}`;
  return { advice: `in ${where}: ${remedy}` };
}

/** An edit of a line of the text; undefined when it does not stand there. */
export function edit(
  server: WebServerFact,
  line: number,
  from: RegExp,
  to: (found: string) => string,
): Remedy[] | undefined {
  const at = server.lines?.[line - 1];
  if (at === undefined) return undefined;
  const found = from.exec(lineOf(at.file, at.line))?.[0];
  return found === undefined ? undefined : [{ file: at.file, line: at.line, from: found, to: to(found) }];
}

function lineOf(file: string, line: number): string {
  try {
    return readFileSync(file, "utf8").split("\n")[line - 1] ?? "";
  } catch {
    return ""; // gone, or not ours to read
  }
}

/** The number of the first line of the text that fits. */
export function lineWith({ text = "" }: WebServerFact, pattern: RegExp): number {
  return text.split("\n").findIndex((line) => pattern.test(line)) + 1;
}

/** The same, of the last one that is not behind a line. */
function lineBefore({ text = "" }: WebServerFact, line: number, pattern: RegExp): number {
  return (
    text
      .split("\n")
      .slice(0, line)
      .findLastIndex((one) => pattern.test(one)) + 1
  );
}

/** Where nginx's `fastcgi_pass` of a backend stands, whose place may be its line in an `upstream`. */
export function passingPlace({ text = "", lines }: WebServerFact, place: string): SourceLine {
  const at = placeOf(place);
  const all = text.split("\n");
  const here = lines?.findIndex(({ file, line }) => file === at.file && line === at.line) ?? -1;
  if (here < 0 || /\bfastcgi_pass\s/.test(all[here] ?? "")) return at;
  const name = all
    .slice(0, here)
    .map((line) => /^[^#]*\bupstream\s+(\S+?)\s*\{/.exec(line)?.[1])
    .findLast((one) => one !== undefined);
  const passing = all.findIndex((line) => /\bfastcgi_pass\s+([^\s;]+)/.exec(line)?.[1] === name);
  return lines?.[passing] ?? at;
}

/** The line of nginx's `server {` around another: a location that passes on to a named one has a limit, too. */
function virtualHostOf({ text = "" }: WebServerFact, line: number): number {
  return (
    text
      .split("\n")
      .slice(0, line)
      .findLastIndex((one) => /^[^#]*\bserver\s*\{/.test(one)) + 1
  );
}

type Step = (server: WebServerFact, finding: SiteFinding) => Remedy[] | undefined;

const LITERAL: Partial<Record<WebServerFact["server"], Readonly<Record<string, Step>>>> = {
  nginx: {
    // It counts where a request comes in, which a named location is not.
    "body-limit": (server, { line }) =>
      edit(server, line, /client_max_body_size\s+\w+/, () => `client_max_body_size ${ENOUGH}m`) ??
      edit(
        server,
        lineBefore(server, line, /^\s*server\s*\{/),
        /server\s*\{/,
        (found) => `${found} client_max_body_size ${ENOUGH}m;`,
      ) ??
      edit(
        server,
        virtualHostOf(server, line),
        /\bserver\s*\{/,
        (found) => `${found} client_max_body_size ${ENOUGH}m;`,
      ),
    "address-without-unix": (server, { line }) =>
      edit(server, line, /(?<=\s)\/[^\s;]+/, (found) => `unix:${found}`),
    "alias-slash": (server, { line }) => edit(server, line, /alias\s+[^\s;]+/, (found) => `${found}/`),
    "alias-traversal": (server, { line }) =>
      edit(server, line, /location\s+(?:\^~\s+)?[^\s{]+/, (found) => `${found}/`),
    "http-to-fastcgi": (server, { line }) =>
      edit(
        server,
        line,
        /proxy_pass\s+https?:\/\/[^\s;/]+[^\s;]*/,
        (found) =>
          `include fastcgi_params; fastcgi_pass ${found
            .replace(/^proxy_pass\s+https?:\/\//, "")
            .replace(/^unix:([^:]+):.*$/, "unix:$1")
            .replace(/^([^/]+)\/.*$/, (whole, host: string) => (whole.startsWith("unix:") ? whole : host))}`,
      ),
  },
  apache: {
    "body-limit-default": fcgidLength,
    "body-limit-small": fcgidLength,
    "trailing-slash-missing": (server, { line }) =>
      edit(
        server,
        line,
        /(?:fcgi:\/\/|\/)[^"\s|]*(?=["\s]|$)(?!.*(?:fcgi:\/\/|\.f?cgi))/,
        (found) => `${found}/`,
      ),
    "http-to-fastcgi": (server, { line }) => edit(server, line, /http:\/\//, () => "fcgi://"),
    "authorization-dropped": (server) => {
      const location = lineWith(server, /^\s*<(?:Location|Directory)\s/i);
      const pass = lineWith(server, /^\s*ProxyPass(?:Match)?\s/i);
      const inside = lineWith(server, /ProxyFCGISetEnvIf|^\s*(?:SetHandler|AddHandler|FcgidWrapper)\s/i);
      if (inside > 0 && location > 0)
        return edit(server, inside, /\S.*$/, (found) => `CGIPassAuth On\n${found}`);
      return edit(
        server,
        pass,
        /\S.*$/,
        (found) => `${found}\n<Location "/">\n    CGIPassAuth On\n</Location>`,
      );
    },
    "pass-auth-misplaced": (server, { line }) =>
      edit(server, line, /\S.*$/, (found) => `<Location "/">\n${found}\n</Location>`),
  },
  lighttpd: {
    "module-missing": (server, { what }) => {
      const module = /^(mod_\w+)/.exec(what)?.[1];
      const modules = lineWith(server, /^\s*server\.modules\s*=\s*\(/);
      return module === undefined
        ? undefined
        : edit(server, modules, /server\.modules\s*=\s*\(/, (found) => `${found} "${module}",`);
    },
    "check-local": (server, { line }) => word(server, line, "check-local", '"disable"'),
    "root-scriptname": (server, { line }) => word(server, line, "fix-root-scriptname", '"enable"'),
    "body-limit": (server, { line }) => edit(server, line, /=\s*\d+/, () => `= ${ENOUGH * 1024}`),
    "mount-with-slash": (server, { line }) =>
      edit(server, line, /"(\/[^"]+)\/"(?=\s*=>)/, (found) => found.replace(/\/"$/, '"')),
  },
  haproxy: {
    "proto-fcgi-missing": (server, { line }) =>
      edit(server, line, /\bserver\s+\S+\s+\S+/, (found) => `${found} proto fcgi`),
    "authorization-not-passed": (server, { line }) =>
      edit(server, line, /fcgi-app\s+\S+/, (found) => `${found}\n    pass-header Authorization`),
    "socket-in-chroot": (server) =>
      edit(server, lineWith(server, /^\s*chroot\s/), /chroot\b/, () => "# chroot"),
  },
  h2o: {
    "body-limit-too-small": (server, { line }) =>
      edit(server, line, /limit-request-body:\s*\d+/, () => `limit-request-body: ${ENOUGH * 1024 ** 2}`),
    "timeout-in-milliseconds": (server, { line }) => edit(server, line, /:\s*\d+/, (found) => `${found}000`),
  },
};

/** mod_fcgid takes it outside of sections only. */
function fcgidLength(server: WebServerFact, { line }: SiteFinding): Remedy[] | undefined {
  const bytes = ENOUGH * 1024 ** 2;
  if (line > 0)
    return edit(server, line, /(?:Fcgid)?MaxRequestLen\s+\d+/i, () => `FcgidMaxRequestLen ${bytes}`);
  // Beside what is in force everywhere, in front of any section.
  const outside = lineWith(server, /^\s*(?:ScriptAlias\s|DocumentRoot\s|ServerRoot\s)/i);
  return edit(server, outside, /\S.*$/, (found) => `FcgidMaxRequestLen ${bytes}\n${found}`);
}

/** A word of an entry of `fastcgi.server`, which may be there with another value. */
function word(server: WebServerFact, line: number, name: string, value: string): Remedy[] | undefined {
  const there = edit(server, line, new RegExp(`"${name}"\\s*=>\\s*"?\\w+"?`), () => `"${name}" => ${value}`);
  if (there !== undefined) return there;
  for (let at = line; at < line + 12; at++) {
    const step = edit(server, at, /"(?:socket|host|bin-path)"/, (found) => `"${name}" => ${value}, ${found}`);
    if (step !== undefined) return step;
  }
  return undefined;
}
