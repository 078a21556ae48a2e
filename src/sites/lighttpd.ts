/**
 * A site → the configuration of lighttpd 1.4.69 or newer: a file for `conf-available` as Debian has it, or a whole one.
 * What lighttpd writes and reads where is in lighttpd-words.ts; the entries of `fastcgi.server` in lighttpd-backend.ts.
 */
import {
  applicationLines,
  hasFeatureFlags,
  hasScript,
  scriptOf,
  webSocketBranches,
} from "./lighttpd-backend.ts";
import {
  type Branch,
  indented,
  lighttpdFolder,
  lighttpdMap,
  lighttpdPattern,
  lighttpdString,
} from "./lighttpd-words.ts";
import type { GeneratedSite, Site, Standalone, Tls } from "./model.ts";
import { hostAndPort, madeBy } from "./parts.ts";
import { writableSteps } from "./shell.ts";

const MAIN = "/etc/lighttpd/lighttpd.conf";

/** Nobody's but for /.well-known/. */
const DOT_FILES = [
  "# Files such as .env are nobody's business.",
  '$HTTP["url"] =~ "/\\.(?!well-known/)" { url.access-deny = ( "" ) }',
];

/** What lighttpd has room for. */
const MOST_KIB = 0xffff_ffff;

/** Endings of a site's files. A standalone configuration includes nothing of the system's. */
const TYPES: readonly (readonly [string, string])[] = [
  [".html", "text/html"],
  [".css", "text/css"],
  [".js", "text/javascript"],
  [".mjs", "text/javascript"],
  [".json", "application/json"],
  [".txt", "text/plain; charset=utf-8"],
  [".svg", "image/svg+xml"],
  [".png", "image/png"],
  [".jpg", "image/jpeg"],
  [".webp", "image/webp"],
  [".ico", "image/x-icon"],
  [".woff2", "font/woff2"],
  [".wasm", "application/wasm"],
  [".pdf", "application/pdf"],
];

export function lighttpdSite(site: Site): GeneratedSite {
  const { standalone } = site;
  const path =
    standalone === undefined
      ? `/etc/lighttpd/conf-available/60-${site.name}.conf`
      : `${standalone.folder}/lighttpd.conf`;
  const lines = [
    `# ${madeBy("lighttpd")}`,
    ...modules(site),
    "",
    ...(standalone === undefined ? socketLines(site) : standaloneLines(site, standalone)),
    ...globalLines(site),
    ...(standalone === undefined ? inHost(site, siteLines(site)) : siteLines(site)),
  ];
  const modulesFlag = standalone?.modules === undefined ? [] : ["-m", standalone.modules];
  const main = standalone === undefined ? MAIN : path;
  return {
    files: [{ path, mode: 0o644, text: `${lines.join("\n")}\n` }],
    check: ["lighttpd", "-tt", "-f", main, ...modulesFlag],
    run: standalone === undefined ? undefined : ["lighttpd", "-D", "-f", path, ...modulesFlag],
    steps:
      standalone === undefined
        ? [
            {
              what: "install",
              command: `ln -sf ../conf-available/60-${site.name}.conf /etc/lighttpd/conf-enabled/`,
            },
            { what: "check", command: `lighttpd -tt -f ${MAIN}` },
            { what: "reload", command: "systemctl reload lighttpd" },
          ]
        : writableSteps(standalone),
    notes: notesOf(site),
  };
}

/** lighttpd takes a module that is listed twice for one: each file may name what it needs. */
function modules(site: Site): string[] {
  const names: string[] = [];
  // Behind mod_fastcgi, it would look at a path of which the application's part is gone.
  if (site.passwords !== undefined) names.push("mod_auth", "mod_authn_file");
  names.push("mod_fastcgi");
  if (site.statics.length > 0) names.push("mod_access", "mod_alias");
  if (hasScript(site)) names.push("mod_rewrite");
  if (otherFiles(site).length > 0) names.push("mod_access");
  if (site.webSocket?.address !== undefined) names.push("mod_proxy");
  if (site.tls !== undefined) names.push("mod_openssl");
  const list = [...new Set(names)].map((name) => `"${name}"`).join(", ");
  return [`server.modules ${site.standalone === undefined ? "+=" : "="} ( ${list} )`];
}

