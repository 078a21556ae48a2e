/**
 * A site → the configuration of h2o 2.2. It tells the application the whole path and never the mount, so that the
 * mount has to be told to Postern.
 */
import type { Step } from "../generate/model.ts";
import { h2oShellWord, h2oSocketUrl, h2oText } from "./h2o-words.ts";
import type { GeneratedSite, Site, Spawned, WebSocketRoute } from "./model.ts";
import { hostAndPort, madeBy, reachable, refused } from "./parts.ts";
import { writableSteps } from "./shell.ts";

/** Who h2o's workers are in Debian. */
const DEBIAN_USER = "debian-h2o";
/** What comes with h2o for passwords: a class in Ruby, which h2o runs. */
const HTPASSWD = "/usr/share/h2o/mruby/htpasswd.rb";
/** How long an idle connection to the application is kept. */
const KEPT_MS = 30_000;
/** How long a WebSocket may be silent. */
const WEBSOCKET_MS = 3_600_000;

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` */
export function h2oSite(site: Site): GeneratedSite {
  const { standalone, maxBodyBytes, serverNames, listen, timeoutSeconds } = site;
  const folder = standalone?.folder;
  const path = folder === undefined ? "/etc/h2o/h2o.conf" : `${folder}/h2o.conf`;
  const user = standalone === undefined ? DEBIAN_USER : standalone.user;
  const lines = [`# ${madeBy("h2o")}`];
  if (user !== undefined) lines.push(`user: ${h2oText(user)}`);
  lines.push(`pid-file: ${h2oText(folder === undefined ? "/run/h2o.pid" : `${folder}/h2o.pid`)}`);
  lines.push(
    `error-log: ${h2oText(folder === undefined ? "/var/log/h2o/error.log" : `${folder}/error.log`)}`,
  );
  // Without a word it is one gigabyte.
  lines.push(`limit-request-body: ${maxBodyBytes > 0 ? maxBodyBytes : Number.MAX_SAFE_INTEGER}`);
  lines.push(
    "# How long the application may be silent, and how long unused connections to it are kept, in ms.",
  );
  lines.push(`fastcgi.timeout.io: ${timeoutSeconds * 1000}`);
  lines.push(`fastcgi.timeout.keepalive: ${site.isKeptAlive ? KEPT_MS : 0}`);
  lines.push("hosts:");
  for (const name of serverNames) {
    const isStandard = listen.port === (site.tls === undefined ? 80 : 443);
    lines.push(`  ${JSON.stringify(isStandard ? name : hostAndPort({ host: name, port: listen.port }))}:`);
    lines.push(...indented(listenLines(site), 4), "    paths:", ...indented(pathLines(site), 6));
  }
  const check = ["h2o", "-t", "-c", path];
  const steps: Step[] = [
    { what: "check", command: "h2o -t -c /etc/h2o/h2o.conf" },
    { what: "reload", command: "systemctl restart h2o" },
  ];
  return {
    files: [{ path, mode: 0o644, text: `${lines.join("\n")}\n` }],
    check,
    run: standalone === undefined ? undefined : ["h2o", "-m", "worker", "-c", path],
    steps: standalone === undefined ? steps : writableSteps(standalone),
    notes: notesOn(site),
  };
}

function listenLines({ listen, tls }: Site): string[] {
  const lines = ["listen:"];
  if (listen.host !== undefined) lines.push(`  host: ${JSON.stringify(listen.host)}`);
  lines.push(`  port: ${listen.port}`);
  if (tls === undefined) return lines;
  if (tls.clientCa !== undefined) {
    throw refused(
      "--client-ca: h2o 2.2 asks for no client certificates; leave it out, or use another web server",
    );
  }
  return [
    ...lines,
    "  ssl:",
    `    certificate-file: ${h2oText(tls.certificate)}`,
    `    key-file: ${h2oText(tls.key)}`,
  ];
}

/** h2o takes the longest of the paths that a URL is below, and asks its handlers in their order. */
function pathLines(site: Site): string[] {
  const { mount, publicFolder, statics, webSocket, passwords } = site;
  const paths: [path: string, handlers: (readonly string[])[]][] = [];
  if (publicFolder !== undefined && mount !== "") paths.push(["/", [HIDDEN, fileLines(publicFolder)]]);
  for (const { url, folder } of statics) paths.push([url, [HIDDEN, fileLines(folder)]]);
  if (webSocket !== undefined) paths.push([webSocket.url, [webSocketLines(site, webSocket)]]);
  paths.push([mount === "" ? "/" : mount, [applicationLines(site)]]);
  return paths.flatMap(([path, handlers]) => [
    `${h2oText(path)}:`,
    ...(passwords === undefined ? handlers : [passwordLines(passwords), ...handlers]).flatMap((lines) =>
      lines.map((line, index) => `  ${index === 0 ? "-" : " "} ${line}`),
    ),
  ]);
}

/**
 * 404 for files whose names begin with a dot, which h2o would send like any other; 399 goes on to the next handler. h2o
 * tells the path as it was written; where it cuts one in the middle of a %2f, what is left begins with no slash.
 */
