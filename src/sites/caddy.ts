/**
 * A site → the configuration of Caddy, for 2.6 and everything newer: what only newer releases know is there as a
 * comment. Everything is in one `route`, whose lines Caddy takes in their order: a password, WebSocket, files, the
 * application.
 */
import { shWord } from "../generate/quoting.ts";
import { caddyImport, caddyPattern, caddySocket, caddyWord } from "./caddy-words.ts";
import type { GeneratedSite, Site, StaticFiles, WebSocketRoute } from "./model.ts";
import { hostAndPort, madeBy, reachable, refused } from "./parts.ts";

/** DOCUMENT_ROOT of an application without files: Caddy would take the folder it was started in. */
const NO_FILES = "/var/empty";

/** What mod_ssl calls them; with no certificate shown they are empty. */
const CERTIFICATE_PARAMETERS: readonly (readonly [name: string, value: string])[] = [
  ["SSL_CLIENT_VERIFY", "{client_verify}"],
  ["SSL_CLIENT_S_DN", "{http.request.tls.client.subject}"],
  ["SSL_CLIENT_I_DN", "{http.request.tls.client.issuer}"],
  ["SSL_CLIENT_M_SERIAL", "{client_serial}"],
  ["SSL_CLIENT_FINGERPRINT", "{client_fingerprint}"],
  ["SSL_CLIENT_CERT", "{http.request.tls.client.certificate_der_base64}"],
];

/** Of who has shown no certificate, Caddy 2.11 tells a fingerprint and a serial all the same, and no certificate. */
const CERTIFICATE_MAP: readonly string[] = [
  "# Serial, fingerprint and the certificate itself. Whoever has shown one has it verified.",
  ...block(
    `map "{http.request.tls.client.serial} {http.request.tls.client.fingerprint} {http.request.tls.client.certificate_der_base64}" {client_verify} {client_serial} {client_fingerprint}`,
    ["`~^(\\S+) (\\S+) \\S+$` SUCCESS $1 $2", 'default NONE "" ""'],
  ),
];

/** What is asked for of a folder: files, and of hidden ones those for everybody. */
const PUBLIC_FILES: readonly string[] = [
  "method GET HEAD",
  "file",
  "not path */",
  ...block("not", ["path */.*", "not path */.well-known/*"]),
];

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` */
export function caddySite(site: Site): GeneratedSite {
  const { standalone } = site;
  const head = `# ${madeBy("caddy")}`;
  const block = [`${sitesOf(site).join(", ")} {`, ...indented(siteLines(site)), "}"];
  if (standalone === undefined) {
    const path = `/etc/caddy/conf.d/${site.name}.caddy`;
    return {
      files: [{ path, mode: 0o644, text: textOf([head, ...block]) }],
      check: ["caddy", "validate", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"],
      run: undefined,
      steps: [
        {
          what: "install",
          command:
            "grep -qF 'import conf.d/*.caddy' /etc/caddy/Caddyfile || echo 'import conf.d/*.caddy' >> /etc/caddy/Caddyfile",
        },
        ...passwordSteps(site),
        { what: "check", command: "caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile" },
        { what: "reload", command: "systemctl reload caddy" },
      ],
      notes: notesOn(site),
    };
  }
  const path = `${standalone.folder}/Caddyfile`;
  const options = ["{", ...indented(["admin off", "auto_https off"]), "}"];
  return {
    files: [{ path, mode: 0o644, text: textOf([head, ...options, "", ...block]) }],
    check: ["caddy", "validate", "--config", path, "--adapter", "caddyfile"],
    run: ["caddy", "run", "--config", path, "--adapter", "caddyfile"],
    steps: passwordSteps(site),
    notes: notesOn(site),
  };
}

/** Alone, it answers to every name; beside other sites, to its own. */
function sitesOf({ serverNames, listen, tls, standalone }: Site): string[] {
  const scheme = tls !== undefined || listen.port === 443 ? "https" : "http";
  const standard = scheme === "https" ? 443 : 80;
  const port = listen.port === standard && standalone === undefined ? "" : `:${listen.port}`;
  if (standalone !== undefined) return [`${scheme}://${port}`];
  return serverNames.map((name) => `${scheme}://${name}${port}`);
}