function standaloneLines(site: Site, { folder, user, group }: Standalone): string[] {
  const { host, port } = site.listen;
  const lines = [
    `server.port        = ${port}`,
    `server.errorlog    = ${lighttpdString("--standalone", `${folder}/error.log`)}`,
    `server.pid-file    = ${lighttpdString("--standalone", `${folder}/lighttpd.pid`)}`,
    "# Bodies that are collected lie here meanwhile.",
    `server.upload-dirs = ( ${lighttpdString("--standalone", folder)} )`,
    `server.document-root = ${lighttpdFolder("--root", site.publicFolder ?? `${folder}/empty`)}`,
  ];
  if (host !== undefined)
    lines.unshift(`server.bind        = ${lighttpdString("--listen", bracketed(host))}`);
  else lines.push(`# For IPv6 too: $SERVER["socket"] == "[::]:${port}" { }`);
  if (user !== undefined) lines.push(`server.username    = ${lighttpdString("user", user)}`);
  if (group !== undefined) lines.push(`server.groupname   = ${lighttpdString("group", group)}`);
  lines.push(`mimetype.assign    = ${lighttpdMap("type", [...TYPES, ["", "application/octet-stream"]])}`);
  if (site.tls !== undefined) lines.push(...tlsLines(site.tls));
  return [...lines, ""];
}

/** The port that lighttpd.conf does not listen on by itself. */
function socketLines(site: Site): string[] {
  const { host, port } = site.listen;
  if (host === undefined && port === 80 && site.tls === undefined) return [];
  const address = host === undefined ? `:${port}` : hostAndPort({ host, port });
  const inside = site.tls === undefined ? [] : tlsLines(site.tls);
  const lines = [`$SERVER["socket"] == "${address}" {`, ...indented(inside), "}"];
  if (host === undefined) {
    lines.push(`# For IPv6 too: the same lines again with $SERVER["socket"] == "[::]:${port}".`);
  }
  return [...lines, ""];
}

function tlsLines({ certificate, key, clientCa }: Tls): string[] {
  const lines = [
    'ssl.engine  = "enable"',
    `ssl.pemfile = ${lighttpdString("--certificate", certificate)}`,
    `ssl.privkey = ${lighttpdString("--key", key)}`,
  ];
  if (clientCa === undefined) return lines;
  return [
    ...lines,
    "# Visitors may show a certificate; who shows none is let in, and SSL_CLIENT_VERIFY says so.",
    'ssl.verifyclient.activate   = "enable"',
    'ssl.verifyclient.enforce    = "disable"',
    'ssl.verifyclient.exportcert = "enable"',
    `ssl.verifyclient.ca-file    = ${lighttpdString("--client-ca", clientCa)}`,
  ];
}

/** What lighttpd takes for all hosts only. */
function globalLines(site: Site): string[] {
  const { standalone } = site;
  if (!hasFeatureFlags(site)) return [];
  return [
    "# lighttpd announces WebSocket over HTTP/2, which does not get through to the application.",
    ...(standalone === undefined ? ["# := because lighttpd.conf has set the flags already."] : []),
    `server.feature-flags ${standalone === undefined ? ":=" : "="} ( "server.h2proto" => "disable" )`,
    "",
  ];
}

function inHost(site: Site, lines: readonly string[]): string[] {
  const hosts = site.serverNames.map((name) =>
    name.startsWith("*.") ? `[^.:]+${lighttpdPattern(name.slice(1))}` : lighttpdPattern(name.toLowerCase()),
  );
  // A visitor's Host has the port when it is not the usual one.
  const pattern = `^(?:${hosts.join("|")})(?::\\d+)?$`;
  const root =
    site.publicFolder === undefined
      ? []
      : [`server.document-root = ${lighttpdFolder("--root", site.publicFolder)}`];
  return [
    `$HTTP["host"] =~ ${lighttpdString("--server-name", pattern)} {`,
    ...indented([...root, ...lines]),
    "}",
  ];
}

/** Limits, users, and then who answers which URL. */
function siteLines(site: Site): string[] {
  const lines = [
    "# In KiB; 0 is no limit.",
    `server.max-request-size     = ${Math.min(Math.ceil(site.maxBodyBytes / 1024), MOST_KIB)}`,
    ...streamingLines(site),
    ...authLines(site),
  ];
  const branches = [...site.statics.map(staticBranch), ...webSocketBranches(site)];
  const application = applicationLines(site);
  const last =
    site.mount === ""
      ? { condition: undefined, lines: application }
      : {
          // Without this, what begins with the same letters would go to the application too.
          condition: `$HTTP["url"] =~ ${lighttpdString("--mount", `^${lighttpdPattern(site.mount)}(?:/|$)`)}`,
          lines: application,
        };
  const all = [...branches, last, ...otherFiles(site)];
  if (all.length === 1 && last.condition === undefined) return [...lines, ...application];
  all.forEach(({ condition, lines: inside }, at) => {
    const head = condition === undefined ? "else {" : `${at === 0 ? "" : "else "}${condition} {`;
    lines.push(head, ...indented(inside), "}");
  });
  return lines;
}

