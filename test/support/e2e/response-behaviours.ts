/** The suite, continued: what goes from the application to the client, and how connections live and end. */
import type { IncomingMessage } from "node:http";
import { expect } from "vitest";
import { fastcgi } from "../../../src/index.ts";
import { connectHttp, request } from "../http.ts";
import { waitFor } from "../wait.ts";
import { ask, type Behaviour, type Context, echoOf } from "./behaviours.ts";
import { gate, type Site } from "./served.ts";

const isNode: NonNullable<Behaviour["on"]> = (_site, form) => form !== "fetch";
const isExpress: NonNullable<Behaviour["on"]> = (_site, form) => form === "express";

/** Whether what the application has written reaches the client before the response is complete. */
function streams(site: Site): boolean {
  return site.streaming === true || (site.web === "nginx" && site.keepConn === true);
}

/** A client's connection with a GET sent on it. */
async function get({ web, site }: Context, path: string): ReturnType<typeof connectHttp> {
  const client = await connectHttp(web.origin);
  await client.send(`GET ${site.mount}${path} HTTP/1.1\r\nHost: example.com\r\n\r\n`);
  return client;
}

export const responseBehaviours: readonly Behaviour[] = [
  ...[204, 304].map(
    (status): Behaviour => ({
      name: `status ${status}: no body, whatever the application writes, and the client's connection goes on`,
      on: isNode,
      async test(context) {
        const path = context.probe.route((_request, response) => {
          response.statusCode = status;
          response.end("must not be seen");
        });
        const client = await get(context, path);
        expect((await client.nextResponse()).status).toBe(status);
        await client.send(`GET ${context.site.mount}/next HTTP/1.1\r\nHost: example.com\r\n\r\n`);
        expect(echoOf(await client.nextResponse()).url).toBe("/next");
        client.close();
      },
    }),
  ),
  {
    name: "status and reason of every kind pass",
    on: isNode,
    async test({ web, site, probe }) {
      const seen: number[] = [];
      const wanted = [200, 201, 203, 207, 400, 401, 403, 404, 409, 410, 418, 422, 429, 500, 503];
      for (const status of wanted) {
        const path = probe.route((_request, response) => {
          response
            .writeHead(status, { "Content-Type": "text/plain", "X-Own": `of ${status}` })
            .end(`page ${status}`);
        });
        const answer = await request(`${web.origin}${site.mount}${path}`);
        expect(answer.text).toBe(`page ${status}`);
        expect(answer.headers["x-own"]).toBe(`of ${status}`);
        seen.push(answer.status);
      }
      expect(seen).toEqual(wanted);
    },
  },
  {
    name: "redirects reach the client, and are not followed by the web server",
    on: isExpress,
    async test({ web, site, probe }) {
      const answer = await request(`${web.origin}${site.mount}/express/redirect`);
      expect(answer.status).toBe(303);
      expect(answer.headers.location?.replace(/^http:\/\/[^/]+/, "")).toBe(`${site.mount}/target`);
      const path = probe.route((_request, response) => {
        response.writeHead(201, { Location: "/made/1" }).end("made");
      });
      expect(await request(`${web.origin}${site.mount}${path}`)).toMatchObject({ status: 201, text: "made" });
    },
  },
  {
    name: "several Set-Cookie headers stay several",
    on: isExpress,
    async test({ web, site }) {
      const answer = await request(`${web.origin}${site.mount}/express/cookies`);
      expect(answer.headers["set-cookie"]).toEqual([
        "a=1; Path=/",
        "b=2%3B%203; Path=/; HttpOnly",
        "c=%C3%A9; Path=/",
      ]);
    },
  },
  {
    name: "a conditional GET is answered 304",
    on: isExpress,
    async test({ web, site }) {
      const url = `${web.origin}${site.mount}/express/tagged`;
      const { headers, text } = await request(url);
      expect(text).toBe("the same every time");
      const again = await request(url, { headers: { "If-None-Match": headers.etag ?? "" } });
      expect([again.status, again.text]).toEqual([304, ""]);
    },
  },
  {
    name: "an exception is a 500 without the reason, which is in the web server's error log",
    // Express answers what its handlers throw by itself; an http.Server hears of no rejection.
    on: (_site, form) => form === "listener",
    async test({ web, site, probe }) {
      const path = probe.route(async () => {
        throw new Error("the reason");
      });
      const answer = await request(`${web.origin}${site.mount}${path}?query`);
      expect(answer.status).toBe(500);
      expect(answer.text).not.toContain("the reason");
      await web.waitForErrorLog(new RegExp(`GET ${site.mount}${path}\\?query: Error: the reason`));
    },
  },
  {
    name: "what the application writes to FCGI_STDERR is in the web server's error log",
    on: isNode,
    async test({ web, site, probe }) {
      const path = probe.route((incoming, response) => {
        fastcgi(incoming).stderr.write(`a note from ${path}\n`);
        response.end("noted");
      });
      expect((await request(`${web.origin}${site.mount}${path}`)).text).toBe("noted");
      await web.waitForErrorLog(new RegExp(`a note from ${path}`));
    },
  },
  {
    name: "a response in pieces reaches the client piece by piece",
    on: (site, form) => streams(site) && form !== "fetch",
    test: (context) => expectPieces(context, "text/plain"),
  },
  {
    name: "server-sent events reach the client one by one",
    // nginx heeds X-Accel-Buffering; the others stream when they are told to.
    on: (site, form) => (streams(site) || site.web === "nginx") && form !== "fetch",
    test: (context) => expectPieces(context, "text/event-stream"),
  },
  {
    name: "a large response is whole",
    on: isNode,
    async test({ web, site, probe }) {
      const path = probe.route((_request, response) => {
        for (let at = 0; at < 80; at++) response.write(Buffer.alloc(65_536, at));
        response.end();
      });
      const { body } = await request(`${web.origin}${site.mount}${path}`);
      expect(body.length).toBe(80 * 65_536);
      for (let at = 0; at < 80; at++) expect(body[at * 65_536 + 65_535]).toBe(at);
    },
  },
];