function siteLines(site: Site): string[] {
  const { listen, tls, publicFolder } = site;
  const lines: string[] = [];
  if (listen.host !== undefined) lines.push(`bind ${caddyWord("--listen", listen.host)}`);
  if (tls !== undefined) {
    const files = `tls ${caddyWord("--certificate", tls.certificate)} ${caddyWord("--key", tls.key)}`;
    if (tls.clientCa === undefined) lines.push(files);
    else {
      const authority = `trusted_ca_cert_file ${caddyWord("--client-ca", tls.clientCa)}`;
      lines.push(`${files} {`, ...indented(block("client_auth", ["mode verify_if_given", authority])), "}");
      lines.push(...CERTIFICATE_MAP);
    }
  }
  if (publicFolder !== undefined) lines.push(`root * ${caddyWord("--root", publicFolder)}`);
  return [...lines, ...block("route", routeLines(site))];
}

function routeLines(site: Site): string[] {
  const { mount, passwords, publicFolder, webSocket, statics, maxBodyBytes } = site;
  const lines: string[] = [];
  if (passwords !== undefined) {
    lines.push("# Caddy 2.8 and newer call it basic_auth, and take the old name too.");
    lines.push(...block("basicauth bcrypt", [`import ${caddyImport("--passwords", `${passwords}.caddy`)}`]));
  }
  if (maxBodyBytes > 0) lines.push(...block("request_body", [`max_size ${maxBodyBytes}`]));
  if (webSocket !== undefined) lines.push(...webSocketLines(webSocket));
  for (const [index, files] of statics.entries()) lines.push(...staticLines(files, `static${index}`));
  if (publicFolder !== undefined) {
    lines.push(
      "# A file that is there comes before the application. Names with a dot are the application's.",
    );
    lines.push(...block("@public", PUBLIC_FILES), ...block("handle @public", ["file_server"]));
  }
  // The groups become SCRIPT_NAME and PATH_INFO.
  if (mount !== "") lines.push(`@application path_regexp application ^(${caddyPattern(mount)})(/.*)?$`);
  lines.push(mount === "" ? "handle {" : "handle @application {", ...indented(applicationLines(site)), "}");
  if (mount !== "") lines.push("respond 404");
  return lines;
}

function applicationLines(site: Site): string[] {
  const { mount, publicFolder, isStreaming, tls } = site;
  const upstreams = upstreamsOf(site);
  const lines: string[] = [];
  if (upstreams.length > 1) {
    lines.push(
      "# In turn; when one cannot be reached, the next. No fail_duration: a visitor who breaks an upload off counts",
      "# as a failure too, and two of them would leave nobody to ask.",
      "lb_policy round_robin",
      "lb_try_duration 2s",
      "lb_try_interval 50ms",
    );
  }
  lines.push("# Else a visitor's Proxy header becomes HTTP_PROXY, which many programs believe.");
  lines.push("header_up -Proxy");
  lines.push("# The status is in the first line of the answer.", "header_down -Status");
  if (isStreaming) lines.push("# Each piece of an answer at once.", "flush_interval -1");
  lines.push("# Caddy 2.7 and newer: uploads without a length of 4096 bytes and more get 411 without this.");
  lines.push(`# request_buffers 10MiB`);
  const parameters: (readonly [string, string])[] =
    mount === ""
      ? [
          ["SCRIPT_NAME", '""'],
          ["PATH_INFO", "{http.request.uri.path}"],
        ]
      : [
          ["SCRIPT_NAME", "{http.regexp.application.1}"],
          ["PATH_INFO", "{http.regexp.application.2}"],
        ];
  // Empty without basicauth. Never what the visitor says.
  parameters.push(["REMOTE_USER", "{http.auth.user.id}"]);
  if (tls?.clientCa !== undefined) parameters.push(...CERTIFICATE_PARAMETERS);
  const transport = [
    `root ${publicFolder === undefined ? NO_FILES : caddyWord("--root", publicFolder)}`,
    ...parameters.map(([name, value]) => `env ${name} ${value}`),
    "dial_timeout 5s",
    "# No read_timeout: it is for a whole answer, and would cut long ones and event streams.",
    "capture_stderr",
  ];
  lines.push(...block("transport fastcgi", transport));
  return block(`reverse_proxy ${upstreams.join(" ")}`, lines);
}