function streamingLines({ isStreaming }: Site): string[] {
  if (!isStreaming) {
    return [
      "# Answers are passed on as they come, or event streams would not be.",
      "server.stream-response-body = 1",
    ];
  }
  return [
    "# Bodies are passed on as they come, and not faster than the other side takes them.",
    "server.stream-request-body  = 2",
    "server.stream-response-body = 2",
  ];
}

function authLines({ passwords, name }: Site): string[] {
  if (passwords === undefined) return [];
  const rule = lighttpdMap("password", [
    ["method", "basic"],
    ["realm", name],
    ["require", "valid-user"],
  ]);
  return [
    'auth.backend = "htpasswd"',
    `auth.backend.htpasswd.userfile = ${lighttpdString("--passwords", passwords)}`,
    // For the whole site, its files and WebSockets too. "" and not "/": where another file has loaded mod_fastcgi before
    // mod_auth, the path is empty by now.
    `auth.require = ( "" => ${rule} )`,
  ];
}

/** Beside a mount the document root is open to everybody. */
function otherFiles(site: Site): Branch[] {
  if (site.mount === "" || site.publicFolder === undefined) return [];
  return [{ condition: undefined, lines: DOT_FILES }];
}

function staticBranch({ url, folder }: Site["statics"][number]): Branch {
  return {
    condition: `$HTTP["url"] =~ ${lighttpdString("--static", `^${lighttpdPattern(url)}`)}`,
    lines: [
      `alias.url = ( ${lighttpdString("--static", url)} => ${lighttpdFolder("--static", folder)} )`,
      ...DOT_FILES,
    ],
  };
}

function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

function notesOf(site: Site): string[] {
  const { application, mount, publicFolder, sendFile, statics, tls, webSocket } = site;
  const notes: string[] = [];
  if (mount !== "") {
    const how =
      application.kind === "spawned"
        ? `base: "${encodeURI(mount)}" in the .fcgi file`
        : `--base ${encodeURI(mount)}`;
    notes.push(
      `lighttpd passes ${mount} without a slash as if it were a page of the root: tell Postern the mount, with ${how}`,
    );
    if (publicFolder !== undefined && statics.length === 0) {
      notes.push(
        `below a mount lighttpd asks for no files before it asks the application: name those it is to send with --static`,
      );
    }
  } else if (hasScript(site)) {
    notes.push(
      `files of ${publicFolder} come before the application: what is none is rewritten to ${scriptOf(site)}, a name that visitors do not see`,
    );
  }
  if (application.kind === "spawned") {
    notes.push(
      `lighttpd starts the program as its own user, which must be allowed to make ${application.socket}-0 and to read the application`,
      "lighttpd waits for no program that it stops, and kills none: Postern ends by itself once its requests are done",
    );
  }
  if (sendFile.some(({ url }) => url !== undefined)) {
    notes.push(
      "for lighttpd write --send-file with the folder alone: it takes the path of the file, not a URL",
    );
  }
  if (site.isStreaming) {
    notes.push("with request streaming lighttpd answers a chunked upload 411 unless it comes at once");
  }
  if (webSocket !== undefined && webSocket.address === undefined) {
    notes.push(
      "WebSocket inside FastCGI needs lighttpd 1.4.74 or newer; an older one ignores the word: use --ws-http",
    );
  }
  if (site.passwords !== undefined && site.standalone === undefined) {
    notes.push(
      "mod_auth belongs before mod_fastcgi in server.modules: lighttpd warns if another file names the latter first. This site asks for its passwords either way",
    );
  }
  if (tls !== undefined) {
    notes.push(
      site.standalone === undefined
        ? 'TLS needs the package lighttpd-mod-openssl; if another file has a block for the same $SERVER["socket"], take this one out.'
        : "TLS needs the package lighttpd-mod-openssl",
    );
  }
  if (site.isMultiplexed) notes.push("lighttpd sends one request per connection: there is no multiplexing");
  return notes;
}
