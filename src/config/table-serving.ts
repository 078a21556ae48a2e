/** The settings of a pool about what it runs, where it listens, how it finds URLs and what it does with requests. */
import type { ListeningInput, ProgramInput, RequestsInput, UrlsInput } from "./define.ts";
import {
  account,
  address,
  addresses,
  clients,
  command,
  count,
  duration,
  hops,
  octal,
  offloadFolders,
  path,
  pathOrOutput,
  text,
  yesNo,
} from "./kinds.ts";
import type { Setting } from "./setting.ts";

const OFF = "; or 0 for no limit";
const URL_PATH = text("path", 'a path of a URL such as "/ping"', /^\/[^\s?#\0-\x1f]*$/);

export const PROGRAM_TABLE: Readonly<Record<keyof ProgramInput, Setting>> = {
  app: {
    kind: path,
    isFileOnly: true,
    doc: "The application. JavaScript: the file that exports it. Python: `package.module:name`, or a file such as `app.py`. On the command line: `postern serve FILE`.",
  },
  command: {
    kind: command,
    isFileOnly: true,
    doc: "A FastCGI program in any language, with its arguments, instead of `app`. On the command line: `postern spawn -- PROGRAM ARGUMENTS`.",
  },
};

export const LISTENING_TABLE: Readonly<Record<keyof ListeningInput, Setting>> = {
  bind: {
    kind: addresses,
    short: "-b",
    computed: "the socket that was inherited",
    fpm: "listen",
    doc: "Where to listen for the web server: `unix:/path`, `host:port`, `unix:@abstract`, `fd:N` or `systemd`. Several for an application, one for a command.",
  },
  http: {
    kind: address,
    canBeOff: true,
    isForApps: true,
    doc: "Also answer HTTP there, such as `:8080`: no web server needed.",
  },
  wsHttp: {
    kind: address,
    canBeOff: true,
    isForApps: true,
    doc: "Also take upgraded connections, such as WebSockets, by HTTP there, for web servers that cannot carry them over FastCGI. Everything else is refused: the web server passes on what it is to.",
  },
  static: {
    kind: path,
    canBeOff: true,
    isForApps: true,
    doc: "With `http`: serve the files of this folder before asking the application.",
  },
  listenMode: {
    kind: octal,
    standard: "0660",
    fpm: "listen.mode",
    doc: "Permissions of unix sockets.",
  },
  listenOwner: {
    kind: account("user"),
    computed: "unchanged",
    fpm: "listen.owner",
    doc: "Owner of unix sockets.",
  },
  listenGroup: {
    kind: account("group"),
    computed: "unchanged",
    fpm: "listen.group",
    doc: "Group of unix sockets, usually the web server's, such as `www-data`.",
  },
  listenBacklog: {
    kind: count(1, 65_535),
    standard: 511,
    fpm: "listen.backlog",
    doc: "Connections the kernel keeps waiting while workers are busy or starting.",
  },
  allowedClients: {
    kind: clients,
    computed: "this machine alone",
    fpm: "listen.allowed_clients",
    doc: "Who may connect over TCP: addresses and ranges, or `any`. Whoever reaches the port can claim to be any user.",
  },
  trustProxy: {
    kind: hops,
    isForApps: true,
    isForPython: true,
    computed: "nobody",
    doc: "Proxies in front of the web server whose X-Forwarded-For, -Proto, -Host and -Port count: addresses, ranges, `loopback`, `private` or `unix`.",
  },
  sendFile: {
    kind: offloadFolders,
    isForApps: true,
    computed: "none",
    doc: "Folders whose files the web server sends in the application's place: `/var/files=/protected/` for nginx with an internal location of that name, `/var/files` for lighttpd and Apache. The web server must be told to.",
  },
};

export const URLS_TABLE: Readonly<Record<keyof UrlsInput, Setting>> = {
  base: {
    kind: text("path", '"" or a path such as "/app"'),
    isForApps: true,
    isForPython: true,
    computed: "worked out",
    doc: "The mount, such as `/app`, when the web server does not tell it.",
  },
  scriptName: {
    kind: text("how", '"auto", "keep", "" or a path such as "/app"'),
    isForApps: true,
    isForPython: true,
    computed: "auto",
    doc: "How the mount is found: `auto`, `keep`, or the mount itself.",
  },
  stripBase: {
    kind: yesNo,
    standard: false,
    isForApps: true,
    doc: "For fetch applications: `request.url` without the mount.",
  },
  upgrade: {
    kind: yesNo,
    isForApps: true,
    computed: "worked out: lighttpd 1.4.74 or newer",
    doc: "Whether the web server carries upgraded connections, such as WebSockets, over FastCGI.",
  },
  development: {
    kind: yesNo,
    isForApps: true,
    isForPython: true,
    computed: "whether NODE_ENV is development",
    doc: "Show stack traces in error pages.",
  },
};

export const REQUESTS_TABLE: Readonly<Record<keyof RequestsInput, Setting>> = {
  maxConcurrency: {
    kind: count(0, 1_000_000),
    standard: 0,
    isForApps: true,
    doc: "Requests one worker works on at once; further ones wait in it. 0 is no limit.",
  },
  queueTimeout: {
    kind: duration(OFF),
    standard: 0,
    isForApps: true,
    doc: "How long a request may wait because of `maxConcurrency`. Then: 503.",
  },
  requestTerminateTimeout: {
    kind: duration("; or 0 for off"),
    standard: 0,
    isForApps: true,
    isForPython: true,
    fpm: "request_terminate_timeout",
    doc: "How long one request may take. Then its worker is replaced.",
  },
  requestSlowlogTimeout: {
    kind: duration("; or 0 for off"),
    standard: 0,
    isForApps: true,
    isForPython: true,
    fpm: "request_slowlog_timeout",
    doc: "A request that takes longer is logged with the stack of its worker.",
  },
  requestSlowlogTraceDepth: {
    kind: count(0, 1000),
    standard: 20,
    isForApps: true,
    isForPython: true,
    fpm: "request_slowlog_trace_depth",
    doc: "Lines of that stack at most.",
  },
  slowlog: {
    kind: path,
    canBeOff: true,
    isForApps: true,
    isForPython: true,
    computed: "the log",
    fpm: "slowlog",
    doc: "The file in which slow requests are logged.",
  },
  pingPath: {
    kind: URL_PATH,
    canBeOff: true,
    isForApps: true,
    isForPython: true,
    fpm: "ping.path",
    doc: "Requests for this path are answered by Postern itself, for health checks. While the pool drains: 503.",
  },
  pingResponse: {
    kind: text("text", "one line of text", /^[^\0\r\n]+$/),
    standard: "pong",
    isForApps: true,
    isForPython: true,
    fpm: "ping.response",
    doc: "The answer to `pingPath`.",
  },
  statusPath: {
    kind: URL_PATH,
    canBeOff: true,
    isForApps: true,
    isForPython: true,
    fpm: "pm.status_path",
    doc: "Requests for this path are answered with the state of the pool. Let the web server restrict who may see it.",
  },
  metricsPath: {
    kind: URL_PATH,
    canBeOff: true,
    isForApps: true,
    isForPython: true,
    doc: "Requests for this path are answered with the metrics of the pool, for Prometheus. Let the web server restrict who may see it.",
  },
  accessLog: {
    kind: pathOrOutput,
    canBeOff: true,
    isForApps: true,
    isForPython: true,
    fpm: "access.log",
    doc: "A line for each request goes to this file; `-` is standard output.",
  },
  accessLogFormat: {
    kind: text("format"),
    standard: "combined",
    isForApps: true,
    isForPython: true,
    fpm: "access.format",
    doc: "`common`, `combined`, `json`, or a format with php-fpm's fields such as `%R %m %r%Q%q %s %d`.",
  },
};
