/** Ways of web servers that surprise, by name: how each is seen in the parameters, and what to do. */
import type { ParamSource } from "../../cgi/environ.ts";
import { decodePath } from "../../cgi/paths.ts";
import type { WebServerName } from "../../sites/model.ts";
import type { Rules, Seen } from "./decisions.ts";

/** What a quirk looks at. */
export interface Subject {
  readonly params: ParamSource;
  /** In the order they came, duplicates included. */
  readonly pairs: readonly (readonly [name: string, value: string])[];
  readonly server: WebServerName | undefined;
  readonly rules: Rules;
  /** Undefined when the request is refused. */
  readonly seen: Seen | undefined;
}

export interface Quirk {
  /** Stable. */
  readonly name: string;
  readonly says: string;
  readonly remedy: string;
  /** Of docs/. */
  readonly page: string;
  applies(subject: Subject): boolean;
}

const has = ({ params }: Subject, name: string): boolean => (params.get(name) ?? "") !== "";
const pathOf = (uri: string): string => uri.split("?", 1)[0] ?? "";

export const QUIRKS: readonly Quirk[] = [
  {
    name: "path-decoded",
    says: "PATH_INFO lost something of the path: %2F became a slash, or doubled slashes and dots were resolved",
    remedy: "nothing to do: req.url is made of REQUEST_URI, which has it; do not read PATH_INFO yourself",
    page: "urls.md",
    applies: ({ params, seen }) => {
      const uri = params.get("REQUEST_URI");
      const info = params.get("PATH_INFO");
      if (uri === undefined || !info || seen === undefined || seen.target.rule === "rewritten") return false;
      const path = pathOf(uri);
      return (
        /%2f|\/\/|\/\.{1,2}(?:\/|$)/i.test(path) && (/%2f/i.test(path) || !decodePath(path).endsWith(info))
      );
    },
  },
  {
    name: "request-uri-decoded",
    says: "this server sends REQUEST_URI decoded, so %2F in a path cannot be told from a slash",
    remedy: "avoid encoded slashes in URLs behind Cherokee",
    page: "deploy/cherokee.md",
    applies: ({ seen }) => seen?.target.rule === "request-uri-decoded",
  },
  {
    name: "mount-unknown",
    says: "SCRIPT_NAME is the whole path: if the application is mounted below a path, nothing here says where",
    remedy: 'state it: base: "/x", or "" for the root; or let postern config write the web server\'s part',
    page: "urls.md",
    applies: ({ seen, rules }) => seen?.target.rule === "whole-path" && rules.mount.kind === "auto",
  },
  {
    name: "mount-guessed",
    says: "lighttpd without fix-root-scriptname takes the first segment of the path for the mount; this may be one",
    remedy: '"fix-root-scriptname" => "enable" there, or base: "" here, if the application is at the root',
    page: "deploy/lighttpd.md",
    applies: ({ params, server, seen, rules }) => {
      if (server !== "lighttpd" || seen?.target.rule !== "mounted" || rules.mount.kind !== "auto")
        return false;
      return /^\/[^/]+$/.test(params.get("SCRIPT_NAME") ?? "");
    },
  },
  {
    name: "location-without-slash",
    says: "the location matches more than the mount: PATH_INFO begins in the middle of a name",
    remedy: "write the location with a slash at its end",
    page: "deploy/nginx.md",
    applies: ({ seen }) => seen?.target.rule === "prefix-clash",
  },
  {
    name: "rewritten",
    says: "the web server rewrote the request: REQUEST_URI is not what the application is asked for",
    remedy:
      'if there is no rewrite, SCRIPT_NAME or PATH_INFO is configured wrongly: state base: "/x" or mend them',
    page: "urls.md",
    applies: ({ seen }) => seen?.target.rule === "rewritten",
  },
  {
    name: "program-in-url",
    says: "the program's own name is part of the URL that visitors see",
    remedy: "hide it with a rewrite; postern init shared-hosting writes one",
    page: "deploy/apache.md",
    applies: ({ params }) => /\.f?cgi(?:[/?]|$)/i.test(params.get("REQUEST_URI") ?? ""),
  },
  {
    name: "double-prefix",
    says: "the mount comes twice in the URL: the application or the web server adds it to a path that has it already",
    remedy:
      "links start with req.baseUrl once; in the web server, pass the path without the mount or state base once",
    page: "urls.md",
    applies: ({ seen }) => {
      if (seen === undefined || seen.target.base === "") return false;
      return `${seen.target.path}/`.startsWith(`${seen.target.base}/`);
    },
  },
  {
    name: "authorization-missing",
    says: "there is no Authorization header: Apache and HAProxy keep it to themselves unless told otherwise (or the client sent none)",
    remedy: "Apache: CGIPassAuth On; HAProxy: pass-header Authorization in the fcgi-app",
    page: "identity.md",
    applies: (subject) =>
      (subject.server === "apache" || subject.server === "haproxy") &&
      !subject.pairs.some(([name]) => /authorization$/i.test(name)),
  },
  {
    name: "user-not-authenticated",
    says: "this server fills REMOTE_USER from any Basic header, whether or not it asked for a password",
    remedy: "believe it only where the web server authenticates (auth_basic); otherwise send it empty",
    page: "identity.md",
    applies: (subject) =>
      (subject.server === "nginx" || subject.server === "haproxy") &&
      has(subject, "REMOTE_USER") &&
      /^basic /i.test(subject.params.get("HTTP_AUTHORIZATION") ?? "basic "),
  },
  {
    name: "httpoxy",
    says: "the client's Proxy header came as HTTP_PROXY, which programs take for their proxy (httpoxy)",
    remedy: 'Postern drops it; for others: nginx fastcgi_param HTTP_PROXY "";',
    page: "identity.md",
    applies: ({ pairs }) => pairs.some(([name, value]) => name === "HTTP_PROXY" && value !== ""),
  },
  {
    name: "length-minus-one",
    says: "CONTENT_LENGTH is -1: Caddy before 2.11 says so of a body of unknown length",
    remedy: "nothing to do: the body ends where STDIN does",
    page: "deploy/caddy.md",
    applies: ({ params }) => params.get("CONTENT_LENGTH") === "-1",
  },
  {
    name: "chunked-left-over",
    says: "HTTP_TRANSFER_ENCODING says chunked, but the web server has taken the chunks apart already",
    remedy: "nothing to do: the application sees a length, or a body of unknown length",
    page: "streaming.md",
    applies: (subject) => /chunked/i.test(subject.params.get("HTTP_TRANSFER_ENCODING") ?? ""),
  },
  {
    name: "content-headers-doubled",
    says: "HTTP_CONTENT_TYPE or HTTP_CONTENT_LENGTH came beside CONTENT_TYPE and CONTENT_LENGTH",
    remedy: "nothing to do: only the latter are the web server's word, and only they are used",
    page: "identity.md",
    applies: ({ pairs }) => pairs.some(([name]) => /^HTTP_CONTENT_(?:TYPE|LENGTH)$/.test(name)),
  },
  {
    name: "odd-header-names",
    says: "a header came with a dot in its name: this server lets odd names through, and X_Foo becomes one with X-Foo",
    remedy: "do not take a header for the web server's word; nginx, Apache and HAProxy drop such names",
    page: "identity.md",
    applies: ({ pairs }) => pairs.some(([name]) => /^HTTP_[^.]*\./.test(name)),
  },
  {
    name: "duplicate-parameter",
    says: "a parameter came more than once: of headers both are passed, of others the last counts",
    remedy: "look for a fastcgi_param that an include has too; a repeated header is no fault",
    page: "identity.md",
    applies: ({ pairs }) => {
      const names = pairs
        .map(([name]) => name)
        .filter((name) => !name.startsWith("HTTP_") || name === "HTTP_HOST");
      return new Set(names).size !== names.length;
    },
  },
  {
    name: "host-without-port",
    says: "HTTP_HOST has no port, though the site is not at its scheme's own: absolute URLs will lack it",
    remedy: "nginx: fastcgi_param HTTP_HOST $http_host; (Debian's fastcgi_params has $host)",
    page: "deploy/nginx.md",
    applies: ({ params, server, seen }) => {
      const port = params.get("SERVER_PORT");
      const host = params.get("HTTP_HOST");
      if (server !== "nginx" || !port || !host || seen === undefined || seen.facts.forwardedBy) return false;
      return !/:\d+$/.test(host) && port !== (seen.facts.https ? "443" : "80");
    },
  },
  {
    name: "https-missing",
    says: "the client came to port 443, but nothing says https: redirects and cookies will be made for http",
    remedy: "pass HTTPS or REQUEST_SCHEME; behind a proxy that ends TLS, name it in trustProxy",
    page: "identity.md",
    applies: ({ params, seen }) =>
      seen !== undefined &&
      !seen.facts.https &&
      (params.get("SERVER_PORT") === "443" || /:443$/.test(params.get("HTTP_HOST") ?? "")),
  },
  {
    name: "forwarded-not-believed",
    says: "X-Forwarded-* or Forwarded came, and is not believed: whoever asks can write it",
    remedy: "if a proxy of yours is in front of the web server, name its address in trustProxy",
    page: "identity.md",
    // Caddy writes them itself, of what it knows.
    applies: ({ pairs, seen, server }) =>
      server !== "caddy" &&
      seen?.facts.forwardedBy === undefined &&
      pairs.some(
        ([name, value]) =>
          /^HTTP_(?:X_FORWARDED_(?:FOR|PROTO|HOST|PORT)|FORWARDED)$/.test(name) && value !== "",
      ),
  },
  {
    name: "internal-redirect",
    says: "parameters came under REDIRECT_ names: Apache redirected the request internally (a rewrite, ErrorDocument)",
    remedy: "nothing to do: Authorization is looked for there as well",
    page: "deploy/apache.md",
    applies: ({ pairs }) =>
      pairs.some(([name]) => name.startsWith("REDIRECT_") && name !== "REDIRECT_STATUS"),
  },
  {
    name: "mount-in-path-info",
    says: "h2o never sends SCRIPT_NAME: below a path, the mount is part of PATH_INFO",
    remedy: 'state the mount: base: "/x"',
    page: "deploy/h2o.md",
    applies: ({ server, rules }) => server === "h2o" && rules.mount.kind === "auto",
  },
  {
    name: "upgrade-asked",
    says: "the client asks to leave HTTP (WebSocket); most web servers cannot pass that on over FastCGI",
    remedy: "lighttpd 1.4.74 and newer can; elsewhere let the web server pass that path on by HTTP (wsHttp)",
    page: "websocket.md",
    applies: (subject) => has(subject, "HTTP_UPGRADE"),
  },
];

/** Which web server this is, by what it calls itself, or by how it sends things. */
export function serverOf(params: ParamSource): WebServerName | undefined {
  const software = params.get("SERVER_SOFTWARE") ?? "";
  for (const [pattern, name] of SOFTWARE) if (pattern.test(software)) return name;
  return undefined;
}

const SOFTWARE: readonly (readonly [RegExp, WebServerName])[] = [
  [/^nginx/i, "nginx"],
  [/^Apache/i, "apache"],
  [/^lighttpd/i, "lighttpd"],
  [/^Caddy/i, "caddy"],
  [/^HAProxy/i, "haproxy"],
  [/^h2o/i, "h2o"],
  [/^Cherokee/i, "cherokee"],
];
