/**
 * What every application may expect of Postern, whatever web server stands in front: the suite as data.
 * A behaviour that some server cannot show says which do show it (`on`), with the reason beside it.
 */
import { createHash } from "node:crypto";
import { expect } from "vitest";
import { connectHttp, type HttpAnswer, type RawResponse, request } from "../http.ts";
import type { WebServer } from "../web-servers/web-server.ts";
import type { Echo, FormName, Probe } from "./probe.ts";
import type { Served, Site } from "./served.ts";

export interface Context {
  readonly site: Site;
  readonly web: WebServer;
  readonly served: Served;
  readonly probe: Probe;
  readonly form: FormName;
}

export interface Behaviour {
  readonly name: string;
  readonly on?: (site: Site, form: FormName) => boolean;
  readonly test: (context: Context) => Promise<void>;
}

/** The answer of the probe, bytes as characters. */
export function echoOf(answer: { readonly status: number; readonly body: Buffer }): Echo {
  expect(answer.status, answer.body.toString("utf8")).toBe(200);
  return JSON.parse(answer.body.toString("latin1")) as Echo;
}

/** One request as written, on a raw connection; header lines without the Host, which is example.com. */
export async function ask(
  web: WebServer,
  head: string,
  body: string | Uint8Array = "",
): Promise<RawResponse> {
  const [first = "", ...lines] = head.split("\n");
  const client = await connectHttp(web.origin);
  try {
    const text = [`${first} HTTP/1.1`, "Host: example.com", "Connection: close", ...lines, "", ""].join(
      "\r\n",
    );
    await client.send(Buffer.concat([Buffer.from(text, "latin1"), Buffer.from(body)]));
    return await client.nextResponse({ headOnly: first.startsWith("HEAD "), timeoutMs: 10_000 });
  } finally {
    client.close();
  }
}

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** Request targets inside the mount. What the client sent is what the application sees, with two exceptions. */
const TARGETS: readonly (readonly [what: string, target: string, seen?: string])[] = [
  ["the mount itself", "/"],
  ["a plain path", "/a/b.html"],
  ["an encoded space", "/a%20b"],
  ["an encoded slash", "/a%2Fb/c"],
  ["encoded UTF-8", "/caf%C3%A9/x"],
  ["an encoded percent sign", "/100%25/x"],
  ["an encoded question mark", "/what%3F"],
  ["sub-delimiters", "/:@!$&'()*+,;=~"],
  ["a slash at the end", "/a/b/"],
  ["a query", "/x?a=1&b=%20&c"],
  ["an empty query", "/x?"],
  ["a query of its own kind", "/x?q=a/b?c=%zz"],
  ["a doubled slash", "/a//b/"],
  ["dots inside a name", "/a..b/.hidden/..."],
];

export const urlBehaviours: readonly Behaviour[] = [
  ...TARGETS.map(
    ([what, target]): Behaviour => ({
      name: `URL: ${what} arrives as the client sent it, and the mount beside it`,
      async test({ web, site }) {
        const echo = echoOf(await ask(web, `GET ${site.mount}${target}`));
        expect(echo).toMatchObject({ url: target, baseUrl: site.mount, originalUrl: site.mount + target });
      },
    }),
  ),
  {
    name: "URL: raw UTF-8 bytes arrive",
    async test({ web, site, form }) {
      const echo = echoOf(await ask(web, `GET ${site.mount}/caf\xc3\xa9?x=\xc3\xa9`));
      // A URL of the fetch standard is ASCII.
      expect(echo.url).toBe(form === "fetch" ? "/caf%C3%A9?x=%C3%A9" : "/caf\xc3\xa9?x=\xc3\xa9");
    },
  },
  {
    name: "URL: dot segments lead nowhere outside the mount",
    async test({ web, site }) {
      const echo = echoOf(await ask(web, `GET ${site.mount}/x/../y/./z?q`));
      expect(["/x/../y/./z?q", "/y/z?q"]).toContain(echo.url);
      expect(echo.baseUrl).toBe(site.mount);
      const outside = await ask(web, `GET ${site.mount}/../../etc/passwd`);
      if (outside.status === 200) expect(echoOf(outside).url).not.toMatch(/^[^/]/);
      else expect(outside.status).toBeGreaterThanOrEqual(400);
    },
  },
  {
    name: "URL: the mount without its slash is the application's root",
    // lighttpd sends the same parameters for a root mount without its fix: `base` says which it is.
    on: (site, form) =>
      site.mount !== "" && form !== "fetch" && (site.web !== "lighttpd" || site.server?.base !== undefined),
    async test({ web, site }) {
      const echo = echoOf(await ask(web, `GET ${site.mount}?a=1`));
      expect(echo).toMatchObject({ url: "/?a=1", baseUrl: site.mount });
    },
  },
  {
    name: "URL: an absolute-form target is the same request",
    async test({ web, site }) {
      const echo = echoOf(await ask(web, `GET http://example.com${site.mount}/abs?x=1`));
      expect(echo.url).toBe("/abs?x=1");
    },
  },
  {
    name: "URL: a path is routed and decoded by the framework",
    on: (_site, form) => form === "express",
    async test({ web, site }) {
      const answer = await ask(web, `GET ${site.mount}/express/named/caf%C3%A9%2Fx`);
      expect(answer.body.toString("utf8")).toBe("café/x");
    },
  },
];

