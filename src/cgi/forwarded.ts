/**
 * What proxies in front of the web server say about the client: X-Forwarded-For, -Proto, -Host and -Port, or
 * Forwarded (RFC 7239). Anybody can send these headers, so they are read only when the address that the web server
 * saw belongs to a proxy the operator has named, and only as far as named proxies wrote them.
 *
 * Every proxy appends. So lists are read from the right: the first address that is not a named proxy's is the
 * client's, and what stands left of it was sent by that client. X-Forwarded-* go first, because most proxies that write
 * them pass a `Forwarded` of the client on as it is; Forwarded counts where none of them is there.
 *
 * Whatever makes no sense is ignored, and what the web server says itself stays. Nothing here throws.
 */
import { isAuthority, type ParamSource, scheme } from "./environ.ts";

/** Which addresses belong to proxies in front of the web server. */
export interface HopTrust {
  /** Whether the text is an IP address. */
  isAddress(text: string): boolean;
  /** Whether it is the address of a named proxy. */
  trusts(address: string): boolean;
}

/** Parameters about the connection to the web server, see client-certificate.ts for the names. */
const ABOUT_TLS = /^(?:(?:SSL|TLS)_|VERIFIED$|DN$)/;
/** Most proxies in a row that are followed. */
const MOST_HOPS = 32;
/** Longest element of a Forwarded header that is looked at, in characters. */
const MOST_ELEMENT = 1024;

interface Node {
  readonly address: string;
  readonly port: string | undefined;
}

/** What the outermost named proxy says. Undefined is: nothing, or nothing sensible. */
interface Said {
  client: Node | undefined;
  scheme: "http" | "https" | undefined;
  host: string | undefined;
  port: string | undefined;
}

/** The parameters as they would be if the client had come without the proxies; the same ones when nobody is to be believed. */
export function throughHops(params: ParamSource, trust: HopTrust): ParamSource {
  if (!trust.trusts(params.get("REMOTE_ADDR") ?? "")) return params;
  const said = fromXForwarded(params, trust) ?? fromForwarded(params, trust);
  return said === undefined ? params : new OfTheClient(params, said);
}

function fromXForwarded(params: ParamSource, trust: HopTrust): Said | undefined {
  const chain = joined(params, "HTTP_X_FORWARDED_FOR");
  const proto = joined(params, "HTTP_X_FORWARDED_PROTO");
  const host = joined(params, "HTTP_X_FORWARDED_HOST");
  const port = joined(params, "HTTP_X_FORWARDED_PORT");
  if (chain === "" && proto === "" && host === "" && port === "") return undefined;
  let client: Node | undefined;
  let hops = 1; // who writes the other headers for us: as many from the right as there are named proxies
  const entries = fromTheRight(chain);
  for (let entry = entries(); entry !== undefined && hops < MOST_HOPS; entry = entries()) {
    const node = readNode(entry, trust);
    if (node === undefined) break;
    client = node;
    if (!trust.trusts(node.address)) break;
    hops++;
  }
  return {
    client,
    scheme: readScheme(nthFromTheRight(proto, hops)),
    host: readHost(nthFromTheRight(host, hops)),
    port: readPort(nthFromTheRight(port, hops)),
  };
}

function fromForwarded(params: ParamSource, trust: HopTrust): Said | undefined {
  const elements = fromTheRight(joined(params, "HTTP_FORWARDED"));
  const said: Said = { client: undefined, scheme: undefined, host: undefined, port: undefined };
  let hops = 0;
  for (let element = elements(); element !== undefined && hops < MOST_HOPS; element = elements()) {
    const pairs = readElement(element);
    if (pairs === undefined) break;
    hops++;
    said.scheme = readScheme(pairs["proto"]) ?? said.scheme;
    said.host = readHost(pairs["host"]) ?? said.host;
    const node = readNode(pairs["for"] ?? "", trust);
    if (node === undefined) break;
    said.client = node;
    if (!trust.trusts(node.address)) break;
  }
  return hops === 0 ? undefined : said;
}

/** All values of a header, in the order of the wire. */
function joined(params: ParamSource, name: string): string {
  let text = "";
  params.each(name, (param, value) => {
    if (param === name) text = text === "" ? value : `${text},${value}`;
  });
  return text;
}

