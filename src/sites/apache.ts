/**
 * A site → the configuration of Apache: one file for `sites-available`, or a whole `apache.conf`. What the modules that
 * speak FastCGI need is in a file for each: apache-proxy.ts, apache-fcgid.ts, apache-fastcgi.ts.
 */
import type { Address } from "../base/address.ts";
import { assertNever } from "../base/errors.ts";
import type { Step } from "../generate/model.ts";
import { type Attached, indented } from "./apache-attached.ts";
import { fastcgiAttached } from "./apache-fastcgi.ts";
import { fcgidAttached } from "./apache-fcgid.ts";
import { proxyAttached } from "./apache-proxy.ts";
import { standaloneHead } from "./apache-standalone.ts";
import { literally, pattern, place, substitution, target, word } from "./apache-words.ts";
import type { GeneratedSite, Site, WebSocketRoute } from "./model.ts";
import { hostAndPort, madeBy, refused } from "./parts.ts";

export function apacheSite(site: Site): GeneratedSite {
  const attached = attachedBy(site);
  const modules = modulesOf(site, attached);
  const { standalone } = site;
  const path =
    standalone === undefined
      ? `/etc/apache2/sites-available/${site.name}.conf`
      : `${standalone.folder}/apache.conf`;
  const head =
    standalone === undefined
      ? listenLines(site)
      : standaloneHead(site, standalone, modules, attached.standalone);
  const text = [`# ${madeBy("apache")}`, ...head, ...attached.server, ...virtualHost(site, attached)].join(
    "\n",
  );
  const program = ["apache2", "-d", standalone?.folder ?? "", "-f", path];
  return {
    files: [{ path, mode: 0o644, text: `${text}\n` }],
    check: standalone === undefined ? ["apache2ctl", "configtest"] : [...program, "-t"],
    run: standalone === undefined ? undefined : [...program, "-D", "FOREGROUND"],
    steps: standalone === undefined ? stepsOf(site, modules) : [],
    notes: [...attached.notes, ...notesOf(site)],
  };
}

function attachedBy(site: Site): Attached {
  switch (site.apacheModule) {
    case "proxy_fcgi":
      return proxyAttached(site);
    case "fcgid":
      return fcgidAttached(site);
    case "fastcgi":
      return fastcgiAttached(site);
    default:
      return assertNever(site.apacheModule);
  }
}

/** Debian's ports.conf has these two. Another port may be that of several sites, and Apache takes one `Listen` only. */
function listenLines({ listen, tls }: Site): string[] {
  if (listen.port === 80 || (listen.port === 443 && tls !== undefined)) return [];
  const address = listenAddress(listen);
  const mark = `postern_listens_${address.replace(/[^A-Za-z0-9]+/g, "_")}`;
  return [
    "# once, however many sites are at this port",
    `<IfDefine !${mark}>`,
    `    Define ${mark}`,
    `    Listen ${address}`,
    "</IfDefine>",
    "",
  ];
}

function listenAddress({ host, port }: Site["listen"]): string {
  return host === undefined || host === "" ? String(port) : hostAndPort({ host, port });
}

function virtualHost(site: Site, attached: Attached): string[] {
  const { listen, publicFolder } = site;
  const host = listen.host === undefined || listen.host === "" ? `*:${listen.port}` : listenAddress(listen);
  return [
    `<VirtualHost ${host}>`,
    ...indented([
      ...nameLines(site),
      ...(publicFolder === undefined ? [] : [`DocumentRoot ${word("--root", publicFolder)}`]),
      ...tlsLines(site),
      "# Off, the default, answers every %2F with 404",
      "AllowEncodedSlashes NoDecode",
      "# httpoxy: programs take HTTP_PROXY for a setting of theirs",
      "RequestHeader unset Proxy early",
      ...attached.host,
      ...rewriteLines(site, attached),
      ...folderLines(site),
      ...webSocketLines(site),
      ...attached.routes,
      ...sendFileLines(site),
      ...passwordLines(site),
    ]),
    "</VirtualHost>",
  ];
}