/** @throws {SettingError} for an application that the web server is to start */
function upstreamsOf({ application }: Site): string[] {
  if (application.kind === "spawned") {
    throw refused(
      "--spawn: Caddy starts no FastCGI programs; run the application by itself (postern serve) and give its address with --bind",
    );
  }
  return reachable("caddy", application.addresses).map((address) =>
    address.kind === "unix" ? caddySocket(address.path) : hostAndPort(address),
  );
}

/** Only requests that want to leave HTTP: the others at that URL are the application's, over FastCGI. */
function webSocketLines({ url, address }: WebSocketRoute): string[] {
  if (address === undefined) {
    throw refused(
      "--websocket: Caddy carries no WebSocket inside FastCGI; start the application with --ws-http ADDRESS and give that address here",
    );
  }
  const [socket] = reachable("caddy", [address]).map((one) =>
    one.kind === "unix" ? caddySocket(one.path) : hostAndPort(one),
  );
  const matchers = ["header Upgrade *"];
  if (url !== "") matchers.push(`path_regexp ^${caddyPattern(url)}(/|$)`);
  return [...block("@websocket", matchers), ...block("handle @websocket", [`reverse_proxy ${socket}`])];
}

function staticLines({ url, folder }: StaticFiles, name: string): string[] {
  return [
    `@${name} path_regexp ^${caddyPattern(url)}`,
    ...block(`handle @${name}`, [
      ...(url === "/" ? [] : [`uri strip_prefix ${caddyWord("--static", url.slice(0, -1))}`]),
      `root * ${caddyWord("--static", folder)}`,
      ...block("file_server", ["hide .*"]),
    ]),
  ];
}

function passwordSteps({ passwords }: Site): GeneratedSite["steps"] {
  if (passwords === undefined) return [];
  const from = shWord("passwords", passwords);
  const to = shWord("passwords", `${passwords}.caddy`);
  return [
    {
      what: "install",
      command: `sed -n 's|^\\([[:alnum:]_.@+-]\\{1,\\}\\):\\(\\$2[aby]\\$[[:alnum:]./$]\\{1,\\}\\)$|\\1 \\2|p' ${from} > ${to}`,
    },
  ];
}

function notesOn(site: Site): string[] {
  const { application, isMultiplexed, sendFile, passwords, tls, listen, standalone } = site;
  const notes = [
    "Caddy opens a connection for each request, and has no limit for silence alone: Postern ends requests that take too long (--request-terminate-timeout)",
  ];
  if (isMultiplexed) notes.push("--multiplex: Caddy sends one request on each connection; it is left out");
  if (sendFile.length > 0)
    notes.push(
      "--send-file: Caddy sends no files for an application; leave it out of Postern's settings, too",
    );
  if (passwords !== undefined) {
    notes.push(
      `Caddy reads no password files: it imports ${passwords}.caddy, with lines of a name, a space and a bcrypt hash (caddy hash-password); the sed command makes it from ${passwords}, as htpasswd -B writes it`,
    );
  }
  if (tls === undefined && listen.port === 443 && standalone === undefined)
    notes.push("without --certificate, Caddy gets certificates for these names by itself");
  if (application.kind === "external")
    notes.push(
      "with Caddy 2.7 or newer, take the # off request_buffers: it lets uploads without a length through",
    );
  return notes;
}

function block(head: string, lines: readonly string[]): string[] {
  return [`${head} {`, ...indented(lines), "}"];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `\t${line}`);
}

function textOf(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
