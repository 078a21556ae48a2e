/**
 * A site → the configuration of nginx 1.19.5 or newer: a file of `conf.d`, or a whole one. Nothing of the system's
 * `fastcgi_params` is included, whose content differs between releases: every parameter is written out.
 *
 * All URLs that the application answers lead to the one named location that passes requests on, and what comes before
 * it (files, WebSocket) is decided on the way.
 */
import type { Address } from "../base/address.ts";
import type { OffloadFolder } from "../base/offload-folder.ts";
import type { GeneratedSite, Site, Standalone, StaticFiles, Tls } from "./model.ts";
import { dollarLines, nginxFixedFile, nginxPattern, nginxText, nginxWord } from "./nginx-words.ts";
import { hostAndPort, madeBy, reachable, refused } from "./parts.ts";

/** Idle connections that each worker of nginx keeps to the application. */
const KEPT_CONNECTIONS = 16;
/** A name longer than this does not fit into nginx's standard table of names. */
const LONGEST_ORDINARY_NAME = 40;

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` */
export function nginxSite(site: Site): GeneratedSite {
  const { standalone } = site;
  const blocks = [...topLines(site), "", ...upstreamLines(site), "", ...serverLines(site)];
  const head = `# ${madeBy("nginx")}`;
  if (standalone === undefined) {
    return {
      files: [{ path: `/etc/nginx/conf.d/${site.name}.conf`, mode: 0o644, text: textOf([head, ...blocks]) }],
      check: ["nginx", "-t"],
      run: undefined,
      steps: [
        { what: "check", command: "nginx -t" },
        { what: "reload", command: "systemctl reload nginx" },
      ],
      notes: notesOn(site),
    };
  }
  const path = `${standalone.folder}/nginx.conf`;
  const run = ["nginx", "-p", standalone.folder, "-c", path, "-e", `${standalone.folder}/error.log`];
  return {
    files: [{ path, mode: 0o644, text: textOf([head, ...standaloneLines(standalone, blocks)]) }],
    check: [...run, "-t"],
    run,
    steps: [],
    notes: notesOn(site),
  };
}

function notesOn(site: Site): string[] {
  const notes: string[] = [];
  if (site.isMultiplexed) {
    notes.push("--multiplex: nginx sends one request at a time on each connection; it is left out");
  }
  if (site.sendFile.length > 0) {
    notes.push(
      `nginx sends the files of ${site.sendFile.map(({ folder }) => folder).join(", ")}: tell Postern with ${site.sendFile.map(({ folder, url }) => `--send-file ${folder}=${url}`).join(" ")}`,
    );
  }
  return notes;
}

function textOf(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => (line === "" ? "" : `    ${line}`));
}

function block(head: string, lines: readonly string[]): string[] {
  return [`${head} {`, ...indented(lines), "}"];
}

/** What stands beside the server block: variables, and the room for long names. Several sites may say the same. */
function topLines(site: Site): string[] {
  const scripted = [
    site.publicFolder,
    site.passwords,
    ...site.statics.map(({ folder }) => folder),
    ...site.sendFile.map(({ folder }) => folder),
  ];
  const longest = Math.max(...site.serverNames.map((name) => name.length));
  return [
    ...(longest > LONGEST_ORDINARY_NAME ? ["server_names_hash_bucket_size 512;"] : []),
    ...(scripted.some((text) => text?.includes("$")) ? dollarLines() : []),
    "# The port as the visitor wrote it; $host has none.",
    'map $http_host $postern_port { default ""; "~:(?<postern_digits>[0-9]+)$" ":$postern_digits"; }',
    ...(site.publicFolder === undefined
      ? []
      : [
          "# Names that begin with a dot are no files for visitors, except below /.well-known/.",
          'map $uri $postern_file { default $uri; "~(?s)./\\.|^/\\.(?!well-known/)" ""; }',
        ]),
  ];
}

