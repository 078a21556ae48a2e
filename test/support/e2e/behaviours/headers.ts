/** Methods and request headers, and what the web server says of itself and of the client. */
import { expect } from "vitest";
import { connectHttp } from "../../http.ts";
import { ask, type Behaviour, echoOf, finalResponse, get, headOf, isPython, newId } from "./model.ts";

const WITH_BODY = ["POST", "PUT", "PATCH"];

export const methodBehaviours: readonly Behaviour[] = [
  ...["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT"].map(
    (method): Behaviour => ({
      name: `methods: ${method} arrives`,
      async test({ web, site }) {
        const length = WITH_BODY.includes(method) ? "\nContent-Length: 0" : "";
        const answer = await ask(web, `${method} ${site.mount}/m${length}`);
        if (answer.status !== 200) return String(answer.status);
        expect(echoOf(answer).method).toBe(method);
        return undefined;
      },
    }),
  ),
  {
    name: "methods: one of our own arrives",
    async test({ web, site }) {
      const answer = await ask(web, `FROBNICATE ${site.mount}/m`);
      if (answer.status !== 200) return String(answer.status);
      expect(echoOf(answer).method).toBe("FROBNICATE");
      return undefined;
    },
  },
  {
    name: "methods: TRACE is refused by the web server",
    // A Request of the fetch standard cannot be made with it.
    left: ({ form }) => (form === "fetch" ? "asked where a listener is behind it" : undefined),
    async test({ web, site }) {
      const answer = await ask(web, `TRACE ${site.mount}/m`);
      if ([403, 405, 501].includes(answer.status)) return undefined;
      return answer.body.toString().includes("originalUrl") ? "passed on" : String(answer.status);
    },
  },
  {
    name: "methods: HEAD gets the head of GET and no body, and the client's connection goes on",
    async test({ web, site, expected }) {
      const client = await connectHttp(web.origin);
      await client.send(headOf(`HEAD ${site.mount}/h`));
      const head = await finalResponse(client, true);
      expect(head.status).toBe(200);
      expect(head.header("content-type")[0]).toMatch(/^application\/json/);
      await client.send(headOf(`GET ${site.mount}/h`)).catch(() => {});
      if (expected !== undefined) {
        // Nothing but the head came.
        expect(await client.waitForEnd()).toMatch(/^HTTP\/1\.1 200 [\s\S]*\r\n\r\n$/);
        return "closed after it";
      }
      expect(echoOf(await finalResponse(client)).method).toBe("GET");
      client.close();
      return undefined;
    },
  },
  {
    name: "methods: HEAD tells the length that GET has",
    async test({ web, site }) {
      const head = await ask(web, `HEAD ${site.mount}/probe/whole`);
      expect(head.status).toBe(200);
      const [length] = head.header("content-length");
      return length === "1000" ? undefined : (length ?? "no length");
    },
  },
];

/** Value of a header as the application sees it; `dropped` when it does not. */
async function seen(context: Parameters<Behaviour["test"]>[0], line: string, name: string): Promise<string> {
  const answer = await get(context, "/h", line);
  if (answer.status !== 200) return String(answer.status);
  return echoOf(answer).headers[name] ?? "dropped";
}

const LONG = "v".repeat(4000);