const HIDDEN: readonly string[] = [
  "mruby.handler: |",
  "    lambda do |env|",
  '      path = env["PATH_INFO"].downcase.gsub("%2e", ".").gsub("%2f", "/")',
  '      hidden = path.split("/").any? { |name| name[0] == "." && ![".", "..", ".well-known"].include?(name) }',
  '      odd = path != "" && path[0] != "/"',
  "      [hidden || odd ? 404 : 399, {}, []]",
  "    end",
];

function fileLines(folder: string): string[] {
  return [`file.dir: ${h2oText(folder)}`];
}

/** The handler answers 401, or goes on to the next one with a REMOTE_USER. */
function passwordLines(passwords: string): string[] {
  if (/["\\#]/.test(passwords)) {
    throw refused(
      `--passwords ${JSON.stringify(passwords)}: for h2o its name becomes part of a program; give a path without quotes, backslashes and #`,
    );
  }
  return ["mruby.handler: |", `    require "${HTPASSWD}"`, `    Htpasswd.new("${passwords}", "Members")`];
}

function applicationLines({ application, publicFolder }: Site): string[] {
  const lines =
    application.kind === "spawned"
      ? [`fastcgi.spawn: ${h2oText(commandOf(application))}`]
      : connectLines(application.addresses);
  if (publicFolder !== undefined) lines.push(`fastcgi.document_root: ${h2oText(publicFolder)}`);
  return lines;
}

/** @throws {SettingError} for more than one address */
function connectLines(addresses: Parameters<typeof reachable>[1]): string[] {
  const [address, ...others] = reachable("h2o", addresses);
  if (address === undefined || others.length > 0) {
    throw refused(
      "--bind: h2o passes requests on to one address; let several workers listen on one (postern serve --workers), or use another web server",
    );
  }
  if (address.kind === "unix") {
    return ["fastcgi.connect:", "  type: unix", `  port: ${h2oText(address.path)}`];
  }
  return [
    "fastcgi.connect:",
    "  type: tcp",
    `  host: ${JSON.stringify(address.host || "127.0.0.1")}`,
    `  port: ${address.port}`,
  ];
}

/** Run by /bin/sh; `exec`, so that h2o's signals reach the program and not the shell. */
function commandOf({ program, environment }: Spawned): string {
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${h2oShellWord(value)} `);
  return `${assignments.join("")}exec ${h2oShellWord(program)}`;
}

/** @throws {SettingError} */
function webSocketLines({ mount }: Site, { url, address }: WebSocketRoute): string[] {
  if (address === undefined) {
    throw refused(
      "--websocket: h2o carries no WebSocket inside FastCGI; start the application with --ws-http ADDRESS and give that address here",
    );
  }
  if (url === "" || url === mount) {
    throw refused(
      "--websocket: h2o tells WebSockets from other requests by their URL only; give one that the application has for them alone, such as /ws",
    );
  }
  const [host] = reachable("h2o", [address]).map((one) =>
    one.kind === "unix" ? h2oSocketUrl(one.path) : hostAndPort(one),
  );
  return [
    `proxy.reverse.url: ${JSON.stringify(`http://${host}${encodeURI(url)}`)}`,
    "proxy.preserve-host: ON",
    "proxy.websocket: ON",
    `proxy.websocket.timeout: ${WEBSOCKET_MS}`,
  ];
}

function notesOn({
  mount,
  publicFolder,
  sendFile,
  isMultiplexed,
  isStreaming,
  application,
  passwords,
  standalone,
}: Site): string[] {
  const notes: string[] = [];
  if (mount !== "") {
    notes.push(
      `h2o does not tell the application where it is mounted: start Postern with --base ${encodeURI(mount)}`,
    );
  }
  if (publicFolder !== undefined && mount === "") {
    notes.push(
      "--root: h2o cannot look for a file before it asks the application; name the folders of files with --static",
    );
  }
  if (sendFile.length > 0) {
    notes.push("--send-file: h2o sends no files for an application; leave it out of Postern's settings, too");
  }
  if (isMultiplexed)
    notes.push("--multiplex: h2o sends one request at a time on each connection; it is left out");
  if (isStreaming)
    notes.push("h2o passes answers on as they come, and collects uploads before it sends them");
  if (application.kind === "spawned") {
    notes.push(
      `h2o starts one process, and does not start it again when it ends: prefer postern serve as a service`,
    );
  }
  if (passwords !== undefined) {
    notes.push(
      "the passwords must be hashed as htpasswd -s or -m writes them (SHA-1, MD5): h2o's htpasswd.rb knows no other",
    );
  }
  if (standalone === undefined) {
    notes.push(
      `this is a whole h2o.conf: when h2o has other sites, put the lines below hosts into theirs; its workers are ${DEBIAN_USER}, who must be allowed to connect`,
    );
  }
  return notes;
}

function indented(lines: readonly string[], by: number): string[] {
  return lines.map((line) => `${" ".repeat(by)}${line}`);
}
