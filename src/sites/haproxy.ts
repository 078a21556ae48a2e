/**
 * A site → the configuration of HAProxy, for 2.6 and everything newer. Every section says all that it needs, so that it
 * does not depend on the `defaults` of another file, and leaves none behind.
 */

import type { Step } from "../generate/model.ts";
import { shWord } from "../generate/quoting.ts";
import { DEBIAN_ROOT, isOutside, pathInside } from "./haproxy-chroot.ts";
import { haproxyBelow, haproxyPattern, haproxySocket, haproxyWord } from "./haproxy-words.ts";
import type { GeneratedSite, Site, Tls } from "./model.ts";
import { hostAndPort, madeBy, reachable, refused } from "./parts.ts";

/** HAProxy wants a document root, also for an application without files. */
const NO_FILES = "/var/empty";
/** Requests that it has under way at once on one connection, until it has asked. Postern takes 100. */
const MULTIPLEXED_REQUESTS = 32;

/** What mod_ssl calls them. HAProxy sends none that is empty. */
const CERTIFICATE_PARAMETERS: readonly (readonly [name: string, value: string])[] = [
  ["SSL_CLIENT_S_DN", "%[ssl_c_s_dn]"],
  ["SSL_CLIENT_I_DN", "%[ssl_c_i_dn]"],
  ["SSL_CLIENT_M_SERIAL", "%[ssl_c_serial,hex]"],
  ["SSL_CLIENT_FINGERPRINT", "%[ssl_c_sha1,hex]"],
  ["SSL_CLIENT_CERT", "%[ssl_c_der,base64]"],
];

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` */
export function haproxySite(site: Site): GeneratedSite {
  const { standalone, passwords } = site;
  const users = passwords === undefined ? [] : ["-f", `${passwords}.cfg`];
  const sections = [
    ...appSection(site),
    "",
    ...frontendSection(site),
    "",
    ...backendSection(site),
    ...webSocketSection(site),
  ];
  const head = `# ${madeBy("haproxy")}`;
  if (standalone === undefined) {
    const path = `/etc/haproxy/conf.d/${site.name}.cfg`;
    const check = ["haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg", ...users, "-f", path];
    return {
      files: [{ path, mode: 0o644, text: textOf([head, ...sections]) }],
      check,
      run: undefined,
      steps: [...fileSteps(site), ...daemonSteps(users, check)],
      notes: notesOn(site),
    };
  }
  const path = `${standalone.folder}/haproxy.cfg`;
  const global = ["log stderr format raw daemon"];
  if (standalone.user !== undefined) global.push(`user ${haproxyWord(standalone.user)}`);
  if (standalone.group !== undefined) global.push(`group ${haproxyWord(standalone.group)}`);
  const text = textOf([head, ...section("global", global), "", ...sections]);
  return {
    files: [{ path, mode: 0o644, text }],
    check: ["haproxy", "-c", ...users, "-f", path],
    run: ["haproxy", "-db", ...users, "-f", path],
    steps: fileSteps(site),
    notes: notesOn(site),
  };
}

function appSection(site: Site): string[] {
  const { name, mount, publicFolder, passwords, tls, isMultiplexed } = site;
  const groups = `^(${haproxyPattern(mount)})(/.*)${mount === "" ? "" : "?"}$`;
  const lines = [
    `docroot ${publicFolder === undefined ? NO_FILES : haproxyWord(publicFolder)}`,
    "# SCRIPT_NAME and PATH_INFO.",
    `path-info ${haproxyWord(groups)}`,
    "# What the application says on its standard error goes into HAProxy's log.",
    "log-stderr global",
    site.isKeptAlive || isMultiplexed ? "option keep-conn" : "no option keep-conn",
  ];
  if (mount !== "") {
    lines.push("# Without a slash behind it, the mount would look like a page of that name.");
    lines.push(`set-param PATH_INFO / if { path,url_dec -m str ${haproxyWord(mount)} }`);
  }
  if (isMultiplexed) {
    lines.push("# Several requests at once on one connection, if the application says that it can.");
    lines.push("option get-values", "option mpxs-conns", `option max-reqs ${MULTIPLEXED_REQUESTS}`);
  }
  // HAProxy takes REMOTE_USER from the header, whoever wrote it.
  if (passwords === undefined) lines.push("set-param HTTP_AUTHORIZATION %[var(txn.authorization)]");
  else lines.push("pass-header Authorization");
  if (tls !== undefined)
    lines.push("set-param SSL_PROTOCOL %[ssl_fc_protocol]", "set-param SSL_CIPHER %[ssl_fc_cipher]");
  if (tls?.clientCa !== undefined) {
    lines.push("set-param SSL_CLIENT_VERIFY SUCCESS if { ssl_c_used } { ssl_c_verify 0 }");
    for (const [param, value] of CERTIFICATE_PARAMETERS)
      lines.push(`set-param ${param} ${value} if { ssl_c_used }`);
  }
  return section(`fcgi-app ${name}`, lines);
}

