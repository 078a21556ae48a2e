/** URLs and mounts: what the client asked for is what the application sees. */
import { expect } from "vitest";
import { ask, type Behaviour, echoOf, frameworkOnly, get, seenBy } from "./model.ts";

/** Request targets inside the mount, and what they are. */
const TARGETS: readonly (readonly [what: string, target: string])[] = [
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
  ["a path of 800 bytes", `/${"long/".repeat(160)}`],
];

export const urlBehaviours: readonly Behaviour[] = [
  ...TARGETS.map(
    ([what, target]): Behaviour => ({
      name: `URL: ${what} arrives as the client sent it, and the mount beside it`,
      async test(context) {
        const { mount } = context.site;
        const echo = echoOf(await get(context, target));
        const url = seenBy(context.site, target);
        expect(echo).toMatchObject({ url, baseUrl: mount, originalUrl: mount + target });
        return undefined;
      },
    }),
  ),
  {
    name: "URL: raw UTF-8 bytes arrive",
    async test(context) {
      const answer = await get(context, "/caf\xc3\xa9?x=\xc3\xa9");
      if (answer.status !== 200) return String(answer.status);
      // A URL of the fetch standard is ASCII, and Caddy encodes before it passes on.
      expect(["/caf\xc3\xa9?x=\xc3\xa9", "/caf%C3%A9?x=%C3%A9", "/caf%C3%A9?x=\xc3\xa9"]).toContain(
        echoOf(answer).url,
      );
      return undefined;
    },
  },
  {
    name: "URL: dot segments lead nowhere outside the mount",
    async test(context) {
      const { web, site } = context;
      const echo = echoOf(await get(context, "/x/../y/./z?q"));
      expect(["/x/../y/./z?q", "/y/z?q"]).toContain(echo.url);
      expect(echo.baseUrl).toBe(site.mount);
      const outside = await ask(web, `GET ${site.mount}/../../etc/passwd`);
      expect(outside.body.toString()).not.toContain("root:");
      if (outside.status === 200) expect(echoOf(outside).url).toMatch(/^\//);
      else expect(outside.status).toBeGreaterThanOrEqual(400);
      return undefined;
    },
  },
  {
    name: "URL: an encoded NUL byte is refused with 400 or 404",
    async test(context) {
      const { status, body } = await get(context, "/a%00b");
      if (status === 200) {
        expect(echoOf({ status, body }).url).toBe("/a%00b");
        return "passed on";
      }
      return [400, 404].includes(status) ? undefined : String(status);
    },
  },
  {
    name: "URL: a broken percent sequence is refused with 400",
    async test(context) {
      const { status, body } = await get(context, "/bad%zz/x");
      if (status === 200) {
        expect(echoOf({ status, body }).url).toBe(seenBy(context.site, "/bad%zz/x"));
        return "passed on";
      }
      return status === 400 ? undefined : String(status);
    },
  },
  {
    name: "URL: the mount without its slash is the application's root",
    left: ({ mount }) => (mount === "" ? "there is no mount" : undefined),
    async test(context) {
      const answer = await get(context, "?a=1");
      if (answer.status >= 300) {
        const to = answer
          .header("location")
          .join()
          .replace(/^http:\/\/example\.com/, "");
        return to === `${context.site.mount}/?a=1`
          ? `${answer.status} to it`
          : `${answer.status} ${to}`.trim();
      }
      const { url, baseUrl } = echoOf(answer);
      // A fetch application gets the whole URL, to which nothing is added.
      const root = context.site.form === "fetch" ? "?a=1" : "/?a=1";
      if (baseUrl === context.site.mount && url === root) return undefined;
      expect([url, baseUrl]).toEqual([`${context.site.mount}?a=1`, ""]);
      return "whole path";
    },
  },
  {
    name: "URL: a path that only begins like the mount is not the application's",
    left: ({ mount }) => (mount === "" ? "there is no mount" : undefined),
    async test({ web, site }) {
      const answer = await ask(web, `GET ${site.mount}x/y`);
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) return String(answer.status);
      const { url, baseUrl } = echoOf(answer);
      return `${url} in mount "${baseUrl}"`;
    },
  },
  {
    name: "URL: an absolute-form target is the same request",
    async test({ web, site }) {
      const answer = await ask(web, `GET http://example.com${site.mount}/abs?x=1`);
      if (answer.status !== 200) return String(answer.status);
      expect(echoOf(answer).url).toBe("/abs?x=1");
      return undefined;
    },
  },
  {
    name: "URL: a path is routed and decoded by the framework",
    left: frameworkOnly,
    async test(context) {
      const answer = await get(context, "/framework/named/caf%C3%A9%2Fx");
      expect(answer.body.toString("utf8")).toBe("café/x");
      return undefined;
    },
  },
];