export const headerBehaviours: readonly Behaviour[] = [
  ...["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"].map(
    (method): Behaviour => ({
      name: `method ${method} arrives`,
      async test({ web, site }) {
        const length =
          method === "POST" || method === "PUT" || method === "PATCH" ? "\nContent-Length: 0" : "";
        expect(echoOf(await ask(web, `${method} ${site.mount}/m${length}`)).method).toBe(method);
      },
    }),
  ),
  {
    name: "method of our own arrives",
    on: (site) => site.web !== "lighttpd", // 501
    async test({ web, site }) {
      expect(echoOf(await ask(web, `FROBNICATE ${site.mount}/m`)).method).toBe("FROBNICATE");
    },
  },
  {
    name: "method HEAD: the head of GET and no body, and the client's connection goes on",
    async test({ web, site }) {
      const client = await connectHttp(web.origin);
      const line = (method: string): string =>
        `${method} ${site.mount}/h HTTP/1.1\r\nHost: example.com\r\n\r\n`;
      await client.send(line("HEAD"));
      const head = await client.nextResponse({ headOnly: true });
      expect(head.status).toBe(200);
      expect(head.header("content-type")[0]).toMatch(/^application\/json/);
      await client.send(line("GET"));
      expect(echoOf(await client.nextResponse()).method).toBe("GET");
      client.close();
    },
  },
  {
    name: "headers: names in lower case, values byte for byte, duplicates joined, look-alikes apart",
    async test({ web, site, form }) {
      const long = "v".repeat(6000);
      const lines = [
        "X-Case: MiXed",
        `X-Long: ${long}`,
        'X-Odd: a\tb \xe9\xc3\xa9 "q" \\ ;,=',
        "X-Twice: 1",
        "X-Twice: 2",
        "Accept: a/b",
        "Script-Name: /evil",
        "HTTPS: on",
        "User-Agent: probe/1",
        "Referer: http://example.com/r?a=b",
      ];
      const { headers, baseUrl, params } = echoOf(await ask(web, `GET ${site.mount}/h\n${lines.join("\n")}`));
      expect(headers).toMatchObject({
        host: "example.com",
        "x-case": "MiXed",
        "x-long": long,
        "x-odd": 'a\tb \xe9\xc3\xa9 "q" \\ ;,=',
        "x-twice": "1, 2",
        accept: "a/b",
        "user-agent": "probe/1",
        referer: "http://example.com/r?a=b",
        "script-name": "/evil",
        https: "on",
      });
      expect(baseUrl).toBe(site.mount);
      expect(params["HTTPS"] ?? "").not.toBe("on");
      if (form !== "fetch") expect(headers["content-length"] ?? "0").toBe("0");
    },
  },
  {
    name: "headers: cookies and credentials arrive, a Proxy header never does",
    async test({ web, site }) {
      const lines = "Cookie: a=1; b=2\nAuthorization: Basic dTpw\nProxy: http://evil.example/";
      const { headers } = echoOf(await ask(web, `GET ${site.mount}/h\n${lines}`));
      expect(headers).toMatchObject({ cookie: "a=1; b=2", authorization: "Basic dTpw" });
      expect(headers).not.toHaveProperty("proxy");
    },
  },
  {
    name: "headers: two Cookie lines are one",
    async test({ web, site }) {
      const { headers } = echoOf(await ask(web, `GET ${site.mount}/h\nCookie: a=1\nCookie: b=2`));
      // Apache joins them itself, as it joins every header.
      expect(headers["cookie"]).toBe(site.web === "apache" ? "a=1, b=2" : "a=1; b=2");
    },
  },
  {
    name: "the client's address, the protocol and the server are what the web server says",
    async test({ web, site, form }) {
      const echo = echoOf(await ask(web, `GET ${site.mount}/h\nX-Forwarded-For: 6.6.6.6`));
      expect(echo.remoteAddress).toBe("127.0.0.1");
      if (form !== "fetch") expect(echo.httpVersion).toBe("1.1");
      // Apache takes the port from the Host header.
      const port = site.web === "apache" ? "80" : String(web.port);
      expect(echo.params).toMatchObject({ GATEWAY_INTERFACE: "CGI/1.1", SERVER_PORT: port });
    },
  },
];