export const headerBehaviours: readonly Behaviour[] = [
  {
    name: "headers: names in lower case, values byte for byte, look-alikes of variables apart",
    async test(context) {
      const lines = [
        "X-Case: MiXed",
        `X-Long: ${LONG}`,
        'X-Odd: a\tb \xe9\xc3\xa9 "q" \\ ;,=',
        "Accept: a/b",
        "Script-Name: /evil",
        "Path-Info: /evil",
        "HTTPS: on",
        "HTTP-Host: evil.example",
        "Remote-User: evil",
        "User-Agent: probe/1",
        "Referer: http://example.com/r?a=b",
      ];
      const { headers, baseUrl, params, url } = echoOf(await get(context, "/h", lines.join("\n")));
      expect(headers).toMatchObject({
        host: "example.com",
        "x-case": "MiXed",
        "x-long": LONG,
        "x-odd": 'a\tb \xe9\xc3\xa9 "q" \\ ;,=',
        accept: "a/b",
        "user-agent": "probe/1",
        referer: "http://example.com/r?a=b",
        "script-name": "/evil",
        "path-info": "/evil",
        https: "on",
        "http-host": "evil.example",
        "remote-user": "evil",
      });
      expect([url, baseUrl]).toEqual(["/h", context.site.mount]);
      expect(params["HTTPS"] ?? "").not.toBe("on");
      expect(params["REMOTE_USER"] ?? "").toBe("");
      if (context.site.form !== "fetch") expect(headers["content-length"] ?? "0").toBe("0");
      return undefined;
    },
  },
  {
    name: "headers: one that comes twice is joined",
    async test(context) {
      expect(await seen(context, "X-Twice: 1\nX-Twice: 2", "x-twice")).toBe("1, 2");
      return undefined;
    },
  },
  {
    name: "headers: two Cookie lines are one, joined by a semicolon",
    async test(context) {
      const value = await seen(context, "Cookie: a=1\nCookie: b=2", "cookie");
      if (value === "a=1;b=2") return undefined;
      if (value === "a=1; b=2") return undefined;
      return value === "a=1, b=2" ? "joined by a comma" : value;
    },
  },
  {
    name: "headers: 60 cookies arrive",
    async test(context) {
      const cookies = Array.from({ length: 60 }, (_, n) => `cookie-${n}=value-of-it-${n}`).join("; ");
      expect(await seen(context, `Cookie: ${cookies}`, "cookie")).toBe(cookies);
      return undefined;
    },
  },
  {
    name: "headers: Authorization arrives",
    async test(context) {
      for (const value of ["Basic dTpw", "Bearer a.b-c_d=="]) {
        expect(await seen(context, `Authorization: ${value}`, "authorization")).toBe(value);
      }
      return undefined;
    },
  },
  {
    name: "headers: Proxy never arrives",
    async test(context) {
      expect(await seen(context, "Proxy: http://evil.example/", "proxy")).toBe("dropped");
      return undefined;
    },
  },
  {
    name: "headers: Proxy does not even reach Postern, as HTTP_PROXY",
    left: (site) =>
      isPython(site) ? "a WSGI application has no parameters but those in environ" : undefined,
    async test(context) {
      const { params } = echoOf(await get(context, "/h", "Proxy: http://evil.example/"));
      return (params["HTTP_PROXY"] ?? "") === "" ? undefined : "sent, and ignored";
    },
  },
  {
    name: "headers: an empty one arrives empty",
    async test(context) {
      const value = await seen(context, "X-Empty:", "x-empty");
      return value === "" ? undefined : value;
    },
  },
  {
    name: "headers: a name with an underscore is dropped",
    async test(context) {
      const value = await seen(context, "x_under_score: 1", "x-under-score");
      return value === "dropped" ? undefined : "as x-under-score";
    },
  },
  {
    name: "headers: a name with a dot is dropped",
    async test(context) {
      const { headers } = echoOf(await get(context, "/h", "X.Dot: 1"));
      const name = ["x.dot", "x-dot"].find((one) => headers[one] === "1");
      return name === undefined ? undefined : `as ${name}`;
    },
  },
  {
    name: "headers: X-Forwarded-For of the client arrives as a header and changes no fact",
    async test(context) {
      const echo = echoOf(await get(context, "/h", "X-Forwarded-For: 192.0.2.6"));
      expect(echo.remoteAddress).toBe("127.0.0.1");
      const value = echo.headers["x-forwarded-for"];
      if (value === "192.0.2.6") return undefined;
      expect(value).toBe("127.0.0.1");
      return "overwritten";
    },
  },
  {
    name: "headers: an Upgrade that is no WebSocket is answered as an ordinary request",
    async test(context) {
      const answer = await get(context, "/h", "Upgrade: foo/2");
      expect(echoOf(answer).url).toBe("/h");
      return undefined;
    },
  },
];

export const identityBehaviours: readonly Behaviour[] = [
  {
    name: "identity: the client's address and the protocol are what the web server says",
    async test(context) {
      const echo = echoOf(await get(context, "/h"));
      expect(echo.remoteAddress).toBe("127.0.0.1");
      expect(echo.httpVersion).toBe("1.1");
      expect(echo.params["REQUEST_SCHEME"] ?? "http").toBe("http");
      return undefined;
    },
  },
  {
    name: "identity: SERVER_PORT is the port that the web server listens on",
    async test(context) {
      const port = echoOf(await get(context, "/h")).params["SERVER_PORT"];
      return port === String(context.web.port) ? undefined : `${port}`;
    },
  },
  {
    name: "identity: the Host header arrives with its port",
    async test({ web, site }) {
      const client = await connectHttp(web.origin);
      const host = `example.com:${web.port}`;
      await client.send(`GET ${site.mount}/h HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      expect(echoOf(await finalResponse(client)).headers["host"]).toBe(host);
      client.close();
      return undefined;
    },
  },
  {
    name: "identity: nobody becomes REMOTE_USER by a Basic header that was not checked",
    async test(context) {
      const { params } = echoOf(await get(context, "/h", "Authorization: Basic YWRtaW46eA=="));
      expect(params["REMOTE_USER"] ?? "").toBe("");
      expect(params["REMOTE_PASSWD"] ?? "").toBe("");
      return undefined;
    },
  },
  {
    name: "identity: HTTP/1.0 without a Host is answered",
    async test({ web, site }) {
      const client = await connectHttp(web.origin);
      await client.send(`GET ${site.mount}/old?id=${newId()} HTTP/1.0\r\n\r\n`);
      const answer = await finalResponse(client);
      client.close();
      if (answer.status !== 200) return String(answer.status);
      expect(echoOf(answer).url).toMatch(/^\/old/);
      return undefined;
    },
  },
];