/** Gives the entries of a list from its end; empty ones are left out. A comma in a quoted text separates nothing. */
function fromTheRight(list: string): () => string | undefined {
  let end = list.length;
  return () => {
    while (end >= 0) {
      let at = end - 1;
      let isQuoted = false;
      // From the right, so that a quotation mark of the client's cannot reach what a proxy wrote behind it.
      while (at >= 0 && (isQuoted || list[at] !== ",")) {
        if (list[at] === '"' && list[at - 1] !== "\\") isQuoted = !isQuoted;
        at--;
      }
      const entry = list.slice(at + 1, end).trim();
      end = at;
      if (entry !== "") return entry;
    }
    return undefined;
  };
}

/** The entry of the outermost named proxy. A list may be shorter: some proxies replace what came. */
function nthFromTheRight(list: string, nth: number): string | undefined {
  const entries = fromTheRight(list);
  let found = entries();
  for (let at = 1; at < nth && found !== undefined; at++) {
    const next = entries();
    if (next === undefined) break;
    found = next;
  }
  return found;
}

/** `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; not `unknown`, not `_hidden`. */
function readNode(text: string, trust: HopTrust): Node | undefined {
  const bracketed = /^\[([\da-fA-F:.]+)\](?::(\d{1,5}))?$/.exec(text);
  const plain = bracketed ?? /^([\d.]+):(\d{1,5})$/.exec(text);
  const address = (plain?.[1] ?? text).replace(/^::ffff:(?=\d+\.)/i, "");
  if (address.includes("%") || !trust.isAddress(address)) return undefined;
  return { address, port: readPort(plain?.[2]) };
}

function readScheme(text: string | undefined): "http" | "https" | undefined {
  const word = text?.toLowerCase();
  return word === "http" || word === "https" ? word : undefined;
}

function readHost(text: string | undefined): string | undefined {
  return text !== undefined && isAuthority(text) ? text : undefined;
}

function readPort(text: string | undefined): string | undefined {
  if (text === undefined || !/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port > 0 && port < 65536 ? String(port) : undefined;
}

/** One element of Forwarded, names in lower case. RFC 7239 §4. */
function readElement(element: string): Record<string, string> | undefined {
  if (element.length > MOST_ELEMENT) return undefined;
  const pairs: Record<string, string> = Object.create(null);
  const pair = /\s*([!#$%&'*+.^_`|~\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))\s*(?:;|$)/y;
  while (pair.lastIndex < element.length) {
    const found = pair.exec(element);
    if (found === null) return undefined;
    pairs[found[1]!.toLowerCase()] = found[3] ?? found[2]!.replace(/\\(.)/g, "$1");
  }
  return pairs;
}

/** The parameters of a request with what was said about its client in their place. */
class OfTheClient implements ParamSource {
  readonly #params: ParamSource;
  readonly #said: Said;
  readonly #host: string | undefined;
  readonly #port: string | undefined;

  constructor(params: ParamSource, said: Said) {
    this.#params = params;
    this.#said = said;
    const isSecure = (said.scheme ?? scheme(params)) === "https";
    const usual = isSecure ? "443" : "80";
    const host = said.host ?? readHost(params.get("HTTP_HOST"));
    const own = host === undefined ? undefined : /:(\d+)$/.exec(host)?.[1];
    const isMoved = said.host !== undefined || said.scheme !== undefined;
    this.#port = said.port ?? (isMoved ? (own ?? usual) : params.get("SERVER_PORT"));
    const needsPort =
      host !== undefined && own === undefined && said.port !== undefined && said.port !== usual;
    this.#host = needsPort ? `${host}:${said.port}` : (said.host ?? params.get("HTTP_HOST"));
  }

  get(name: string): string | undefined {
    const { client, scheme } = this.#said;
    switch (name) {
      case "REMOTE_ADDR":
        return client?.address ?? this.#params.get(name);
      case "REMOTE_PORT":
        return client === undefined ? this.#params.get(name) : client.port;
      case "REMOTE_HOST":
      case "REMOTE_IDENT":
        return undefined; // the proxy's
      case "HTTPS":
        return scheme === undefined ? this.#params.get(name) : scheme === "https" ? "on" : "";
      case "REQUEST_SCHEME":
        return scheme ?? this.#params.get(name);
      case "HTTP_HOST":
        return this.#host;
      case "SERVER_PORT":
        return this.#port;
      default:
        // The certificate and the cipher of a proxy's connection say nothing about the client's.
        return ABOUT_TLS.test(name) ? undefined : this.#params.get(name);
    }
  }

  each(prefix: string, visit: (name: string, value: string) => void): void {
    this.#params.each(prefix, visit);
  }
}