/** The second piece is written only when the client has the first. */
async function expectPieces(context: Context, type: string): Promise<void> {
  const hasFirst = gate();
  const path = context.probe.route(async (_request, response) => {
    response.setHeader("Content-Type", type);
    response.write("data: first\n\n");
    await hasFirst.opened;
    response.end("data: second\n\n");
  });
  const client = await get(context, path);
  await client.waitForText(/data: first/);
  expect(client.text()).not.toContain("second");
  hasFirst.open();
  const { body, complete } = await client.nextResponse();
  expect([body.toString(), complete]).toEqual(["data: first\n\ndata: second\n\n", true]);
  client.close();
}

export const connectionBehaviours: readonly Behaviour[] = [
  {
    name: "a client that leaves is noticed while the application works",
    on: (site, form) => site.web === "nginx" && form !== "fetch", // the others tell when something is written
    async test(context) {
      const [working, gone] = [gate(), gate<string>()];
      const path = context.probe.route((incoming: IncomingMessage, response) => {
        response.on("close", () => gone.open(`${incoming.destroyed} ${response.writableFinished}`));
        working.open();
      });
      const client = await get(context, path);
      await working.opened;
      client.close();
      expect(await gone.opened).toBe("true false");
      await waitFor(() => context.served.server.stats.openRequests === 0);
    },
  },
  {
    name: "a client that leaves is noticed while the response streams",
    // lighttpd and nginx read a response that they collect to its end.
    on: (site, form) => streams(site) && form !== "fetch",
    async test(context) {
      const gone = gate();
      const path = context.probe.route((_request, response) => {
        response.on("close", () => gone.open());
        const more = (): void => {
          while (!response.destroyed && response.write("x".repeat(10_000))) {
            // until it is enough for now
          }
          if (!response.destroyed) response.once("drain", () => setImmediate(more));
        };
        more();
      });
      const client = await get(context, path);
      await client.waitForText(/xxx/);
      client.reset();
      await gone.opened;
      await waitFor(() => context.served.server.stats.openRequests === 0);
    },
  },
  {
    name: "connections are kept when the web server keeps them, and closed when it does not",
    async test({ web, site, served }) {
      const before = served.server.stats;
      const client = await connectHttp(web.origin);
      for (let n = 0; n < 10; n++) {
        await client.send(`GET ${site.mount}/kept HTTP/1.1\r\nHost: example.com\r\n\r\n`);
        expect(echoOf(await client.nextResponse()).url).toBe("/kept");
      }
      client.close();
      const { acceptedConnections, acceptedRequests } = served.server.stats;
      expect(acceptedRequests - before.acceptedRequests).toBe(10);
      const made = acceptedConnections - before.acceptedConnections;
      if (site.keepConn) expect(made).toBeLessThanOrEqual(2);
      else {
        expect(made).toBe(10);
        await waitFor(() => served.server.stats.connections === 0);
      }
    },
  },
  {
    name: "50 at once are answered, each with its own answer",
    async test({ web, site }) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          request(`${web.origin}${site.mount}/n?${n}`, { body: `body ${n}`.repeat(n) }).then(echoOf),
        ),
      );
      expect(answers.map(({ url, bodyBytes }) => [url, bodyBytes])).toEqual(
        answers.map((_, n) => [`/n?${n}`, `body ${n}`.length * n]),
      );
    },
  },
  {
    name: "parameters beyond the limit are answered 431, and the next request is served",
    async test({ web, site, served }) {
      const lines = [1, 2, 3].map((n) => `X-Big-${n}: ${"x".repeat(7000)}`);
      const refused = await ask(web, `GET ${site.mount}/big\n${lines.join("\n")}`);
      expect(refused.status).toBe(431);
      expect(refused.body.toString()).toContain("Request Header Fields Too Large");
      expect(served.log.at(-1)).toMatchObject({
        level: "warn",
        fields: { code: "ERR_POSTERN_PARAMS_TOO_LARGE" },
      });
      expect(echoOf(await ask(web, `GET ${site.mount}/next`)).url).toBe("/next");
    },
  },
];