function upstreamLines(site: Site): string[] {
  const { application, webSocket } = site;
  if (application.kind === "spawned") {
    throw refused(
      "--spawn: nginx starts no programs; keep the application running (postern init) and give its address with --bind",
    );
  }
  const servers = reachable("nginx", application.addresses).map(
    (address) => `server ${addressWord(address)};`,
  );
  const lines = block(`upstream ${site.name}`, [
    ...servers,
    ...(site.isKeptAlive
      ? [`keepalive ${KEPT_CONNECTIONS}; # idle connections; needs fastcgi_keep_conn below`]
      : []),
  ]);
  if (webSocket === undefined) return lines;
  if (webSocket.address === undefined) {
    throw refused(
      "--websocket: nginx cannot carry WebSocket inside FastCGI; add --ws-http ADDRESS, here and to postern serve",
    );
  }
  const [address] = reachable("nginx", [webSocket.address]);
  return [
    ...lines,
    ...block(`upstream ${site.name}_websocket`, address ? [`server ${addressWord(address)};`] : []),
  ];
}

/** In `upstream` nothing is a variable, and only there may a path hold a colon. */
function addressWord(address: Extract<Address, { kind: "unix" | "tcp" }>): string {
  return nginxWord(address.kind === "unix" ? `unix:${address.path}` : hostAndPort(address));
}

function serverLines(site: Site): string[] {
  const { publicFolder, passwords, tls, webSocket } = site;
  return block("server", [
    ...listenLines(site),
    `server_name ${site.serverNames.join(" ")};`,
    ...(tls ? tlsLines(tls) : []),
    "",
    site.maxBodyBytes === 0
      ? "client_max_body_size 0; # no limit; nginx's own is 1m, beyond it 413"
      : `client_max_body_size ${sizeWord(site.maxBodyBytes)}; # nginx's own is 1m; beyond it 413`,
    ...(publicFolder === undefined ? [] : [`root ${nginxText(publicFolder)};`]),
    ...(passwords === undefined
      ? []
      : [`auth_basic "${site.name}";`, `auth_basic_user_file ${nginxText(passwords)};`]),
    "",
    ...entryLines(site),
    ...site.statics.flatMap(staticLines),
    ...site.sendFile.flatMap(sendFileLines),
    ...applicationLines(site),
    ...(webSocket ? webSocketLines(site) : []),
  ]);
}

function listenLines({ listen, tls }: Site): string[] {
  const ssl = tls ? " ssl" : "";
  if (listen.host === undefined) return [`listen ${listen.port}${ssl};`, `listen [::]:${listen.port}${ssl};`];
  return [`listen ${hostAndPort({ host: listen.host, port: listen.port })}${ssl};`];
}

function tlsLines({ certificate, key, clientCa }: Tls): string[] {
  return [
    `ssl_certificate ${nginxFixedFile("--certificate", certificate)};`,
    `ssl_certificate_key ${nginxFixedFile("--key", key)};`,
    "ssl_protocols TLSv1.2 TLSv1.3;",
    ...(clientCa === undefined
      ? []
      : [
          `ssl_client_certificate ${nginxWord(clientCa)};`,
          "ssl_verify_client optional; # the application decides about visitors without a certificate",
        ]),
  ];
}

/** The URLs that lead to the application, and what becomes of the others. */
function entryLines(site: Site): string[] {
  const { mount, webSocket } = site;
  const socketUrl = webSocket?.url.replace(/\/$/, "");
  const isEverywhere = socketUrl !== undefined && (socketUrl === "" || socketUrl === mount);
  const entry = [...(isEverywhere ? upgradeLines() : []), passOn(site)];
  const socketEntry = [...upgradeLines(), isBelow(socketUrl ?? "", mount) ? passOn(site) : "return 404;"];
  return [
    ...(mount === ""
      ? block("location /", entry)
      : [
          // With a slash PATH_INFO says that this is the mount; without, SCRIPT_NAME could be a whole path.
          ...block(`location = ${nginxWord(mount)}`, [
            'rewrite "(?s)^(.+)$" $1/ last; # the root of the application',
          ]),
          `# With the slash: without it ${mount}x would lead here too.`,
          ...block(`location ${nginxWord(`${mount}/`)}`, entry),
          ...block("location /", elsewhereLines(site)),
        ]),
    ...(socketUrl === undefined || isEverywhere
      ? []
      : [
          ...block(`location = ${nginxWord(socketUrl)}`, socketEntry),
          ...block(`location ${nginxWord(`${socketUrl}/`)}`, socketEntry),
        ]),
  ];
}

function isBelow(url: string, mount: string): boolean {
  return mount === "" || url.startsWith(`${mount}/`);
}

