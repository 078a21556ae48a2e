/** What an entry of lighttpd's `fastcgi.server` gets wrong. */
import { type Address, printAddress } from "../base/address.ts";
import type { Assignment, Condition, Value } from "./lighttpd-parse.ts";
import type { Expected, Finding } from "./model.ts";

/** One application of one `fastcgi.server`. */
export interface Backend {
  /** `"/"`, `"/yourapplication"`, `".fcgi"`. */
  readonly key: string;
  readonly words: ReadonlyMap<string, Value>;
  readonly line: number;
  readonly conditions: readonly Condition[];
}

/** What lighttpd 1.4.69 to 1.4.85 know. They take no notice of others, and do not say so. */
const KNOWN = new Set(
  (
    "host port socket listen-backlog bin-path kill-signal check-local mode docroot min-procs max-procs " +
    "max-load-per-proc idle-timeout disable-time bin-environment bin-copy-environment broken-scriptfilename " +
    "strip-request-uri fix-root-scriptname allow-x-send-file x-sendfile x-sendfile-docroot tcp-fin-propagate " +
    "connect-timeout write-timeout read-timeout upgrade"
  ).split(" "),
);

/** What lighttpd starts when nobody says how many. */
const DEFAULT_PROCESSES = 4;

/** The text of a value that is one. */
export function textOf(value: Value | undefined): string | undefined {
  return value?.kind === "text" ? value.text : undefined;
}

export function isOn(value: Value | undefined): boolean {
  return /^(?:enabled?|true|1)$/.test(textOf(value) ?? "");
}

export function backendsOf(assignments: readonly Assignment[]): Backend[] {
  const backends: Backend[] = [];
  for (const { name, value, conditions } of assignments) {
    if (name !== "fastcgi.server" || value.kind !== "list") continue;
    for (const { key, value: hosts } of value.entries) {
      if (key === undefined || hosts.kind !== "list") continue;
      for (const { value: words } of hosts.entries) {
        if (words.kind !== "list") continue;
        const map = new Map(words.entries.map((entry) => [entry.key ?? "", entry.value]));
        backends.push({ key, words: map, line: words.line, conditions });
      }
    }
  }
  return backends;
}

export function checkBackend(
  backend: Backend,
  backends: readonly Backend[],
  assignments: readonly Assignment[],
  expected: Expected,
): Finding[] {
  return [
    ...shapeFindings(backend),
    ...urlFindings(backend, assignments),
    ...(backend.words.has("bin-path")
      ? spawnFindings(backend, expected)
      : addressFindings(backend, backends, expected)),
    ...fileFindings(backend, expected),
    ...timeoutFindings(backend, expected),
  ];
}

function shapeFindings({ words, line }: Backend): Finding[] {
  const findings: Finding[] = [];
  const error = (rule: string, at: string, what: string, remedy: string): void => {
    findings.push({ rule, severity: "error", line: words.get(at)?.line ?? line, what, remedy });
  };
  for (const [name, { line: at }] of words) {
    if (KNOWN.has(name)) continue;
    findings.push({
      rule: "unknown-word",
      severity: "warning",
      line: at,
      what: `lighttpd knows no ${JSON.stringify(name)} in fastcgi.server, and takes no notice of it`,
      remedy: "a word of its manual, such as check-local",
    });
  }
  if (words.has("host") && words.has("socket")) {
    error(
      "host-and-socket",
      "socket",
      "an entry has a host or a socket and not both: lighttpd does not start",
      '"socket" => "/path" for a unix socket, or "host" and "port" for TCP',
    );
  }
  if (words.has("host") && !words.has("port") && textOf(words.get("host"))?.startsWith("/") === false) {
    error("port-missing", "host", "a host without a port: no connection gets anywhere", '"port" => 9000');
  }
  if (!isOff(words.get("check-local"))) {
    error(
      "check-local",
      "check-local",
      'without "check-local" => "disable" lighttpd looks for a file of that name first, and answers 404 when there is none',
      '"check-local" => "disable"',
    );
  }
  return findings;
}

function isOff(value: Value | undefined): boolean {
  return value?.kind === "unknown" || /^(?:disabled?|false|0)$/.test(textOf(value) ?? "");
}

