/**
 * Who vouches for what: the parameters that the web server made itself, by name and with types, apart from the headers
 * that the client sent. `docs/identity.md` says what each is worth behind which server.
 */
import { type ClientCertificate, clientCertificate, firstOf } from "./client-certificate.ts";
import { addresses, authority, type ParamSource, scheme } from "./environ.ts";

/** What the web server tells about the TLS connection. */
export interface TlsConnection {
  /** Such as `TLSv1.3`. */
  readonly protocol: string | undefined;
  /** The cipher suite. */
  readonly cipher: string | undefined;
  /** The name the client asked for in the handshake (SNI). The client chooses it. */
  readonly serverName: string | undefined;
}

/** Facts that the web server vouches for, as opposed to headers, which the client sends. Empty values are undefined. */
export interface GatewayFacts {
  /**
   * REMOTE_USER: who has logged in to the web server. nginx and HAProxy fill it from any Basic header without asking
   * for a password: there it is proof only where the web server is configured to authenticate (`auth_basic`).
   */
  readonly remoteUser: string | undefined;
  /** AUTH_TYPE: how, such as `Basic`. HAProxy sends it without having checked anything, nginx never. */
  readonly authType: string | undefined;
  /** The client's address: REMOTE_ADDR, or what `trustProxy` makes of it. Behind a proxy that is not named, the proxy's. */
  readonly remoteAddress: string | undefined;
  /** The client's port. Of a client behind proxies only where they tell it. */
  readonly remotePort: number | undefined;
  /** The address that the web server saw, when that is a proxy named in `trustProxy`; else undefined. */
  readonly forwardedBy: string | undefined;
  /** SERVER_ADDR: the web server's address. */
  readonly serverAddress: string | undefined;
  /** SERVER_NAME: the name of the site in the web server's configuration. HAProxy and h2o put the Host header here. */
  readonly serverName: string | undefined;
  /** SERVER_PORT: the port the client came to. */
  readonly serverPort: number | undefined;
  /** SERVER_SOFTWARE, such as `nginx/1.30.6`. */
  readonly serverSoftware: string | undefined;
  /** Whether the client came over TLS: HTTPS, REQUEST_SCHEME, or what a named proxy says. */
  readonly https: boolean;
  readonly scheme: "http" | "https";
  /** Host and port for URLs. The client chooses it, unless the web server answers for its own names alone. */
  readonly host: string;
  /** DOCUMENT_ROOT. */
  readonly documentRoot: string | undefined;
  /** SCRIPT_NAME as sent. For the mount see `base`. */
  readonly scriptName: string | undefined;
  /** PATH_INFO as sent: decoded by the web server. */
  readonly pathInfo: string | undefined;
  /** What the web server calls this request in its own log: UNIQUE_ID (Apache's mod_unique_id) or REQUEST_ID. */
  readonly requestId: string | undefined;
  /** The TLS connection of the client; undefined without TLS, or when a proxy has ended it. */
  readonly tls: TlsConnection | undefined;
  /** The certificate the client has shown; undefined without one. Look at `isVerified` first. */
  readonly clientCertificate: ClientCertificate | undefined;
}

const REQUEST_ID = ["UNIQUE_ID", "REQUEST_ID", "X_REQUEST_ID"];
const SERVER_NAME = ["SSL_TLS_SNI", "SSL_SERVER_NAME"];

/**
 * @param client the parameters as `trustProxy` lets them be seen
 * @param sent the parameters as the web server sent them
 */
export function gatewayFacts(client: ParamSource, sent: ParamSource): GatewayFacts {
  const get = (name: string): string | undefined => client.get(name) || undefined;
  const { remoteAddress, remotePort, localAddress, localPort } = addresses(client);
  const isSecure = scheme(client) === "https";
  const hop = sent.get("REMOTE_ADDR") || undefined;
  return Object.freeze({
    remoteUser: get("REMOTE_USER"),
    authType: get("AUTH_TYPE"),
    remoteAddress,
    remotePort,
    forwardedBy: client !== sent && hop !== remoteAddress ? hop : undefined,
    serverAddress: localAddress,
    serverName: get("SERVER_NAME"),
    serverPort: localPort,
    serverSoftware: get("SERVER_SOFTWARE"),
    https: isSecure,
    scheme: isSecure ? "https" : "http",
    host: authority(client),
    documentRoot: get("DOCUMENT_ROOT"),
    scriptName: get("SCRIPT_NAME"),
    pathInfo: get("PATH_INFO"),
    requestId: firstOf(client, REQUEST_ID),
    tls: tlsConnection(client),
    clientCertificate: clientCertificate(client),
  });
}

/** The TLS connection of the client, as far as the web server tells of it. */
export function tlsConnection(params: ParamSource): TlsConnection | undefined {
  if (scheme(params) !== "https") return undefined;
  const tls = {
    protocol: firstOf(params, ["SSL_PROTOCOL"]),
    cipher: firstOf(params, ["SSL_CIPHER"]),
    serverName: firstOf(params, SERVER_NAME),
  };
  const { protocol, cipher, serverName } = tls;
  return (protocol ?? cipher ?? serverName) === undefined ? undefined : Object.freeze(tls);
}