function passOn({ publicFolder }: Site): string {
  return publicFolder === undefined
    ? 'try_files "" @application;'
    : "try_files $postern_file @application; # a file of that name comes first";
}

/** Outside of the mount. */
function elsewhereLines({ publicFolder }: Site): string[] {
  return publicFolder === undefined ? ["return 404;"] : ['if ($postern_file = "") { return 404; }'];
}

/** An `if` with nothing but `return` in it is safe; 418 is a way to the named location that nobody else takes. */
function upgradeLines(): string[] {
  return ["error_page 418 = @websocket;", 'if ($http_upgrade ~* "^websocket$") { return 418; }'];
}

function staticLines({ url, folder }: StaticFiles): string[] {
  return block(`location ^~ ${nginxWord(url)}`, [
    `alias ${nginxText(`${folder}/`)};`,
    "location ~ /\\. { return 404; } # .git, .env",
  ]);
}

function sendFileLines({ folder, url }: OffloadFolder): string[] {
  if (url === undefined) {
    throw refused(
      `--send-file ${folder}: nginx knows the folder by an internal location; write --send-file ${folder}=/protected/, here and to postern serve`,
    );
  }
  return block(`location ^~ ${nginxWord(url)}`, [
    "internal; # for files that the application names, not for visitors",
    `alias ${nginxText(`${folder}/`)};`,
    "# nginx drops these headers of the application otherwise; empty ones are not sent.",
    "add_header Content-Security-Policy     $upstream_http_content_security_policy;",
    "add_header X-Content-Type-Options      $upstream_http_x_content_type_options;",
    "add_header Access-Control-Allow-Origin $upstream_http_access_control_allow_origin;",
    "add_header Vary                        $upstream_http_vary;",
  ]);
}

function applicationLines(site: Site): string[] {
  const { mount, timeoutSeconds } = site;
  return block("location @application", [
    `fastcgi_pass ${site.name};`,
    ...(site.isKeptAlive ? ["fastcgi_keep_conn on;"] : []),
    `fastcgi_read_timeout ${timeoutSeconds}s; # of silence; then 504`,
    `fastcgi_send_timeout ${timeoutSeconds}s;`,
    "fastcgi_buffer_size 32k; # the head of an answer must fit; else 502",
    "fastcgi_buffers 8 32k;",
    ...(site.isStreaming
      ? ["fastcgi_buffering off; # answers as they come", "fastcgi_request_buffering off; # and uploads"]
      : []),
    "",
    ...(mount === ""
      ? [param("SCRIPT_NAME", '""'), param("PATH_INFO", "$fastcgi_script_name")]
      : [
          `fastcgi_split_path_info ${nginxWord(`(?s)^(${nginxPattern(mount)})(.*)$`)};`,
          param("SCRIPT_NAME", "$fastcgi_script_name"),
          param("PATH_INFO", "$fastcgi_path_info"),
        ]),
    ...parameterLines(site),
  ]);
}

