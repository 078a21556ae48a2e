/**
 * Where web servers lawfully differ, or cannot be changed: row → what is seen behind which of them, and why. What is
 * not here is the same behind all. The measurements are in docs/web-servers.md, as a table made of this run.
 */
import { pythonFormOf } from "../probe-python.ts";
import { COLUMNS, type Column, type SuiteSite } from "../sites.ts";

export interface Difference {
  readonly columns: readonly Column[];
  /** Where not all sites of these columns show it. */
  readonly where?: (site: SuiteSite) => boolean;
  /** In few words, for the table. */
  readonly seen: string;
  readonly because: string;
}

export const NGINX: readonly Column[] = ["nginx", "nginx current"];
export const APACHE: readonly Column[] = ["Apache mod_proxy_fcgi", "Apache mod_fcgid"];
export const LIGHTTPD: readonly Column[] = ["lighttpd", "lighttpd current"];
export const CADDY: readonly Column[] = ["Caddy", "Caddy current"];
export const HAPROXY: readonly Column[] = ["HAProxy", "HAProxy current"];

const isPython = ({ form }: SuiteSite): boolean => pythonFormOf(form) !== undefined;
const isMounted = ({ mount }: SuiteSite): boolean => mount !== "";
const isStreaming = (site: SuiteSite): boolean => site.isStreaming;
/** lighttpd with the configuration of users who did not get it from us. */
const isByHand = ({ hand }: SuiteSite): boolean => hand !== undefined;
const isCollecting = (site: SuiteSite): boolean => !site.isStreaming;

const LEAVING_PYTHON: Difference = {
  columns: COLUMNS,
  where: isPython,
  seen: "when it writes",
  because: "WSGI has no way to say it to an application that works; it is noticed when that reads or writes",
};

/** Where the web server passes a chunked body on without its length. */
const UNANNOUNCED: Difference = {
  columns: [...NGINX, "Apache mod_proxy_fcgi", ...CADDY],
  where: (site) =>
    (site.form === "django" || site.form === "bottle") && (isStreaming(site) || !NGINX.includes(site.column)),
  seen: "not seen",
  because: "Django and Bottle read no body without CONTENT_LENGTH; Flask does (wsgi.input_terminated)",
};

