/**
 * A site → a whole cherokee.conf, in the words of a file that Cherokee 1.2.104 has loaded and answered by. It is the one
 * web server that no test starts: no distribution has it any more.
 */
import { cherokeeEnvironment, cherokeeProgram, cherokeeValue } from "./cherokee-words.ts";
import type { GeneratedSite, Site, Spawned } from "./model.ts";
import { hostAndPort, madeBy, quoted, reachable, refused } from "./parts.ts";

const MAIN = "/etc/cherokee/cherokee.conf";
const PATH = "/usr/local/bin:/usr/bin:/bin";

/** How long Cherokee waits for a program that it has started, before it starts another one. */
const START_SECONDS = 30;

/** Rules with larger numbers come first. */
const PRIORITY = { statics: 900, mount: 300, others: 100 } as const;

/** A rule for URLs, or where an application is: keys below a number. */
type Keys = readonly (readonly [key: string, value: string])[];

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` */
export function cherokeeSite(site: Site): GeneratedSite {
  refuseUnknown(site);
  const { standalone } = site;
  const path = standalone === undefined ? MAIN : `${standalone.folder}/cherokee.conf`;
  const sources = sourcesOf(site);
  const lines = [
    `# ${madeBy("cherokee")}`,
    ...serverLines(site),
    "",
    ...rulesOf(site, sources.length),
    ...sources.flatMap((keys, at) => keysBelow(`source!${at + 1}`, keys)),
  ];
  const check = ["cherokee", "-t", "-C", path];
  return {
    files: [{ path, mode: 0o644, text: `${lines.join("\n")}\n` }],
    check,
    run: standalone === undefined ? undefined : ["cherokee", "-C", path],
    steps:
      standalone === undefined
        ? [
            { what: "check", command: check.join(" ") },
            { what: "reload", command: "kill -HUP $(cat /run/cherokee.pid)" },
          ]
        : [],
    notes: notesOf(site),
  };
}

/** What nobody has seen Cherokee do with an application of this kind. */
function refuseUnknown({ tls, webSocket }: Site): void {
  if (tls !== undefined) {
    throw refused(
      "--certificate: the Cherokee that was measured had no TLS; set it up in cherokee-admin, or let another server end it",
    );
  }
  if (webSocket !== undefined) {
    throw refused(
      "--websocket: Cherokee cannot carry WebSocket inside FastCGI, and its proxy was not tried; use another server, or leave it out",
    );
  }
}

function serverLines({ listen, timeoutSeconds, standalone, publicFolder, name }: Site): string[] {
  const { folder } = standalone ?? { folder: undefined };
  const user = standalone === undefined ? "www-data" : standalone.user;
  const group = standalone === undefined ? "www-data" : standalone.group;
  const root = publicFolder ?? (folder === undefined ? `/var/www/${name}` : `${folder}/empty`);
  const keys: (readonly [string, string | undefined])[] = [
    ["config!version", "001002104"],
    ["server!bind!1!port", String(listen.port)],
    ["server!bind!1!interface", listen.host],
    ["server!timeout", String(timeoutSeconds)],
    ["server!keepalive", "1"],
    ["server!user", user],
    ["server!group", group],
    ["server!pid_file", folder === undefined ? "/run/cherokee.pid" : `${folder}/cherokee.pid`],
    ["vserver!1!nick", "default"],
    ["vserver!1!document_root", root],
  ];
  const lines = keys.flatMap(([key, value]) =>
    value === undefined ? [] : [`${key} = ${cherokeeValue(key, value)}`],
  );
  const log =
    folder === undefined
      ? [
          "vserver!1!error_writer!type = file",
          "vserver!1!error_writer!filename = /var/log/cherokee/cherokee.error",
        ]
      : ["vserver!1!error_writer!type = stderr"];
  return [...lines, ...log];
}

function rulesOf(site: Site, sources: number): string[] {
  const { mount, statics } = site;
  const lines: string[] = [];
  const add = (priority: number, comment: string, keys: Keys): void => {
    lines.push(`# ${comment}`, ...keysBelow(`vserver!1!rule!${priority}`, keys), "");
  };
  statics.forEach(({ url, folder }, at) => {
    add(PRIORITY.statics - at, "Files that Cherokee sends itself.", [
      ["match", "directory"],
      ["match!directory", cherokeeValue("--static", url.replace(/\/$/, ""))],
      ["document_root", cherokeeValue("--static", folder)],
      ["handler", "file"],
    ]);
  });
  const application = [...handlerKeys(sources), ...authKeys(site)];
  if (mount === "") {
    add(PRIORITY.others, "The application.", [["match", "default"], ...application]);
    return lines;
  }
  add(PRIORITY.mount, "The application, and nothing that only begins like it.", [
    ["match", "directory"],
    ["match!directory", cherokeeValue("--mount", mount)],
    ...application,
  ]);
  add(PRIORITY.others, "Everything else: files.", [
    ["match", "default"],
    ["handler", "file"],
  ]);
  return lines;
}

