/**
 * What an existing configuration of HAProxy gets wrong. Each rule is documented by its name in docs/configure.md. Text
 * that is spread over several files is to be given as one.
 */
import { printAddress } from "../base/address.ts";
import { addressFindings, bodyFindings, finding, meant } from "./balancer-findings.ts";
import { outsideFinding, rootOf } from "./haproxy-chroot.ts";
import { type HaproxyLine, type HaproxySection, parseHaproxy } from "./haproxy-parse.ts";
import { haproxyPattern } from "./haproxy-words.ts";
import type { Expected, Finding } from "./model.ts";

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` for a text that is no configuration of HAProxy */
export function checkHaproxy(text: string, expected: Expected): Finding[] {
  const sections = parseHaproxy(text);
  const everyApp = sections.filter(({ kind }) => kind === "fcgi-app");
  const proxies = sections.filter(({ kind }) => kind === "backend" || kind === "listen");
  const speaking = proxies.filter(
    (proxy) => has(proxy.all, "use-fcgi-app") || serversOf(proxy).some(speaksFastCgi),
  );
  const root = rootOf(sections, expected);
  const backends = meant(speaking, (backend) => addressesOf(backend, root), expected);
  if (backends.length === 0) return [nothingPassed()];
  const apps = everyApp.filter(({ name }) =>
    backends.some(({ all }) => has(all, "use-fcgi-app", name) || !has(all, "use-fcgi-app")),
  );
  return [
    ...backends.flatMap((backend) => checkBackend(backend, everyApp, root, expected)),
    ...apps.flatMap((app) => checkApp(app, expected)),
    ...checkFrontends(sections, backends, expected),
    ...apps.flatMap((app) => users(app, sections, backends)),
  ];
}

function nothingPassed(): Finding {
  return finding(
    "no-fastcgi",
    "error",
    0,
    "no backend has use-fcgi-app and a server with proto fcgi: no request reaches the application",
    "use-fcgi-app NAME\nserver NAME1 unix@/run/NAME/app.sock proto fcgi",
  );
}

function checkBackend(
  backend: HaproxySection,
  apps: readonly HaproxySection[],
  root: string,
  expected: Expected,
): Finding[] {
  const found: Finding[] = [];
  const servers = serversOf(backend);
  const use = backend.all.find(({ words }) => words[0] === "use-fcgi-app");
  if (use === undefined) {
    found.push(
      finding(
        "fcgi-app-missing",
        "error",
        backend.line,
        `backend ${backend.name} has a server that speaks FastCGI and no use-fcgi-app: HAProxy does not start`,
        "use-fcgi-app NAME",
      ),
    );
  } else if (apps.length > 0 && !apps.some(({ name }) => name === use.words[1])) {
    found.push(
      finding(
        "fcgi-app-unknown",
        "error",
        use.line,
        `there is no section fcgi-app ${use.words[1] ?? ""}`,
        `fcgi-app ${use.words[1] ?? "NAME"}\n    docroot /var/empty\n    path-info ^()(/.*)$`,
      ),
    );
  }
  for (const server of servers.filter((one) => !speaksFastCgi(one))) {
    found.push(
      finding(
        "proto-fcgi-missing",
        "error",
        server.line,
        "HAProxy speaks HTTP to this server; an application that expects FastCGI closes the connection, and visitors get 502",
        `${server.words.join(" ")} proto fcgi`,
      ),
    );
  }
  const lost = servers.map((server) => outsideFinding(pathOf(server), root, server.line, expected));
  found.push(...lost.filter((one) => one !== undefined));
  const destinations = servers
    .filter((_, index) => lost[index] === undefined)
    .map((server) => ({ text: addressOf(server, root), line: server.line }));
  found.push(
    ...addressFindings(destinations, expected, (address) => {
      const text = address.kind === "unix" ? `unix@${address.path}` : printAddress(address);
      return `server NAME1 ${text} proto fcgi`;
    }),
  );
  const silence = backend.all.filter(({ words }) => words[0] === "timeout" && words[1] === "server").at(-1);
  const { timeoutSeconds } = expected;
  if (silence !== undefined && timeoutSeconds !== undefined) {
    const seconds = secondsOf(silence.words[2] ?? "");
    if (seconds !== undefined && seconds < timeoutSeconds) {
      found.push(
        finding(
          "timeout-too-short",
          "warning",
          silence.line,
          `after ${seconds} s without a word of the application visitors get 504, and it may take ${timeoutSeconds} s`,
          `timeout server ${timeoutSeconds}s`,
        ),
      );
    }
  }
  if (silence === undefined) {
    found.push(
      finding(
        "timeout-missing",
        "warning",
        backend.line,
        `backend ${backend.name} has no timeout server: a request that is never answered is never given up`,
        "timeout server 60s",
      ),
    );
  }
  if (!has(backend.all, "option", "http-no-delay")) {
    found.push(
      finding(
        "pieces-held-back",
        "warning",
        backend.line,
        "each piece of an event stream is held back for a fifth of a second",
        "option http-no-delay",
      ),
    );
  }
  const app = apps.find(({ name }) => name === use?.words[1]);
  if (app !== undefined && has(app.lines, "option", "mpxs-conns")) {
    const reuse = backend.all.filter(({ words }) => words[0] === "http-reuse").at(-1);
    if (reuse?.words[1] !== "always" && reuse?.words[1] !== "aggressive") {
      found.push(
        finding(
          "multiplex-unused",
          "warning",
          reuse?.line ?? backend.line,
          "a connection is shared by several visitors only where it is reused for all of them: mpxs-conns does nothing",
          "http-reuse always",
        ),
      );
    }
  }
  return found;
}

function checkApp(app: HaproxySection, { mount }: Expected): Finding[] {
  const found: Finding[] = [];
  if (!has(app.lines, "docroot")) {
    found.push(
      finding(
        "docroot-missing",
        "error",
        app.line,
        "without docroot, HAProxy does not start",
        "docroot /var/empty",
      ),
    );
  }
  found.push(...pathInfo(app, mount));
  const passes =
    app.lines.some(({ words }) => words[0] === "pass-header" && /^authorization$/i.test(words[1] ?? "")) ||
    app.lines.some(({ words }) => words[0] === "set-param" && words[1] === "HTTP_AUTHORIZATION");
  if (!passes) {
    found.push(
      finding(
        "authorization-not-passed",
        "warning",
        app.line,
        "HAProxy keeps the header Authorization to itself: an application that checks passwords or tokens never sees one",
        "pass-header Authorization",
      ),
    );
  }
  const multiplex = app.lines.find(({ words }) => words[0] === "option" && words[1] === "mpxs-conns");
  const isAsked = has(app.lines, "option", "get-values");
  const requests = app.lines.find(({ words }) => words[0] === "option" && words[1] === "max-reqs");
  if (multiplex !== undefined && !isAsked && Number(requests?.words[2] ?? 1) <= 1) {
    found.push(
      finding(
        "multiplex-unasked",
        "warning",
        multiplex.line,
        "mpxs-conns without get-values or max-reqs: one request at a time on each connection, as without it",
        "option get-values\noption max-reqs 100",
      ),
    );
  }
  for (const { words, line } of app.lines) {
    if (words[0] !== "set-param" || words[1] !== "SSL_CLIENT_VERIFY" || words[2] !== "SUCCESS") continue;
    if (words.includes("ssl_c_used") && words.includes("ssl_c_verify")) continue;
    found.push(
      finding(
        "certificate-not-verified",
        "error",
        line,
        "the application is told that a certificate was verified, also of visitors who have shown none",
        "set-param SSL_CLIENT_VERIFY SUCCESS if { ssl_c_used } { ssl_c_verify 0 }",
      ),
    );
  }
  return found;
}

/** Tries the expression with a path below the mount, as HAProxy does with what visitors ask for. */
function pathInfo(app: HaproxySection, mount: string | undefined): Finding[] {
  const line = app.lines.find(({ words }) => words[0] === "path-info");
  const at = mount ?? "";
  const remedy = `path-info ^(${haproxyPattern(at)})(/.*)${at === "" ? "" : "?"}$`;
  if (line === undefined) {
    return [
      finding(
        "path-info-missing",
        at === "" ? "warning" : "error",
        app.line,
        "without path-info SCRIPT_NAME is the whole path and PATH_INFO is not there: a mount cannot be told from the rest",
        remedy,
      ),
    ];
  }
  if (mount === undefined) return [];
  const path = `${mount}/a/b.c`;
  const groups = matched(line.words[1] ?? "", path);
  if (groups === undefined || (groups[0] === mount && groups[1] === "/a/b.c")) return [];
  return [
    finding(
      "mount-not-told",
      "error",
      line.line,
      groups.length === 0
        ? `${path} does not match: the application is not told that it is mounted at "${mount}"`
        : `the application is told that it is mounted at "${groups[0] ?? ""}", and it is at "${mount}"`,
      remedy,
    ),
  ];
}

/** The groups; none without a match, undefined for an expression that only HAProxy understands. */
function matched(pattern: string, text: string): (string | undefined)[] | undefined {
  try {
    return new RegExp(pattern).exec(text)?.slice(1) ?? [];
  } catch {
    return undefined;
  }
}

function checkFrontends(
  sections: readonly HaproxySection[],
  backends: readonly HaproxySection[],
  expected: Expected,
): Finding[] {
  const entries = sections.filter(({ kind }) => kind === "frontend" || kind === "listen");
  const places = new Set([...entries, ...backends]);
  return [...places].flatMap(({ lines }) =>
    lines.flatMap(({ words, line }) => {
      if (words[0] !== "http-request" || (words[1] !== "deny" && words[1] !== "return")) return [];
      const text = words.join(" ");
      const [, limit] = /(?:req\.body_size|content-length\)?)(?: -m int)? gt (\d+)/i.exec(text) ?? [];
      if (limit === undefined) return [];
      return bodyFindings(Number(limit), line, expected, (bytes) =>
        bytes === 0
          ? "leave this line out"
          : `http-request return status 413 if { req.body_size gt ${bytes} }`,
      );
    }),
  );
}

/** HAProxy makes REMOTE_USER of what a visitor writes, unless something stands in between. */
function users(
  app: HaproxySection,
  sections: readonly HaproxySection[],
  backends: readonly HaproxySection[],
): Finding[] {
  const isSet = app.lines.some(({ words }) => words[0] === "set-param" && words[1] === "REMOTE_USER");
  const own = backends.filter((one) =>
    one.all.some(({ words }) => words[1] === app.name && words[0] === "use-fcgi-app"),
  );
  const isGuarded = ({ lines }: HaproxySection): boolean =>
    lines.some(
      ({ words }) =>
        words[0] === "http-request" &&
        (words[1] === "auth" || (words[1] === "del-header" && /^authorization$/i.test(words[2] ?? ""))),
    );
  const frontends = sections.filter(({ kind }) => kind === "frontend");
  const isSafe =
    isSet || (own.length > 0 && own.every(isGuarded)) || (frontends.length > 0 && frontends.every(isGuarded));
  if (isSafe) return [];
  return [
    finding(
      "user-not-proven",
      "warning",
      app.line,
      "REMOTE_USER is whatever a visitor writes into Authorization: Basic; nobody has asked for the password",
      "in the backend:\n    http-request set-var(txn.authorization) req.fhdr(Authorization)\n    http-request del-header Authorization\nin the fcgi-app, in place of pass-header:\n    set-param HTTP_AUTHORIZATION %[var(txn.authorization)]",
    ),
  ];
}

const UNITS: Readonly<Record<string, number>> = { us: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600, d: 86_400 };

/** `60s`, `1m`; a number alone is milliseconds. */
function secondsOf(time: string): number | undefined {
  const [, number, unit = "ms"] = /^(\d+)(us|ms|s|m|h|d)?$/.exec(time) ?? [];
  return number === undefined ? undefined : Number(number) * (UNITS[unit] ?? 1);
}

function serversOf({ lines }: HaproxySection): HaproxyLine[] {
  return lines.filter(({ words }) => words[0] === "server");
}

function speaksFastCgi({ words }: HaproxyLine): boolean {
  return words.some((word, index) => word === "proto" && words[index + 1] === "fcgi");
}

function has(lines: readonly HaproxyLine[], ...wanted: readonly string[]): boolean {
  return lines.some(({ words }) => wanted.every((word, index) => words[index] === word));
}

/** As HAProxy finds them, and as they are written. */
function addressesOf(backend: HaproxySection, root: string): string[] {
  return serversOf(backend).flatMap((server) => [addressOf(server, root), pathOf(server)]);
}

function addressOf(server: HaproxyLine, root: string): string {
  const text = pathOf(server);
  return text.startsWith("/") ? root + text : text;
}

function pathOf({ words }: HaproxyLine): string {
  return (words[2] ?? "").replace(/^(?:unix|ipv4|ipv6)@/, "");
}