/** The first that is true of a site counts. */
export const DIFFERENCES: Readonly<Record<string, readonly Difference[]>> = {
  "URL: raw UTF-8 bytes arrive": [
    { columns: HAPROXY, seen: "400", because: "HAProxy refuses bytes above 127 in a request line" },
  ],
  "URL: an encoded NUL byte is refused with 400 or 404": [
    {
      columns: HAPROXY,
      where: ({ column, mount }) => column === "HAProxy" || mount === "",
      seen: "500",
      because: "HAProxy gives the request up while it makes the parameters",
    },
    {
      columns: ["h2o"],
      seen: "passed on",
      because: "h2o passes every byte; the application sees the %00 that the client sent",
    },
  ],
  "URL: a broken percent sequence is refused with 400": [
    {
      columns: [...LIGHTTPD, "h2o"],
      seen: "passed on",
      because: "lighttpd and h2o leave what cannot be decoded as it is, and so does Postern",
    },
    {
      columns: HAPROXY,
      where: isMounted,
      seen: "404",
      because: "HAProxy cannot decode the path, so that it is not below the mount",
    },
    { columns: HAPROXY, seen: "500", because: "HAProxy gives the request up while it makes the parameters" },
  ],
  "URL: the mount without its slash is the application's root": [
    {
      columns: LIGHTTPD,
      where: ({ hasBase }) => !hasBase,
      seen: "whole path",
      because:
        "lighttpd sends the same parameters for a page of that name at the root; with --base Postern knows",
    },
    {
      columns: COLUMNS,
      where: ({ form }) => form === "flask",
      seen: "308 to it",
      because: "WSGI has an empty path for it, and Flask redirects to its own root, with the slash",
    },
  ],
  "URL: an absolute-form target is the same request": [
    {
      columns: ["h2o"],
      where: isMounted,
      seen: "404",
      because: "h2o looks for the mount at the beginning of the whole URL",
    },
  ],
  "methods: one of our own arrives": [
    { columns: LIGHTTPD, seen: "501", because: "lighttpd passes only the methods that it knows" },
  ],
  "methods: TRACE is refused by the web server": [
    {
      columns: ["Apache mod_proxy_fcgi", ...LIGHTTPD, ...CADDY, ...HAPROXY, "h2o"],
      seen: "passed on",
      because: "it is a method like any other to that server; the application decides",
    },
    { columns: ["Apache mod_fcgid"], seen: "200", because: "Apache answers it itself (TraceEnable)" },
  ],
  "methods: HEAD tells the length that GET has": [
    {
      columns: ["Apache mod_proxy_fcgi"],
      seen: "no length",
      because: "mod_proxy_fcgi drops Content-Length and sends the body in chunks",
    },
  ],
  "methods: HEAD gets the head of GET and no body, and the client's connection goes on": [
    {
      columns: ["h2o"],
      where: (site) => isPython(site) || site.form === "fetch",
      seen: "closed after it",
      because:
        "h2o 2.2 waits for a body of the length that HEAD says, as frameworks in Python do, and closes after one whose length it does not know, as of a fetch application",
    },
  ],
  "headers: two Cookie lines are one, joined by a semicolon": [
    {
      columns: [...APACHE, ...CADDY],
      seen: "joined by a comma",
      because: "Apache and Caddy join them before Postern sees them; browsers send one line",
    },
  ],
  "headers: Proxy does not even reach Postern, as HTTP_PROXY": [
    {
      columns: ["h2o"],
      seen: "sent, and ignored",
      because: "h2o 2.2 cannot remove a header from what it passes on; Postern never believes this one",
    },
  ],
  "headers: an empty one arrives empty": [
    { columns: LIGHTTPD, seen: "dropped", because: "lighttpd drops headers without a value" },
  ],
  "headers: a name with an underscore is dropped": [
    {
      columns: [...LIGHTTPD, "Caddy", "h2o"],
      seen: "as x-under-score",
      because: "passed on: it cannot be told from the same name with dashes, so trust no such header",
    },
  ],
  "headers: a name with a dot is dropped": [
    { columns: LIGHTTPD, seen: "as x-dot", because: "lighttpd makes an underscore of every odd character" },
    { columns: [...CADDY, "h2o"], seen: "as x.dot", because: "passed on as it is" },
  ],
  "headers: X-Forwarded-For of the client arrives as a header and changes no fact": [
    {
      columns: CADDY,
      seen: "overwritten",
      because: "Caddy writes what it knows itself, unless it trusts the sender (trusted_proxies)",
    },
  ],
  "identity: SERVER_PORT is the port that the web server listens on": [
    {
      columns: [...APACHE, ...CADDY],
      seen: "80",
      because: "it is the port of the Host header, or the scheme's own (Apache: UseCanonicalPhysicalPort)",
    },
  ],
  "bodies: chunked, of 11 bytes": [{ ...UNANNOUNCED, columns: CADDY }],
  "bodies: chunked, of 400 KB": [
    UNANNOUNCED,
    {
      columns: LIGHTTPD,
      where: isStreaming,
      seen: "411",
      because: "lighttpd needs the length when it does not collect the body first",
    },
    {
      columns: HAPROXY,
      seen: "400",
      because:
        "HAProxy needs the length of what does not fit into its buffer (16 KB); who is still sending may see a reset instead",
    },
    {
      columns: ["Caddy current"],
      seen: "411",
      because: "Caddy 2.7 and newer need the length from 4 KB on, without request_buffers",
    },
  ],
  "bodies: chunked and slow": [
    UNANNOUNCED,
    {
      columns: LIGHTTPD,
      where: isStreaming,
      seen: "411",
      because: "lighttpd needs the length when it does not collect the body first",
    },
  ],
  "bodies: a POST without any length is one without a body": [
    { columns: LIGHTTPD, seen: "411", because: "lighttpd refuses a POST that says no length" },
  ],
  "bodies: of a GET": [{ columns: LIGHTTPD, seen: "400", because: "lighttpd refuses a GET with a body" }],
  "bodies: an upload in two pieces reaches the application piece by piece": [
    {
      columns: COLUMNS,
      where: ({ form }) => form === "bottle",
      seen: "collected first",
      because: "Bottle's request.body is the whole body",
    },
    {
      columns: NGINX,
      where: isCollecting,
      seen: "collected first",
      because:
        "without --stream nginx collects a body before it calls the application (fastcgi_request_buffering)",
    },
    {
      columns: LIGHTTPD,
      where: isCollecting,
      seen: "collected first",
      because: "without --stream lighttpd collects a body before it calls the application",
    },
    {
      columns: ["Apache mod_fcgid", "h2o"],
      seen: "collected first",
      because: "mod_fcgid and h2o 2.2 always do",
    },
  ],
  "responses: a Location with 200 stays 200": [
    {
      columns: ["Apache mod_fcgid"],
      seen: "followed by Apache",
      because: "to Apache it is CGI's internal redirect, also with a Status of 200",
    },
  ],
  "responses: odd bytes and an empty value in headers pass": [
    {
      columns: COLUMNS,
      where: ({ form }) => form === "bottle",
      seen: "as UTF-8",
      because: "Bottle writes the values of headers in UTF-8",
    },
  ],
  "responses: a Content-Length of the application reaches the client": [
    {
      columns: ["Apache mod_proxy_fcgi"],
      seen: "chunked",
      because: "mod_proxy_fcgi drops it and sends chunks",
    },
  ],
  "responses: a head of 30000 bytes passes": [
    {
      columns: HAPROXY,
      seen: "502",
      because: "a head has to fit into HAProxy's buffer (tune.bufsize, 16 KB)",
    },
  ],
  "ranges: a whole answer (200) to a Range stays whole": [
    { columns: LIGHTTPD, seen: "206", because: "lighttpd cuts the part out of the answer itself" },
  ],
  "streaming: server-sent events reach the client one by one": [
    {
      columns: LIGHTTPD,
      where: isByHand,
      seen: "collected first",
      because: "lighttpd's own default: server.stream-response-body is not set",
    },
  ],
  "streaming: any answer in pieces reaches the client piece by piece": [
    {
      columns: LIGHTTPD,
      where: isByHand,
      seen: "collected first",
      because: "lighttpd's own default: server.stream-response-body is not set",
    },
    {
      columns: NGINX,
      where: ({ isStreaming, isKeptAlive }) => !isStreaming && !isKeptAlive,
      seen: "collected first",
      because: "without --stream or kept connections nginx collects an answer (fastcgi_buffering)",
    },
    {
      columns: CADDY,
      where: isCollecting,
      seen: "collected first",
      because: "without --stream Caddy holds small pieces back, except of event streams (flush_interval)",
    },
  ],
  "back-pressure: a client that does not read stops the application, whose memory stays as it is": [
    {
      columns: [...NGINX, ...LIGHTTPD],
      where: isCollecting,
      seen: "collected by the web server",
      because: "without --stream nginx and lighttpd put an answer into temporary files as fast as it comes",
    },
    {
      columns: ["h2o"],
      seen: "collected by the web server",
      because: "h2o 2.2 reads an answer as fast as it comes, into its memory",
    },
  ],
  "leaving: a client that closes is noticed while the application works": [
    {
      columns: LIGHTTPD,
      where: isByHand,
      seen: "never",
      because: "lighttpd's own default: it collects the answer to its end (server.stream-response-body)",
    },
    LEAVING_PYTHON,
    {
      columns: [...APACHE, ...LIGHTTPD, ...CADDY, ...HAPROXY, "h2o"],
      seen: "when it writes",
      because: "the web server notices when it has something to send",
    },
  ],
  "leaving: a client that resets is noticed while the application works": [
    LEAVING_PYTHON,
    {
      columns: [...APACHE, ...CADDY, ...HAPROXY, "h2o"],
      seen: "when it writes",
      because: "the web server notices when it has something to send",
    },
  ],
  "errors: an exception is a 500 without the reason, which is in the web server's error log": [
    {
      columns: ["Caddy"],
      seen: "not logged",
      because: "Caddy before 2.7 has no way to log it (capture_stderr)",
    },
  ],
  "errors: what the application writes to FCGI_STDERR is in the web server's error log": [
    {
      columns: COLUMNS,
      where: (site) => isPython(site) && !site.isSpawned,
      seen: "in Postern's log",
      because: "wsgi.errors of a worker in Python is the log of the manager",
    },
    {
      columns: ["HAProxy"],
      seen: "in Postern's log",
      because:
        "HAProxy 2 dies of a STDERR record that comes before the head of an answer, so it is sent none",
    },
    {
      columns: ["Caddy"],
      seen: "not logged",
      because: "Caddy before 2.7 has no way to log it (capture_stderr)",
    },
  ],
};

/** What a site has to show in a row, when it is not what the row says. */
export function differenceOf(row: string, site: SuiteSite): Difference | undefined {
  return DIFFERENCES[row]?.find(
    ({ columns, where }) => columns.includes(site.column) && (where?.(site) ?? true),
  );
}