function parameterLines({ serverNames, publicFolder, passwords, tls }: Site): string[] {
  return [
    param("REQUEST_METHOD", "$request_method"),
    param("REQUEST_URI", "$request_uri"),
    param("QUERY_STRING", "$query_string"),
    param("CONTENT_TYPE", "$content_type"),
    param("CONTENT_LENGTH", "$content_length"),
    param("GATEWAY_INTERFACE", "CGI/1.1"),
    param("SERVER_SOFTWARE", "nginx/$nginx_version"),
    param("SERVER_PROTOCOL", "$server_protocol"),
    // The name of a site for all names below a domain is none.
    param("SERVER_NAME", serverNames[0]?.startsWith("*") ? "$host" : "$server_name"),
    param("SERVER_ADDR", "$server_addr"),
    param("SERVER_PORT", "$server_port"),
    param("REMOTE_ADDR", "$remote_addr"),
    param("REMOTE_PORT", "$remote_port"),
    param("REQUEST_SCHEME", "$scheme"),
    param("HTTPS", "$https if_not_empty"),
    ...(publicFolder === undefined ? [] : [param("DOCUMENT_ROOT", "$document_root")]),
    `${param("REQUEST_ID", "$request_id")} # for log_format, to find a request in both logs`,
    param("HTTP_HOST", "$host$postern_port"),
    `${param("HTTP_PROXY", '""')} # a visitor's header Proxy is no setting (httpoxy)`,
    ...(passwords === undefined
      ? [`${param("REMOTE_USER", '""')} # $remote_user is whatever a visitor claims`]
      : [param("REMOTE_USER", "$remote_user"), param("AUTH_TYPE", "Basic")]),
    ...(tls === undefined
      ? []
      : [
          param("SSL_PROTOCOL", "$ssl_protocol"),
          param("SSL_CIPHER", "$ssl_cipher"),
          param("SSL_TLS_SNI", "$ssl_server_name"),
        ]),
    ...(tls?.clientCa === undefined
      ? []
      : [
          `${param("SSL_CLIENT_VERIFY", "$ssl_client_verify")} # SUCCESS, or the others prove nothing`,
          param("SSL_CLIENT_S_DN", "$ssl_client_s_dn"),
          param("SSL_CLIENT_I_DN", "$ssl_client_i_dn"),
          param("SSL_CLIENT_M_SERIAL", "$ssl_client_serial"),
          param("SSL_CLIENT_FINGERPRINT", "$ssl_client_fingerprint"),
          param("SSL_CLIENT_CERT", "$ssl_client_escaped_cert"),
          param("SSL_CLIENT_V_START", "$ssl_client_v_start"),
          param("SSL_CLIENT_V_END", "$ssl_client_v_end"),
        ]),
  ];
}

function param(name: string, value: string): string {
  return `fastcgi_param ${name.padEnd(17)} ${value};`;
}

function webSocketLines(site: Site): string[] {
  return block("location @websocket", [
    "# nginx cannot carry WebSocket inside FastCGI: by HTTP to the side listener (--ws-http).",
    `proxy_pass http://${site.name}_websocket;`,
    "proxy_http_version 1.1;",
    "proxy_set_header Host              $host$postern_port;",
    "proxy_set_header Upgrade           $http_upgrade;",
    'proxy_set_header Connection        "upgrade";',
    "proxy_set_header X-Forwarded-For   $remote_addr;",
    "proxy_set_header X-Forwarded-Proto $scheme;",
    "proxy_read_timeout 1h; # of silence; then nginx closes it",
    "proxy_send_timeout 1h;",
  ]);
}

/** In nginx's units, of which there is none for bytes. */
function sizeWord(bytes: number): string {
  if (bytes % 1024 ** 2 === 0) return `${bytes / 1024 ** 2}m`;
  return bytes % 1024 === 0 ? `${bytes / 1024}k` : String(bytes);
}

/** Everything in the folder, which `-p` names: relative paths are in it, and no `$` in them is a variable. */
function standaloneLines({ user, group }: Standalone, blocks: readonly string[]): string[] {
  const who =
    user === undefined
      ? []
      : [
          `user ${[user, group]
            .filter((one) => one !== undefined)
            .map(nginxWord)
            .join(" ")};`,
        ];
  return [
    ...who,
    "daemon off;",
    "worker_processes 1;",
    "pid nginx.pid;",
    "error_log error.log notice; # notices tell when a reload is done",
    ...block("events", ["worker_connections 2048;"]),
    ...block("http", [
      "access_log access.log;",
      "client_body_temp_path client-body;",
      "proxy_temp_path proxy;",
      "fastcgi_temp_path fastcgi;",
      "uwsgi_temp_path uwsgi;",
      "scgi_temp_path scgi;",
      ...block(
        "types",
        MIME_TYPES.map(([type, endings]) => `${type} ${endings};`),
      ),
      "default_type application/octet-stream;",
      "",
      ...blocks,
    ]),
  ];
}

const MIME_TYPES: readonly (readonly [type: string, endings: string])[] = [
  ["text/html", "html htm"],
  ["text/css", "css"],
  ["text/javascript", "js mjs"],
  ["text/plain", "txt"],
  ["application/json", "json map"],
  ["application/wasm", "wasm"],
  ["application/xml", "xml"],
  ["application/pdf", "pdf"],
  ["image/svg+xml", "svg"],
  ["image/png", "png"],
  ["image/jpeg", "jpeg jpg"],
  ["image/gif", "gif"],
  ["image/webp", "webp"],
  ["image/x-icon", "ico"],
  ["font/woff2", "woff2"],
];
