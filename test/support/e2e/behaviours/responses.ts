/** What goes from the application to the client: statuses, heads, bodies. */
import { expect } from "vitest";
import type { RawResponse } from "../../http.ts";
import { waitFor } from "../../wait.ts";
import type { FormName } from "../probe.ts";
import { ask, type Behaviour, begin, type Context, echoOf, frameworkOnly, get, isPython } from "./model.ts";

/** Frameworks quote what is not ASCII, and semicolons, each in its way. */
const COOKIES: Partial<Record<FormName, readonly string[]>> = {
  express: ["a=1; Path=/", "b=2%3B%203; Path=/; HttpOnly", "c=%C3%A9; Path=/"],
  flask: ["a=1; Path=/", 'b="2\\073 3"; HttpOnly; Path=/', 'c="\\303\\251"; Path=/'],
  django: ["a=1; Path=/", 'b="2\\073 3"; HttpOnly; Path=/', 'c="\\351"; Path=/'],
  bottle: ["a=1", 'b="2\\073 3"; HttpOnly', "c=3; Path=/"],
};

const STATUSES = [200, 201, 203, 207, 400, 401, 403, 404, 409, 410, 418, 422, 429, 451, 500, 503, 599];

/** The route that answers as it is told. */
function answer(
  context: Context,
  how: Readonly<Record<string, string | readonly string[]>>,
): Promise<RawResponse> {
  return get(context, answerPath(how));
}

function answerPath(how: Readonly<Record<string, string | readonly string[]>>): string {
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(how)) {
    for (const value of [values].flat()) query.append(name, value);
  }
  return `/probe/answer?${query}`;
}

export const responseBehaviours: readonly Behaviour[] = [
  ...[204, 304].map(
    (status): Behaviour => ({
      name: `responses: ${status} has no body, whatever the application writes, and the client's connection goes on`,
      async test({ web, site }) {
        const how = new URLSearchParams({ status: String(status), body: "must-not-be-seen" });
        if (status === 204) how.append("h", "Content-Length: 16"); // some applications do
        const client = await begin(web, `GET ${site.mount}/probe/answer?${how}`);
        expect((await client.nextResponse()).status).toBe(status);
        await client.send(`GET ${site.mount}/next HTTP/1.1\r\nHost: example.com\r\n\r\n`);
        expect(echoOf(await client.nextResponse()).url).toBe("/next");
        client.close();
        return undefined;
      },
    }),
  ),
  {
    name: "responses: every status passes, with the page of the application",
    async test(context) {
      const wrong: number[] = [];
      for (const status of STATUSES) {
        const seen = await answer(context, {
          status: String(status),
          body: `page ${status}`,
          h: ["Content-Type: text/plain", `X-Own: of ${status}`],
        });
        expect(seen.body.toString()).toBe(`page ${status}`);
        expect(seen.header("x-own")).toEqual([`of ${status}`]);
        if (seen.status !== status) wrong.push(status);
      }
      return wrong.length === 0 ? undefined : `not ${wrong.join(", ")}`;
    },
  },
  ...[301, 302, 303, 307, 308].map(
    (status): Behaviour => ({
      name: `responses: ${status} with a Location reaches the client, and is not followed by the web server`,
      async test(context) {
        for (const to of ["http://elsewhere.example/x?a=b", "/target?x=%2F"]) {
          const seen = await answer(context, { status: String(status), h: `Location: ${to}`, body: "moved" });
          expect(seen.status).toBe(status);
          expect(
            seen.header("location")[0]?.replace(/^http:\/\/(127\.0\.0\.1|example\.com)(:\d+)?/, ""),
          ).toBe(to);
        }
        return undefined;
      },
    }),
  ),
  {
    name: "responses: 201 with a Location stays 201, with its page",
    async test(context) {
      const seen = await answer(context, { status: "201", h: "Location: /made/1", body: "made" });
      if (seen.status !== 201) return String(seen.status);
      expect(seen.body.toString()).toBe("made");
      return undefined;
    },
  },
  {
    name: "responses: a Location with 200 stays 200",
    async test(context) {
      const seen = await answer(context, { status: "200", h: "Location: /made/1", body: "made" });
      if (seen.body.toString() !== "made") return "followed by Apache";
      if (seen.status !== 200) return String(seen.status);
      return undefined;
    },
  },
  {
    name: "responses: a redirect of the framework",
    left: frameworkOnly,
    async test(context) {
      const seen = await get(context, "/framework/redirect");
      expect(seen.status).toBe(303);
      expect(seen.header("location")[0]?.replace(/^http:\/\/[^/]+/, "")).toBe(`${context.site.mount}/target`);
      return undefined;
    },
  },
  {
    name: "responses: several Set-Cookie headers stay several",
    left: ({ form }) => (form === "django" ? "Django writes its cookies itself" : undefined),
    async test(context) {
      const cookies = ["a=1; Path=/", "b=2; HttpOnly", "c=3, 4"];
      const seen = await answer(context, { h: cookies.map((cookie) => `Set-Cookie: ${cookie}`) });
      expect(seen.header("set-cookie")).toEqual(cookies);
      return undefined;
    },
  },
  {
    name: "responses: cookies of the framework",
    left: frameworkOnly,
    async test(context) {
      const cookies = (await get(context, "/framework/cookies")).header("set-cookie");
      expect(cookies).toEqual(COOKIES[context.site.form]);
      return undefined;
    },
  },
  {
    name: "responses: a conditional GET is answered 304 by the framework",
    left: (site) => (site.form === "bottle" ? "Bottle has no ETags" : frameworkOnly(site)),
    async test(context) {
      const whole = await get(context, "/framework/tagged");
      expect(whole.body.toString()).toBe("the same every time");
      const again = await get(context, "/framework/tagged", `If-None-Match: ${whole.header("etag")[0]}`);
      expect([again.status, again.body.length]).toEqual([304, 0]);
      return undefined;
    },
  },
  {
    name: "responses: odd bytes and an empty value in headers pass",
    async test(context) {
      const seen = await answer(context, { h: ['X-Odd: \xe9 "q" ;,=', "X-Vary: a, b", "Vary: Cookie"] });
      expect(seen.header("x-vary")).toEqual(["a, b"]);
      expect(seen.header("vary").join()).toContain("Cookie");
      const odd = seen.header("x-odd").join();
      if (odd === '\xe9 "q" ;,=') return undefined;
      return odd === '\xc3\xa9 "q" ;,=' ? "as UTF-8" : odd;
    },
  },
  {
    name: "responses: a Content-Length of the application reaches the client",
    async test(context) {
      const seen = await get(context, "/probe/whole");
      expect([seen.status, seen.body.length, seen.complete]).toEqual([200, 1000, true]);
      return seen.header("content-length").join() === "1000" ? undefined : "chunked";
    },
  },
  ...[3000, 7000, 15_000, 30_000].map(
    (bytes): Behaviour => ({
      name: `responses: a head of ${bytes} bytes passes`,
      async test(context) {
        const seen = await get(context, `/probe/head?bytes=${bytes}`);
        if (seen.status !== 200) return String(seen.status);
        expect(seen.headers.filter(([name]) => /^x-big-/i.test(name)).length).toBe(Math.floor(bytes / 1000));
        return undefined;
      },
    }),
  ),
  {
    name: "responses: an early hint (103) of the application does no harm",
    left: (site) => (isPython(site) ? "WSGI has no interim answers" : undefined),
    async test(context) {
      const seen = await get(context, "/probe/early");
      expect([seen.status, seen.header("x-own"), seen.body.toString()]).toEqual([
        200,
        ["final"],
        "after the hint",
      ]);
      return undefined;
    },
  },
  {
    name: "responses: 5 MB are whole",
    async test(context) {
      const { body, complete } = await get(context, "/probe/flood?bytes=5242880");
      expect([body.length, complete]).toEqual([5_242_880, true]);
      for (let n = 0; n < 80; n++) expect([body[n * 65_536], body[n * 65_536 + 65_535]]).toEqual([n, n]);
      return undefined;
    },
  },
];