function frontendSection(site: Site): string[] {
  const { name, listen, tls, timeoutSeconds, serverNames, webSocket, maxBodyBytes, standalone } = site;
  const lines = [
    "mode http",
    `bind ${hostOf(listen.host)}:${listen.port}${tls === undefined ? "" : tlsWords(tls)}`,
    "log global",
    "option httplog",
    "option dontlognull",
    "timeout http-request 30s",
    "timeout http-keep-alive 60s",
    `timeout client ${Math.max(60, timeoutSeconds)}s`,
    "# Else each piece of an answer is held back for a fifth of a second.",
    "option http-no-delay",
  ];
  if (standalone === undefined)
    lines.push(`http-request return status 421 unless ${hostCondition(serverNames)}`);
  if (maxBodyBytes > 0) lines.push(`http-request return status 413 if { req.body_size gt ${maxBodyBytes} }`);
  if (webSocket !== undefined) {
    lines.push("# Only what wants to leave HTTP: the rest at that URL is the application's, over FastCGI.");
    for (const condition of haproxyBelow(webSocket.url))
      lines.push(`use_backend ${name}-websocket if { req.hdr(Upgrade) -m found } ${condition}`.trimEnd());
  }
  lines.push(`default_backend ${name}`);
  return section(`frontend ${name}-visitors`, lines);
}

function backendSection(site: Site): string[] {
  const { name, mount, timeoutSeconds, isKeptAlive, isMultiplexed, passwords } = site;
  const servers = serversOf(site);
  const lines = [
    "mode http",
    "timeout connect 5s",
    "timeout queue 30s",
    "# How long the application may be silent.",
    `timeout server ${timeoutSeconds}s`,
    "option http-no-delay",
  ];
  if (mount !== "") lines.push(`http-request return status 404 unless ${haproxyBelow(mount).join(" || ")}`);
  if (passwords === undefined) {
    lines.push("# Out of its sight, and back in the fcgi-app: nobody has checked the password in it.");
    lines.push("http-request set-var(txn.authorization) req.fhdr(Authorization)");
    lines.push("http-request del-header Authorization");
  } else {
    lines.push(`http-request auth realm Members unless { http_auth(${name}) }`);
  }
  if (isKeptAlive || isMultiplexed) {
    lines.push("# Also for the first request of a visitor.", "http-reuse always");
  }
  if (servers.length > 1) lines.push("balance leastconn", "option redispatch");
  lines.push(`use-fcgi-app ${name}`);
  const check = servers.length > 1 ? " check" : "";
  for (const [index, server] of servers.entries())
    lines.push(`server ${name}${index + 1} ${server} proto fcgi${check}`);
  return section(`backend ${name}`, lines);
}

/** @throws {SettingError} for an application that the web server is to start */
function serversOf(site: Site): string[] {
  const { application } = site;
  if (application.kind === "spawned") {
    throw refused(
      "--spawn: HAProxy starts no programs; run the application by itself (postern serve) and give its address with --bind",
    );
  }
  return reachable("haproxy", application.addresses).map((address) => serverAddress(site, address));
}

/** A socket below Debian's `chroot` goes by its path in there. */
function serverAddress({ standalone }: Site, address: ReturnType<typeof reachable>[number]): string {
  if (address.kind !== "unix") return hostAndPort(address);
  return haproxySocket(standalone === undefined ? pathInside(address.path) : address.path);
}

function webSocketSection(site: Site): string[] {
  const { name, webSocket, passwords } = site;
  if (webSocket === undefined) return [];
  if (webSocket.address === undefined) {
    throw refused(
      "--websocket: HAProxy carries no WebSocket inside FastCGI; start the application with --ws-http ADDRESS and give that address here",
    );
  }
  const [server] = reachable("haproxy", [webSocket.address]).map((one) => serverAddress(site, one));
  const lines = [
    "mode http",
    "timeout connect 5s",
    "timeout server 60s",
    "# How long a WebSocket may be silent.",
    "timeout tunnel 1h",
    "http-request set-header X-Forwarded-For %[src]",
    "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
    "http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
  ];
  if (passwords !== undefined) lines.push(`http-request auth realm Members unless { http_auth(${name}) }`);
  lines.push(`server ${name}1 ${server}`);
  return ["", ...section(`backend ${name}-websocket`, lines)];
}

/** HAProxy looks for the key in the certificate's file, and beside it with `.key` behind its name. */
function tlsWords({ certificate, clientCa }: Tls): string {
  const authority = clientCa === undefined ? "" : ` ca-file ${haproxyWord(clientCa)} verify optional`;
  return ` ssl crt ${haproxyWord(certificate)}${authority} alpn h2,http/1.1`;
}

function needsKeyLink({ certificate, key }: Tls): boolean {
  return key !== certificate && key !== `${certificate}.key`;
}