function handlerKeys(sources: number): Keys {
  const list = Array.from({ length: sources }, (_, at): readonly [string, string] => [
    `handler!balancer!source!${at + 1}`,
    String(at + 1),
  ]);
  return [
    ["handler", "fcgi"],
    ["handler!check_file", "0"],
    ["handler!pass_req_headers", "1"],
    ["handler!balancer", "round_robin"],
    ...list,
  ];
}

function authKeys({ passwords, name }: Site): Keys {
  if (passwords === undefined) return [];
  return [
    ["auth", "htpasswd"],
    ["auth!methods", "basic"],
    ["auth!realm", name],
    ["auth!passwdfile", cherokeeValue("--passwords", passwords)],
  ];
}

/** Where the application is, or how it is started. */
function sourcesOf({ application, name }: Site): Keys[] {
  if (application.kind === "spawned") {
    return Array.from({ length: application.processes }, (_, at) => interpreterKeys(application, name, at));
  }
  return reachable("cherokee", application.addresses).map((address, at) => [
    ["type", "host"],
    ["nick", numbered(name, at)],
    ["host", address.kind === "unix" ? cherokeeValue("--bind", address.path) : hostAndPort(address)],
  ]);
}

/** No socket is passed to it: it makes its own, and POSTERN_BIND says where. */
function interpreterKeys(
  { program, socket, environment, processes }: Spawned,
  name: string,
  at: number,
): Keys {
  if (/[$,]/.test(socket)) {
    throw refused(
      `--socket ${quoted(socket)}: POSTERN_BIND takes a comma for the end of an address, and Cherokee a $ for a variable; give a path with neither`,
    );
  }
  const path = processes === 1 ? socket : `${socket}-${at}`;
  const variables = Object.entries({ PATH, ...environment, POSTERN_BIND: `unix:${path}` });
  return [
    ["type", "interpreter"],
    ["nick", numbered(name, at)],
    ["host", cherokeeValue("--socket", path)],
    ["interpreter", cherokeeProgram(program)],
    ["timeout", String(START_SECONDS)],
    ["env_inherited", "0"],
    ...variables.map(([variable, value]): readonly [string, string] => [
      `env!${variable}`,
      cherokeeEnvironment(variable, value),
    ]),
  ];
}

function numbered(name: string, at: number): string {
  return at === 0 ? name : `${name}-${at + 1}`;
}

function keysBelow(parent: string, keys: Keys): string[] {
  return keys.map(([key, value]) => `${parent}!${key} = ${value}`);
}

function notesOf(site: Site): string[] {
  const { application, publicFolder, passwords, sendFile, serverNames, standalone, statics } = site;
  const notes = [
    "Cherokee is not among the servers that Postern is tested behind: this is made after a file that 1.2.104 has loaded, and its traffic is replayed from recordings",
    "behind Cherokee URLs arrive decoded (%2F is a slash), chunked uploads arrive broken, unknown methods get 405, and each request is a connection of its own",
  ];
  if (standalone === undefined) {
    notes.push(
      `this is a whole cherokee.conf, which cherokee-admin will write anew: to keep what is there, take over the lines of the rules and sources under numbers that are free, in the virtual server of ${serverNames[0]}`,
    );
  }
  if (application.kind === "spawned") {
    notes.push(
      `Cherokee passes no socket: ${application.program} has to listen on what POSTERN_BIND says, as \`exec postern serve app.js\` does`,
      "if it is not there after 30 s, Cherokee starts another one; the second ends by itself as long as the first lives",
    );
  }
  if (publicFolder !== undefined && statics.length === 0) {
    notes.push(
      "Cherokee asks for no files before it asks the application: name those it is to send with --static",
    );
  }
  if (statics.length > 0)
    notes.push("the rules for static files follow Cherokee's documentation and were not tried");
  if (passwords !== undefined) {
    notes.push(
      "the lines about passwords follow Cherokee's documentation; what it sends then was recorded (REMOTE_USER)",
    );
  }
  if (sendFile.length > 0) notes.push("--send-file: behind Cherokee Postern sends the files itself");
  if (site.maxBodyBytes > 0)
    notes.push("--max-body is left out: set a limit in cherokee-admin if you need one");
  if (site.isMultiplexed) notes.push("Cherokee sends one request per connection: there is no multiplexing");
  return notes;
}