function nameLines({ serverNames }: Site): string[] {
  const [first = "", ...others] = serverNames;
  // ServerName takes no wildcard.
  const isWild = first.startsWith("*.");
  const aliases = isWild ? [first, ...others] : others;
  return [
    `ServerName ${isWild ? first.slice(2) : first}`,
    ...(aliases.length === 0 ? [] : [`ServerAlias ${aliases.join(" ")}`]),
  ];
}

function tlsLines({ tls }: Site): string[] {
  if (tls === undefined) return [];
  const lines = [
    "SSLEngine on",
    `SSLCertificateFile ${word("--certificate", tls.certificate)}`,
    `SSLCertificateKeyFile ${word("--key", tls.key)}`,
  ];
  if (tls.clientCa === undefined)
    return [...lines, "# HTTPS=on and SSL_* for the application", "SSLOptions +StdEnvVars"];
  return [
    ...lines,
    `SSLCACertificateFile ${word("--client-ca", tls.clientCa)}`,
    "# who shows none gets in as well: the application decides",
    "SSLVerifyClient optional",
    "# HTTPS=on and SSL_* for the application, and the certificate itself",
    "SSLOptions +StdEnvVars +ExportCertData",
  ];
}

/** Whether the paths of files come before the application. */
function hasFiles(site: Site): boolean {
  return site.publicFolder !== undefined || site.statics.length > 0;
}

function rewriteLines(site: Site, attached: Attached): string[] {
  const rules: string[] = [];
  if (site.maxBodyBytes > 0) {
    rules.push(
      "# 413 for a body that announces to be larger; LimitRequestBody does not work for applications",
      `RewriteCond expr "%{HTTP:Content-Length} -gt ${site.maxBodyBytes}"`,
      'RewriteRule "^" "-" [R=413,L]',
    );
  }
  rules.push(...upgradeLines(site));
  if (hasFiles(site)) rules.push(...hiddenLines(site));
  if (site.publicFolder !== undefined && attached.fileRule !== undefined) {
    rules.push(
      "# files of the document root come before the application, those of hidden names do not",
      `RewriteCond "%{REQUEST_URI}" "!/\\.(?!well-known/)"`,
      `RewriteCond "%{DOCUMENT_ROOT}%{REQUEST_URI}" -f`,
      attached.fileRule,
    );
  }
  return rules.length === 0 ? [] : ["", "RewriteEngine On", ...rules];
}

/** 404 for hidden files where no application would answer. */
function hiddenLines({ mount, statics, publicFolder }: Site): string[] {
  const lines = statics.map(
    ({ url }) =>
      `RewriteRule ${pattern("--static", `^${literally(url)}(?:.*/)?\\.(?!well-known/)`)} "-" [R=404,L]`,
  );
  if (mount !== "" && publicFolder !== undefined) {
    lines.push(
      `RewriteCond "%{REQUEST_URI}" ${pattern("--mount", `!^${literally(mount)}(?:/|$)`)}`,
      'RewriteRule "/\\.(?!well-known/)" "-" [R=404,L]',
    );
  }
  return lines.length === 0 ? [] : ["# hidden files are nobody's", ...lines];
}

/** The folders that Apache may read, and which URLs are theirs. */
function folderLines({ publicFolder, statics }: Site): string[] {
  const folders = [
    ...(publicFolder === undefined ? [] : [["--root", publicFolder] as const]),
    ...statics.map(({ folder }) => ["--static", folder] as const),
  ];
  const lines: string[] = [];
  const seen = new Set<string>();
  for (const [what, folder] of folders) {
    if (seen.has(folder)) continue;
    seen.add(folder);
    lines.push(
      "",
      `<Directory ${place(what, folder)}>`,
      "    Options FollowSymLinks",
      "    AllowOverride None",
      "    Require all granted",
      "</Directory>",
    );
  }
  if (statics.length > 0) lines.push("");
  for (const { url, folder } of statics) {
    lines.push(`Alias ${word("--static", url)} ${word("--static", `${folder}/`)}`);
  }
  return lines;
}