export const rangeBehaviours: readonly Behaviour[] = [
  {
    name: "ranges: a part (206) that the application answers passes",
    async test(context) {
      const seen = await get(context, "/probe/range", "Range: bytes=10-19");
      expect([seen.status, seen.body.toString()]).toEqual([206, "line 0001\n"]);
      expect(seen.header("content-range")).toEqual(["bytes 10-19/1000"]);
      return undefined;
    },
  },
  {
    name: "ranges: a whole answer (200) to a Range stays whole",
    async test(context) {
      const seen = await get(context, "/probe/whole", "Range: bytes=10-19");
      if (seen.status === 206) expect(seen.body.toString()).toBe("line 0001\n");
      else expect([seen.status, seen.body.length]).toEqual([200, 1000]);
      return seen.status === 200 ? undefined : String(seen.status);
    },
  },
];

export const errorBehaviours: readonly Behaviour[] = [
  {
    name: "errors: an exception is a 500 without the reason, which is in the web server's error log",
    // Express, Django and Bottle answer what their handlers throw by themselves; an http.Server hears of no rejection.
    left: ({ form }) =>
      ["express", "httpServer", "django", "bottle"].includes(form)
        ? "the framework answers it, or nobody hears of it"
        : undefined,
    async test({ web, site, expected }) {
      const path = `${site.mount}/probe/throw?reason=the-reason-${web.port}`;
      const seen = await ask(web, `GET ${path}`);
      expect(seen.status).toBe(500);
      expect(seen.body.toString()).not.toContain("the-reason");
      const name = isPython(site) ? "RuntimeError" : "Error";
      return inLog(web, expected, `GET ${path}: ${name}: the-reason-${web.port}`);
    },
  },
  {
    name: "errors: what the application writes to FCGI_STDERR is in the web server's error log",
    async test({ web, site, probe, expected }) {
      const note = `a-note-from-${site.form}-${web.port}`;
      const seen = await ask(web, `GET ${site.mount}/probe/stderr?text=${note}`);
      expect(seen.body.toString()).toBe("noted");
      if (probe.entries().some(({ message }) => message === note)) return "in Postern's log";
      if (isPython(site) && expected !== undefined) {
        await waitFor(() => probe.output().includes(note), { what: "the line in the manager's log" });
        return "in Postern's log";
      }
      return inLog(web, expected, note);
    },
  },
];

/** Waits for a line when there has to be one. */
async function inLog(
  web: Context["web"],
  expected: string | undefined,
  text: string,
): Promise<string | undefined> {
  const pattern = new RegExp(text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (expected === undefined) await web.waitForErrorLog(pattern);
  return pattern.test(web.errorLog()) ? undefined : "not logged";
}