function urlFindings(
  { key, words, line, conditions }: Backend,
  assignments: readonly Assignment[],
): Finding[] {
  const findings: Finding[] = [];
  const isResponder = textOf(words.get("mode")) !== "authorizer";
  if (key === "/" && isResponder && !isOn(words.get("fix-root-scriptname"))) {
    findings.push({
      rule: "root-scriptname",
      severity: "error",
      line,
      what: 'at "/" lighttpd takes the first segment of each path for the mount',
      remedy: '"fix-root-scriptname" => "enable"; or tell Postern: LighttpdCGIRootFix: true, or --base ""',
    });
  }
  if (key.length > 1 && key.endsWith("/") && isResponder) {
    findings.push({
      rule: "mount-with-slash",
      severity: "error",
      line,
      what: `with a slash at its end, ${JSON.stringify(key)} is not the mount: lighttpd adds the next segment to it, and answers 404 without the slash`,
      remedy: `${JSON.stringify(key.slice(0, -1))} => …, and --base ${key.slice(0, -1)}`,
    });
  }
  const isPath = key.startsWith("/") && key !== "/" && !key.endsWith("/") && !key.endsWith(".fcgi");
  if (isPath && isResponder && !conditions.some(({ what }) => what === 'HTTP["url"]')) {
    findings.push({
      rule: "mount-prefix",
      severity: "warning",
      line,
      what: `${JSON.stringify(key)} is where a URL begins: ${key}x goes to the application, too`,
      remedy: `$HTTP["url"] =~ "^${key}(?:/|$)" { fastcgi.server = … }`,
    });
  }
  if (words.has("strip-request-uri")) {
    findings.push({
      rule: "request-uri-stripped",
      severity: "warning",
      line: words.get("strip-request-uri")?.line ?? line,
      what: "strip-request-uri takes the beginning off REQUEST_URI, of which the application makes its own URLs",
      remedy: "leave it out: Postern works the path out by itself",
    });
  }
  return [...findings, ...shadowFindings(key, conditions, assignments)];
}

/** Static files behind an application that takes every URL. */
function shadowFindings(
  key: string,
  conditions: readonly Condition[],
  assignments: readonly Assignment[],
): Finding[] {
  if (key !== "/") return [];
  const shadowed = assignments.find(
    (one) =>
      one.name === "alias.url" &&
      one.value.kind === "list" &&
      one.conditions.length === conditions.length &&
      conditions.every((condition, at) => one.conditions[at] === condition),
  );
  if (shadowed === undefined) return [];
  return [
    {
      rule: "alias-not-reached",
      severity: "error",
      line: shadowed.line,
      what: 'fastcgi.server at "/" takes the URLs of alias.url as well: no file is sent',
      remedy: '$HTTP["url"] =~ "^/static/" { alias.url = … } else { fastcgi.server = … }',
    },
  ];
}

function spawnFindings({ words, line }: Backend, { addresses }: Expected): Finding[] {
  const findings: Finding[] = [];
  const program = textOf(words.get("bin-path")) ?? "/";
  const socket = textOf(words.get("socket"));
  if (!program.startsWith("/")) {
    findings.push({
      rule: "bin-path-relative",
      severity: "error",
      line: words.get("bin-path")?.line ?? line,
      what: `${JSON.stringify(program)} is looked for in the folder that lighttpd happened to be started in`,
      remedy: '"bin-path" => "/the/whole/path"',
    });
  }
  if (!words.has("max-procs")) {
    findings.push({
      rule: "max-procs-default",
      severity: "warning",
      line,
      what: `without max-procs lighttpd starts ${DEFAULT_PROCESSES} processes of the application`,
      remedy: '"max-procs" => 1',
    });
  }
  const children = entriesOf(words.get("bin-environment")).find(([name]) => name === "PHP_FCGI_CHILDREN");
  if (children !== undefined) {
    findings.push({
      rule: "php-children",
      severity: "warning",
      line: children[1].line,
      what: "PHP_FCGI_CHILDREN means something to PHP alone: a program of Postern is one process",
      remedy: '"max-procs" says how many there are',
    });
  }
  if (socket !== undefined && addresses?.some((one) => one.kind === "unix" && one.path === socket)) {
    findings.push({
      rule: "spawned-too",
      severity: "error",
      line: words.get("socket")?.line ?? line,
      what: `with a bin-path lighttpd starts programs of its own on ${socket}-0 and so on; nothing reaches the application that listens on ${socket}`,
      remedy: "leave bin-path and max-procs out",
    });
  }
  return findings;
}

function entriesOf(value: Value | undefined): (readonly [string, Value])[] {
  if (value?.kind !== "list") return [];
  return value.entries.map((entry) => [entry.key ?? "", entry.value] as const);
}