/** What carries upgrades to the side listener; the rule that sends them there is among the rewrites. */
function webSocketLines({ webSocket, name }: Site): string[] {
  if (webSocket === undefined) return [];
  return [
    "",
    "# the side listener for WebSocket; a tunnel may be silent for an hour",
    `<Proxy ${target(sideListener(webSocket), "http", `${name}-ws`, "")}>`,
    "    ProxySet upgrade=websocket timeout=3600",
    "</Proxy>",
    "ProxyPreserveHost On",
  ];
}

function upgradeLines({ webSocket, name }: Site): string[] {
  if (webSocket === undefined) return [];
  const place = literally(webSocket.url.replace(/\/$/, ""));
  return [
    "# upgrades go by HTTP to the side listener, other requests for the same URL to the application",
    'RewriteCond "%{HTTP:Upgrade}" "=websocket" [NC]',
    `RewriteRule ${pattern("--websocket", `^${place}(?:/|$)`)} ${substitution(sideListener(webSocket), `${name}-ws`)} [P,L]`,
  ];
}

function sideListener({ address }: WebSocketRoute): Address {
  if (address !== undefined) return address;
  throw refused(
    "--websocket: Apache carries no WebSocket inside FastCGI; give the application a side listener with --ws-http, and its address here",
  );
}

function sendFileLines({ sendFile }: Site): string[] {
  const folders = sendFile.filter(({ url }) => url === undefined);
  if (folders.length === 0) return [];
  return [
    "",
    "# libapache2-mod-xsendfile: files that the application leaves to Apache",
    "XSendFile On",
    ...folders.map(({ folder }) => `XSendFilePath ${word("--send-file", folder)}`),
  ];
}

function passwordLines({ passwords, name }: Site): string[] {
  if (passwords === undefined) return [];
  return [
    "",
    "# REMOTE_USER is who gave the right password",
    '<Location "/">',
    "    AuthType Basic",
    `    AuthName ${word("--name", name)}`,
    "    AuthBasicProvider file",
    `    AuthUserFile ${word("--passwords", passwords)}`,
    "    Require valid-user",
    "</Location>",
  ];
}

/** Names as `a2enmod` has them. */
function modulesOf(site: Site, attached: Attached): string[] {
  const modules = ["headers", ...attached.modules];
  if (hasFiles(site) || site.maxBodyBytes > 0 || site.webSocket !== undefined) modules.push("rewrite");
  if (site.statics.length > 0) modules.push("alias");
  if (site.tls !== undefined) modules.push("ssl", "socache_shmcb");
  if (site.webSocket !== undefined) modules.push("proxy", "proxy_http");
  if (site.sendFile.some(({ url }) => url === undefined)) modules.push("xsendfile");
  if (site.passwords !== undefined) modules.push("authn_core", "authn_file", "auth_basic", "authz_user");
  return [...new Set(modules)];
}

function stepsOf({ name, tls }: Site, modules: readonly string[]): Step[] {
  return [
    { what: "install", command: `a2enmod ${modules.join(" ")} && a2ensite ${name}` },
    { what: "check", command: "apache2ctl configtest" },
    { what: "reload", command: tls === undefined ? "systemctl reload apache2" : "systemctl restart apache2" },
  ];
}

function notesOf(site: Site): string[] {
  const notes: string[] = [];
  if (site.maxBodyBytes > 0 && site.apacheModule === "proxy_fcgi") {
    notes.push(
      `a body that comes in chunks announces no length, and Apache passes it on however large it is: let the application stop at ${site.maxBodyBytes} bytes too`,
    );
  }
  const others = site.sendFile.filter(({ url }) => url !== undefined);
  if (others.length > 0) {
    notes.push(
      `--send-file ${others.map(({ folder, url }) => `${folder}=${url}`).join(", ")} is for nginx; for Apache name the folder alone`,
    );
  }
  return notes;
}
