/** Who answers what is no file, for lighttpd: the application in `fastcgi.server`, and WebSockets. */
import type { Address } from "../base/address.ts";
import {
  type Branch,
  indented,
  lighttpdFolder,
  lighttpdMap,
  lighttpdPattern,
  lighttpdProgram,
  lighttpdString,
} from "./lighttpd-words.ts";
import type { Site, Spawned } from "./model.ts";
import { reachable } from "./parts.ts";

/** Words of an entry: name and value, the latter as lighttpd reads it. */
type Words = [name: string, value: string][];

/** Who starts it decides the environment: this much of lighttpd's, and what the site says. */
const COPIED = ["HOME", "LANG", "TZ"];
const PATH = "/usr/local/bin:/usr/bin:/bin";

/** Silence of a browser that lighttpd bears in a tunnel. */
const IDLE = "server.max-read-idle = 3600";

/**
 * Whether what is no file is rewritten to the name of a script: at the root, with a folder of files. lighttpd can ask
 * for a file first only while it rewrites.
 */
export function hasScript({ mount, publicFolder }: Site): boolean {
  return mount === "" && publicFolder !== undefined;
}

/** That name. Postern takes what ends with .fcgi for no part of the URL. */
export function scriptOf({ name }: Site): string {
  return `/${name}.fcgi`;
}

/** Whether HTTP/2 must be off: it has no header Upgrade, and inside FastCGI lighttpd cannot carry its WebSockets. */
export function hasFeatureFlags(site: Site): boolean {
  return site.webSocket !== undefined && (site.webSocket.address === undefined || isAnywhere(site));
}

/** Without a slash at the end. */
function webSocketUrl({ webSocket }: Site): string {
  return webSocket?.url.replace(/\/$/, "") ?? "";
}

/** Whether WebSockets have no URL of their own. */
function isAnywhere(site: Site): boolean {
  return webSocketUrl(site) === site.mount;
}

/** The application, and WebSockets that have no URL of their own. */
export function applicationLines(site: Site): string[] {
  const { webSocket } = site;
  if (webSocket?.address === undefined || !isAnywhere(site)) return passingLines(site);
  return [
    '$REQUEST_HEADER["Upgrade"] =~ "(?i)^websocket$" {',
    ...indented(proxyLines(webSocket.address)),
    "} else {",
    ...indented(passingLines(site)),
    "}",
  ];
}

/** `fastcgi.server`, and what leads to it. */
function passingLines(site: Site): string[] {
  const isTunnelled = isInside(site) && !hasBranch(site);
  if (!hasScript(site)) return [...idleLines(site), ...fastcgiServer(site, site.mount || "/", isTunnelled)];
  const rewrite = `( "^(/.*)$" => "${scriptOf(site)}$1" )`;
  return [
    "# A file of the document root comes first. Everything else goes to the application, by a name that visitors",
    "# do not see, and so do names that begin with a dot.",
    `$HTTP["url"] =~ "^${lighttpdPattern(scriptOf(site))}|/\\.(?!well-known/)" {`,
    `    url.rewrite-once = ${rewrite}`,
    "} else {",
    `    url.rewrite-if-not-file = ${rewrite}`,
    "}",
    ...idleLines(site),
    ...fastcgiServer(site, scriptOf(site), isTunnelled),
  ];
}

/** WebSockets that have a URL of their own. */
export function webSocketBranches(site: Site): Branch[] {
  const { webSocket } = site;
  if (webSocket === undefined || isAnywhere(site)) return [];
  const pattern = lighttpdString("--websocket", `^${lighttpdPattern(webSocketUrl(site))}(?:/|$)`);
  const condition = `$HTTP["url"] =~ ${pattern}`;
  if (webSocket.address !== undefined) return [{ condition, lines: proxyLines(webSocket.address) }];
  if (!hasBranch(site)) return [];
  return [{ condition, lines: [IDLE, ...fastcgiServer(site, site.mount || "/", true)] }];
}