/** An application that runs by itself is found when one of the entries of its key has its address. */
function addressFindings(backend: Backend, backends: readonly Backend[], { addresses }: Expected): Finding[] {
  const { words, line, key } = backend;
  const isAuthorizer = textOf(words.get("mode")) === "authorizer";
  const found = addressOf(backend);
  if (addresses === undefined || addresses.length === 0 || found === undefined || isAuthorizer) return [];
  if (addresses.some((one) => isSame(one, found))) return [];
  // Another one of the same key may be right: said only of those that look like it.
  const near = addresses.find((one) => isNear(one, found));
  const others = backends.filter((one) => one.key === key && one !== backend).map(addressOf);
  const hasRight = others.some((other) => other !== undefined && addresses.some((one) => isSame(one, other)));
  if (near === undefined && hasRight) return [];
  const wanted = (near ?? addresses[0]) as Address;
  return [
    {
      rule: "address-differs",
      severity: "error",
      line: (words.get("socket") ?? words.get("port") ?? words.get("host"))?.line ?? line,
      what: `requests go to ${printAddress(found)}, and the application listens on ${addresses.map(printAddress).join(", ")}${near === undefined ? "" : "; nearly, but not the same"}`,
      remedy: wordsFor(wanted),
    },
  ];
}

function addressOf({ words }: Backend): Address | undefined {
  const socket = textOf(words.get("socket"));
  if (socket !== undefined) return { kind: "unix", path: socket };
  const [host, port] = [textOf(words.get("host")), textOf(words.get("port"))];
  if (host?.startsWith("/")) return { kind: "unix", path: host };
  return host === undefined ? undefined : { kind: "tcp", host, port: Number(port ?? 0) };
}

function isSame(one: Address, other: Address): boolean {
  if (one.kind === "tcp" && other.kind === "tcp") {
    return one.port === other.port && hostOf(one.host) === hostOf(other.host);
  }
  return printAddress(one) === printAddress(other);
}

/** An application on every address is met on this machine's. */
function hostOf(host: string): string {
  return /^(?:|localhost|0\.0\.0\.0|::|\*)$/.test(host) ? "127.0.0.1" : host;
}

function isNear(one: Address, other: Address): boolean {
  if (one.kind === "tcp" && other.kind === "tcp")
    return one.port === other.port || hostOf(one.host) === hostOf(other.host);
  if (one.kind !== "unix" || other.kind !== "unix") return false;
  const name = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
  const folder = (path: string): string => path.slice(0, path.lastIndexOf("/"));
  return name(one.path) === name(other.path) || folder(one.path) === folder(other.path);
}

function wordsFor(address: Address): string {
  if (address.kind === "tcp") return `"host" => "${hostOf(address.host)}", "port" => ${address.port}`;
  return `"socket" => "${address.kind === "unix" ? address.path : "…"}"`;
}

function fileFindings({ words, line }: Backend, { sendFile }: Expected): Finding[] {
  const isSending = isOn(words.get("x-sendfile")) || isOn(words.get("allow-x-send-file"));
  const roots = words.get("x-sendfile-docroot");
  const folders = entriesOf(roots).map(([, value]) => textOf(value)?.replace(/\/+$/, ""));
  if (isSending && folders.length === 0 && roots?.kind !== "unknown") {
    return [
      {
        rule: "x-sendfile-anywhere",
        severity: "error",
        line: (words.get("x-sendfile") ?? words.get("allow-x-send-file"))?.line ?? line,
        what: "without x-sendfile-docroot lighttpd sends any file that it can read and the application names",
        remedy: '"x-sendfile-docroot" => ( "/the/folder/" )',
      },
    ];
  }
  const missing = (sendFile ?? []).filter(
    ({ folder }) =>
      !folders.some((root) => root !== undefined && (folder === root || folder.startsWith(`${root}/`))),
  );
  if (missing.length === 0 || textOf(words.get("mode")) === "authorizer" || roots?.kind === "unknown")
    return [];
  return [
    {
      rule: "x-sendfile-missing",
      severity: "error",
      line: roots?.line ?? line,
      what: `the application leaves files of ${missing.map(({ folder }) => folder).join(", ")} to lighttpd, which does not send them: visitors get an empty page`,
      remedy: `"x-sendfile" => "enable", "x-sendfile-docroot" => ( ${missing.map(({ folder }) => JSON.stringify(`${folder}/`)).join(", ")} )`,
    },
  ];
}

function timeoutFindings({ words }: Backend, { timeoutSeconds }: Expected): Finding[] {
  const value = words.get("read-timeout");
  const seconds = Number(textOf(value) ?? 0);
  if (value === undefined || timeoutSeconds === undefined || !(seconds > 0 && seconds < timeoutSeconds))
    return [];
  return [
    {
      rule: "timeout-too-short",
      severity: "warning",
      line: value.line,
      what: `visitors get 504 after ${seconds} s of silence, and the application may take ${timeoutSeconds} s`,
      remedy: `"read-timeout" => ${Math.ceil(timeoutSeconds)}`,
    },
  ];
}