/** What an answer says of a body of these bytes. */
function expectBody(echo: Echo, body: Uint8Array): void {
  expect(echo).toMatchObject({ bodyBytes: body.length, bodySha256: sha256(body), complete: true });
}

const post = (
  web: WebServer,
  site: Site,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Promise<HttpAnswer> => request(`${web.origin}${site.mount}/upload`, { method: "POST", body, headers });

export const bodyBehaviours: readonly Behaviour[] = [
  {
    name: "body: with a length, byte for byte",
    async test({ web, site }) {
      const body = Buffer.from(Array.from({ length: 70_000 }, (_, at) => at % 256));
      const echo = echoOf(await post(web, site, body, { "Content-Type": "application/x-bytes" }));
      expectBody(echo, body);
      expect(echo.headers).toMatchObject({
        "content-type": "application/x-bytes",
        "content-length": "70000",
      });
    },
  },
  {
    name: "body: chunked, as a whole",
    async test({ web, site }) {
      const chunks = "5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n";
      const answer = await ask(web, `POST ${site.mount}/upload\nTransfer-Encoding: chunked`, chunks);
      expectBody(echoOf(answer), Buffer.from("hello world"));
    },
  },
  {
    name: "body: empty",
    async test({ web, site }) {
      expectBody(echoOf(await post(web, site, new Uint8Array(0))), new Uint8Array(0));
    },
  },
  {
    name: "body: 5 MB",
    async test({ web, site }) {
      const body = Buffer.alloc(5_000_000);
      for (let at = 0; at < body.length; at += 4) body.writeUInt32LE((at * 2654435761) >>> 0, at);
      expectBody(echoOf(await post(web, site, body)), body);
    },
  },
  {
    name: "body: JSON is parsed by the framework",
    on: (_site, form) => form === "express",
    async test({ web, site }) {
      const answer = await request(`${web.origin}${site.mount}/express/json`, {
        body: '{"a":[1,"é"]}',
        headers: { "Content-Type": "application/json" },
      });
      expect(JSON.parse(answer.text)).toEqual({ got: { a: [1, "é"] } });
    },
  },
  {
    name: "body: nobody reads it, and the answer arrives all the same",
    on: (_site, form) => form !== "fetch",
    async test({ web, site, probe, served }) {
      const path = probe.route((_request, response) => response.end("not interested"));
      const body = new Uint8Array(3_000_000);
      const answer = await request(`${web.origin}${site.mount}${path}`, { body });
      expect(answer).toMatchObject({ status: 200, text: "not interested" });
      expect(served.log.filter((entry) => entry.level === "error")).toEqual([]);
    },
  },
];