function proxyLines(sideListener: Address): string[] {
  const [address] = reachable("lighttpd", [sideListener]);
  return [
    "# By HTTP to the side listener of --ws-http.",
    IDLE,
    'proxy.header = ( "upgrade" => "enable" )',
    `proxy.server = ( "" => ( ${entry(addressWords(address as Address, "host"))} ) )`,
  ];
}

function isInside({ webSocket }: Site): boolean {
  return webSocket !== undefined && webSocket.address === undefined;
}

/** Whether tunnels have an entry of their own. A program that lighttpd starts has one entry, or it would be started twice. */
function hasBranch(site: Site): boolean {
  return isInside(site) && site.application.kind === "external" && !isAnywhere(site);
}

function idleLines(site: Site): string[] {
  if (!isInside(site) || hasBranch(site)) return [];
  if (isAnywhere(site)) return [IDLE];
  const script = hasScript(site) ? `(?:${lighttpdPattern(scriptOf(site))})?` : "";
  const pattern = lighttpdString("--websocket", `^${script}${lighttpdPattern(webSocketUrl(site))}(?:/|$)`);
  return [`$HTTP["url"] =~ ${pattern} { ${IDLE} }`];
}

function fastcgiServer(site: Site, key: string, isTunnelled: boolean): string[] {
  const { application } = site;
  const rest = optionWords(site, key, isTunnelled);
  const entries =
    application.kind === "spawned"
      ? [[...spawnWords(application), ...rest]]
      : reachable("lighttpd", application.addresses).map((one) => [...addressWords(one, "socket"), ...rest]);
  const lines = entries.flatMap((words, at) => {
    const width = Math.max(...words.map(([name]) => name.length));
    const inside = words.map(
      ([name, value], word) =>
        `"${name}"${" ".repeat(width - name.length)} => ${value}${word < words.length - 1 ? "," : ""}`,
    );
    return ["(", ...indented(inside), at < entries.length - 1 ? ")," : ")"];
  });
  return [`fastcgi.server = ( ${lighttpdString("--mount", key)} => (`, ...indented(lines), ") )"];
}

function optionWords({ sendFile, timeoutSeconds }: Site, key: string, isTunnelled: boolean): Words {
  // Else lighttpd looks for a file of that name, and answers 404.
  const words: Words = [["check-local", '"disable"']];
  // Else the first segment of each path would be SCRIPT_NAME.
  if (key === "/") words.push(["fix-root-scriptname", '"enable"']);
  // It would end a tunnel, too.
  if (isTunnelled) words.push(["upgrade", '"enable"']);
  else words.push(["read-timeout", String(Math.max(1, Math.ceil(timeoutSeconds)))]);
  if (sendFile.length > 0) {
    const folders = sendFile.map(({ folder }) => lighttpdFolder("--send-file", folder)).join(", ");
    words.push(["x-sendfile", '"enable"'], ["x-sendfile-docroot", `( ${folders} )`]);
  }
  return words;
}

function spawnWords({ program, processes, socket, environment }: Spawned): Words {
  const own = Object.entries({ PATH, ...environment });
  const copied = COPIED.filter((name) => environment[name] === undefined);
  return [
    // One socket for each process: -0, -1 and so on are put behind the name.
    ["socket", lighttpdString("--socket", socket)],
    ["bin-path", lighttpdProgram(program)],
    ["max-procs", String(processes)],
    ["bin-environment", lighttpdMap("environment", own)],
    ["bin-copy-environment", `( ${copied.map((name) => `"${name}"`).join(", ")} )`],
  ];
}

/** @param unix what a unix socket is called: mod_proxy knows no `socket` */
function addressWords(address: Address, unix: "socket" | "host"): Words {
  if (address.kind === "unix") return [[unix, lighttpdString("--bind", address.path)]];
  if (address.kind !== "tcp") return [];
  return [
    ["host", lighttpdString("--bind", address.host || "127.0.0.1")],
    ["port", String(address.port)],
  ];
}

function entry(words: Words): string {
  return `( ${words.map(([name, value]) => `"${name}" => ${value}`).join(", ")} )`;
}
