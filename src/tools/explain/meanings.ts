/** What parameters mean, and whose word each is. RFC 3875 §4.1, and what web servers add. */

export interface Meaning {
  /** A short description. */
  readonly means: string;
  /** The client said it: anybody can send anything. Everything else is the web server's word. */
  readonly isClients: boolean;
}

const MEANINGS: Readonly<Record<string, string>> = {
  AUTH_TYPE: "how REMOTE_USER was authenticated",
  CONTENT_LENGTH: "bytes of the request body, as announced",
  CONTENT_TYPE: "what the request body is",
  DOCUMENT_ROOT: "the web server's folder of files",
  DOCUMENT_URI: "the path, decoded (nginx)",
  FCGI_ROLE: "the role that the application plays, in Apache's words",
  FCGI_DATA_LAST_MOD: "a filter's data: when it was changed",
  FCGI_DATA_LENGTH: "a filter's data: its bytes",
  GATEWAY_INTERFACE: "the version of CGI",
  HTTPS: "whether the client came over TLS",
  PATH: "the web server's own PATH, for programs",
  PATH_INFO: "the path inside the mount, decoded",
  PATH_TRANSLATED: "PATH_INFO as a file below DOCUMENT_ROOT",
  QUERY_STRING: "what follows the question mark, as sent",
  REDIRECT_STATUS: "status of an internal redirect; php-cgi insists on it",
  REDIRECT_URL: "the path before an internal redirect",
  REMOTE_ADDR: "the address that the web server was asked from",
  REMOTE_HOST: "its name",
  REMOTE_IDENT: "its user by RFC 1413, which proves nothing",
  REMOTE_PORT: "its port",
  REMOTE_USER: "who has logged in to the web server",
  REQUEST_METHOD: "the method",
  REQUEST_SCHEME: "http or https",
  REQUEST_URI: "path and query as the client sent them",
  SCRIPT_FILENAME: "the file that answers, for applications that are files",
  SCRIPT_NAME: "where the application is mounted",
  SCRIPT_URI: "the whole URL (mod_rewrite)",
  SCRIPT_URL: "the path (mod_rewrite, Cherokee)",
  SERVER_ADDR: "the web server's address",
  SERVER_ADMIN: "the web server's administrator (Apache)",
  SERVER_NAME: "the site's name",
  SERVER_PORT: "the port that the client came to",
  SERVER_PROTOCOL: "the version of HTTP",
  SERVER_SIGNATURE: "Apache's line under error pages",
  SERVER_SOFTWARE: "the web server",
  UNIQUE_ID: "the request's name in the web server's log",
  REQUEST_ID: "the request's name in the web server's log",
};

/** @param name of any parameter */
export function meaningOf(name: string): Meaning {
  const known = MEANINGS[name];
  if (known !== undefined) return { means: known, isClients: false };
  if (name.startsWith("HTTP_")) {
    const header = name.slice("HTTP_".length).toLowerCase().replaceAll("_", "-");
    return { means: `the header ${header}`, isClients: true };
  }
  const bare = name.replace(/^(?:REDIRECT_)+/, "");
  if (bare !== name)
    return { ...meaningOf(bare), means: `${meaningOf(bare).means}; before an internal redirect` };
  if (/^(?:SSL|TLS)_CLIENT_/.test(name)) return { means: "the client's certificate", isClients: false };
  if (/^(?:SSL|TLS)_/.test(name)) return { means: "the TLS connection", isClients: false };
  if (/^(?:PHP_(?:ADMIN_)?VALUE)$/.test(name)) return { means: "settings for php-fpm", isClients: false };
  return { means: "not of CGI: the web server's configuration adds it", isClients: false };
}