function hostOf(host: string | undefined): string {
  if (host === undefined) return "*";
  return host.includes(":") ? `[${host}]` : host;
}

function hostCondition(names: readonly string[]): string {
  const exact = names.filter((name) => !name.startsWith("*"));
  const ends = names.filter((name) => name.startsWith("*")).map((name) => name.slice(1));
  const conditions: string[] = [];
  if (exact.length > 0)
    conditions.push(`{ req.hdr(Host),host_only,lower -m str ${exact.join(" ").toLowerCase()} }`);
  if (ends.length > 0)
    conditions.push(`{ req.hdr(Host),host_only,lower -m end ${ends.join(" ").toLowerCase()} }`);
  return conditions.join(" || ");
}

function fileSteps({ name, tls, passwords }: Site): Step[] {
  const steps: Step[] = [];
  if (tls !== undefined && needsKeyLink(tls)) {
    steps.push({
      what: "install",
      command: `ln -sf ${shWord("key", tls.key)} ${shWord("certificate", `${tls.certificate}.key`)}`,
    });
  }
  if (passwords !== undefined) {
    // Plain names only: in a userlist # begins a comment, and a user without a password would be left.
    const lines = `s|^\\([[:alnum:]_.@+-]\\{1,\\}\\):\\(\\$[[:alnum:]./$=,]\\{1,\\}\\)$|    user \\1 password \\2|p`;
    const list = `{ echo 'userlist ${name}'; sed -n '${lines}' ${shWord("passwords", passwords)}; }`;
    steps.push({ what: "install", command: `${list} > ${shWord("passwords", `${passwords}.cfg`)}` });
  }
  return steps;
}

function daemonSteps(users: readonly string[], check: readonly string[]): Step[] {
  const options = ["-S", "/run/haproxy-master.sock", ...users, "-f", "/etc/haproxy/conf.d"];
  return [
    {
      what: "install",
      command: `grep -q '^EXTRAOPTS=' /etc/default/haproxy || echo 'EXTRAOPTS="${options.join(" ")}"' >> /etc/default/haproxy`,
    },
    { what: "check", command: check.map((word) => shWord("path", word)).join(" ") },
    { what: "reload", command: "systemctl restart haproxy" },
  ];
}

function notesOn(site: Site): string[] {
  const {
    statics,
    publicFolder,
    sendFile,
    tls,
    maxBodyBytes,
    isMultiplexed,
    isKeptAlive,
    passwords,
    standalone,
    application,
    webSocket,
  } = site;
  const notes: string[] = [];
  if (statics.length > 0 || publicFolder !== undefined)
    notes.push("HAProxy sends no files: the application has to answer for those of --root and --static, too");
  if (sendFile.length > 0)
    notes.push(
      "--send-file: HAProxy sends no files for an application; leave it out of Postern's settings, too",
    );
  if (isMultiplexed && !isKeptAlive) notes.push("--multiplex keeps connections open");
  if (isMultiplexed)
    notes.push(
      "--multiplex: HAProxy 2.6 answers 500 to some requests under load, 3.2 does not; and a visitor who reads slowly holds up whoever shares a connection with him",
      `--multiplex: HAProxy begins up to ${MULTIPLEXED_REQUESTS} requests on a connection whatever the application says: leave its maxRequestsPerConnection (100) at that or more`,
    );
  if (maxBodyBytes > 0)
    notes.push(
      "HAProxy measures uploads by their Content-Length; those without one are limited to about 15 KB anyway",
    );
  if (tls !== undefined && needsKeyLink(tls))
    notes.push(`HAProxy looks for the key in ${tls.certificate}.key: the ln command puts it there`);
  if (passwords !== undefined)
    notes.push(
      `HAProxy reads no password files: it is given ${passwords}.cfg with a userlist, which the command makes from ${passwords}; the hashes must be those of crypt(3), as htpasswd -2, -5 and -B write them`,
    );
  const addresses = application.kind === "external" ? application.addresses : [];
  const sockets = [...addresses, ...(webSocket?.address === undefined ? [] : [webSocket.address])];
  if (standalone === undefined && sockets.some(isOutside))
    notes.push(
      `Debian's haproxy.cfg has chroot ${DEBIAN_ROOT}, and HAProxy finds no socket outside of that folder: 503 for each request. Let Postern listen on 127.0.0.1:9000 or in that folder (--bind unix:${DEBIAN_ROOT}/${site.name}.sock --listen-group haproxy), or take the line out`,
    );
  if (standalone === undefined)
    notes.push(
      "a port can be in one frontend only: if there is one for it already, move the lines of this one between its lines",
      "the file is given to HAProxy by EXTRAOPTS in /etc/default/haproxy; when that is set already, add -f /etc/haproxy/conf.d to it",
    );
  return notes;
}

function section(head: string, lines: readonly string[]): string[] {
  return [head, ...lines.map((line) => `    ${line}`)];
}

function textOf(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
