/**
 * A behaviour of the suite: one row of the table in docs/web-servers.md. It is the same behind every web server unless
 * differences.ts says, with the reason, that this server shows it in another way: and then it has to show it in that way.
 */
import { createHash } from "node:crypto";
import { expect } from "vitest";
import { connectHttp, type HttpConnection, type RawResponse } from "../../http.ts";
import type { WebServer } from "../../web-servers/web-server.ts";
import type { Echo, Probe } from "../probe.ts";
import { pythonFormOf } from "../probe-python.ts";
import type { SuiteSite } from "../sites.ts";

export interface Context {
  readonly site: SuiteSite;
  readonly web: WebServer;
  readonly probe: Probe;
  /** What the client is seen to get here, when it is not what the row says: see differences.ts. */
  readonly expected: string | undefined;
}

export interface Behaviour {
  /** `chapter: sentence`. */
  readonly name: string;
  /** Why a site is not asked, if it is not. */
  readonly left?: (site: SuiteSite) => string | undefined;
  /**
   * Fails when neither what the row says nor any word of the differences is true.
   * @returns the word for what was seen; nothing when it is what the row says
   */
  readonly test: (context: Context) => Promise<string | undefined>;
}

export const isPython = ({ form }: SuiteSite): boolean => pythonFormOf(form) !== undefined;

/** The reason to leave out what only frameworks do. */
export const frameworkOnly = (site: SuiteSite): string | undefined =>
  site.form === "express" || isPython(site) ? undefined : "a behaviour of frameworks";

/**
 * A request target as the application sees it. A WSGI application sees the path decoded, without the difference of %2F
 * and a slash, and no question mark that nothing follows; the probe writes that as a URL in one way.
 */
export function seenBy(site: SuiteSite, target: string): string {
  if (!isPython(site)) return target;
  const [, path = "", search = ""] = /^([^?]*)(.*)$/s.exec(target) ?? [];
  const decoded = path.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const url = decoded.replaceAll(
    /[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
  return search === "?" ? url : url + search;
}

/** The answer of the probe, bytes as characters. */
export function echoOf(answer: { readonly status: number; readonly body: Buffer }): Echo {
  expect(answer.status, answer.body.toString("utf8")).toBe(200);
  return JSON.parse(answer.body.toString("latin1")) as Echo;
}

/** A connection with the beginning of a request on it; header lines without the Host, which is example.com. */
export async function begin(web: WebServer, head: string): Promise<HttpConnection> {
  const client = await connectHttp(web.origin);
  await client.send(headOf(head));
  return client;
}

/** A request head; `http` when the first line says no version. */
export function headOf(head: string): Buffer {
  const [first = "", ...lines] = head.split("\n");
  return Buffer.from([`${first} HTTP/1.1`, "Host: example.com", ...lines, "", ""].join("\r\n"), "latin1");
}

/** One request as written, on a connection of its own. */
export async function ask(
  web: WebServer,
  head: string,
  body: string | Uint8Array = "",
): Promise<RawResponse> {
  const client = await connectHttp(web.origin);
  try {
    const bytes = Buffer.concat([headOf(`${head}\nConnection: close`), Buffer.from(body)]);
    // A server that refuses the head may close before it has read the body.
    await client.send(bytes).catch(() => {});
    return await finalResponse(client, first(head) === "HEAD");
  } finally {
    client.close();
  }
}

/** The first answer that is not an interim one. */
export async function finalResponse(client: HttpConnection, headOnly = false): Promise<RawResponse> {
  for (;;) {
    const response = await client.nextResponse({ headOnly, timeoutMs: 10_000 });
    if (response.status >= 200) return response;
  }
}

const first = (head: string): string => head.slice(0, head.indexOf(" "));

/** GET of a path inside the mount. */
export const get = ({ web, site }: Context, path: string, lines = ""): Promise<RawResponse> =>
  ask(web, `GET ${site.mount}${path}${lines === "" ? "" : `\n${lines}`}`);

/** POST of a body with its length to a path inside the mount. */
export const post = (
  { web, site }: Context,
  path: string,
  body: string | Uint8Array,
  lines = "",
): Promise<RawResponse> =>
  ask(
    web,
    `POST ${site.mount}${path}\nContent-Length: ${Buffer.byteLength(body)}${lines === "" ? "" : `\n${lines}`}`,
    body,
  );

export const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** Pieces of a body as bytes, reproducible and not periodic. */
export function patterned(bytes: number): Buffer {
  const body = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) body.writeUInt32LE(Math.imul(at + 1, 2654435761) >>> 0, at);
  return body;
}

let count = 0;

/** A name for one request or gate. */
export function newId(): string {
  return `n${++count}`;
}
