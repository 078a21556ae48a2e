/**
 * The URL and mount of every request that real web servers were recorded sending. What comes out is what the client
 * asked for; where the web server itself changed the request, the expected value is worked out by a rule stated here.
 */
import { afterAll, expect, it } from "vitest";
import { httpVersion, method, scheme } from "../../../src/cgi/environ.ts";
import { absoluteUrl, resolveTarget } from "../../../src/cgi/mount.ts";
import { type MountOptions, resolveMountOptions } from "../../../src/cgi/mount-options.ts";
import { describeCaptures } from "../../support/captures.ts";
import { notice } from "../../support/notice.ts";
import { type CapturedCase, readCapturedCases } from "./captured.ts";

/** Cherokee decodes and tidies REQUEST_URI; this is what can still be known. */
const CHEROKEE: Readonly<Record<string, string>> = {
  "/x?": "/x", // a bare "?" is dropped
  "/bad%zz": "/bad%25zz", // what cannot be decoded must have been a percent sign
  "/x/../y/./z": "/y/z", // dot segments are resolved
  "/x/%2e%2e/y": "/y",
  "//double//slash/": "/double/slash/", // slashes are merged
  "/a%2Fb/c": "/a/b/c", // decoded, which cannot be undone
  "/a%00b": "/a%20b", // NUL becomes a space
  "/%e2%82%ac%7Euser": "/%E2%82%AC~user", // the same place in normal form
  "/caf\xc3\xa9": "/caf%C3%A9",
};

/** `%XX` for bytes that no URL may hold, or that `new URL` takes for something else. */
function encodeRest(text: string): string {
  return text.replace(
    /[^\x21\x22\x24-\x5b\x5d-\x7e]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** What the client asked for, as far as the web server lets anyone know. */
function expectedUrl({ asked, server, mount }: CapturedCase): string {
  if (server === "cherokee") {
    const inside = asked.slice(mount.length);
    return mount + (CHEROKEE[inside] ?? inside);
  }
  if (!server.startsWith("caddy")) return asked;
  // Caddy encodes raw bytes of the path itself, but not of the query.
  const question = asked.indexOf("?");
  return question < 0 ? encodeRest(asked) : encodeRest(asked.slice(0, question)) + asked.slice(question);
}

function expectedOrigin({ server, mode, sent, params }: CapturedCase): string {
  const isEncrypted = /https|tls/.test(mode);
  const host = sent === undefined ? "example.com" : sent.headers.find(([name]) => name === "host")?.[1];
  const port =
    params.get("SERVER_PORT") === (isEncrypted ? "443" : "80") ? "" : `:${params.get("SERVER_PORT")}`;
  // Without a Host header (HTTP/1.0): the name the web server goes by, in SERVER_NAME or in the Host it made up.
  let authority = host ?? (params.get("HTTP_HOST") || params.get("SERVER_NAME") + port);
  // Debian 12's fastcgi_params has HTTP_HOST=$host, which loses the port; the configurations for TCP overrule it.
  if (server === "nginx" && !mode.startsWith("root-tcp")) authority = authority.replace(/:\d+$/, "");
  return `${isEncrypted ? "https" : "http"}://${authority}`;
}

/** A mount that the parameters do not tell. */
interface Undeterminable {
  readonly captures: RegExp;
  /** Why nobody could know, and what "auto" makes of it. */
  readonly why: string;
  readonly base: string | RegExp;
  /** The one option that mends it; absent where nothing needs mending. */
  readonly option?: MountOptions;
}

const YOURS = "/yourapplication";
const UNDETERMINABLE: readonly Undeterminable[] = [
  {
    captures: /^h2o\/mounted-/,
    why: "SCRIPT_NAME is always empty",
    base: "",
    option: { base: YOURS },
  },
  {
    captures: /^apache-mod_proxy_fcgi\/mounted-unix-default--/,
    why: "ProxyPass without SetEnvIf: SCRIPT_NAME is the whole path, SCRIPT_FILENAME repeats it",
    base: "",
    option: { base: YOURS },
  },
  {
    captures: /^apache-mod_proxy_fcgi\/mounted-sethandler-unix--/,
    why: "SetHandler: SCRIPT_NAME ends with the first segment that is no directory",
    base: "",
    option: { base: YOURS },
  },
  {
    captures: /^(?:haproxy|lighttpd)(?:-[\d.]+)?\/mounted-(?:unix|tcp)--get-mount-noslash$/,
    why: "SCRIPT_NAME alone, mapped below the document root: also what a whole path looks like there",
    base: "",
    option: { base: YOURS },
  },
  {
    captures: /^lighttpd(?:-[\d.]+)?\/root-unix-nofix--/,
    why: 'the prefix "/" without fix-root-scriptname: SCRIPT_NAME is the first segment',
    base: /^(?:\/[^/]+)?$/,
    option: { LighttpdCGIRootFix: true },
  },
  {
    captures: /^lighttpd(?:-[\d.]+)?\/mounted-tcp--get-mount-prefix-clash$/,
    why: "lighttpd matches by prefix and says what it matched",
    base: `${YOURS}x`,
  },
  {
    captures: /^(?:nginx(?:-[\d.]+)?\/doc-mounted-unix|cherokee\/mounted-unix)--get-mount-prefix-clash$/,
    why: "outside the mount; SCRIPT_NAME must not make /yourapplicationx/y into x/y",
    base: "",
  },
];

/** Captures that must give a warning in "auto"; all others must not. */
function expectsWarning({ name, params }: CapturedCase): boolean {
  if (/^nginx(?:-[\d.]+)?\/doc-mounted-unix--get-mount-prefix-clash$/.test(name)) return true;
  if (/^lighttpd.*\/root-unix-nofix--get-root(?:-query)?$/.test(name)) return true;
  return name.includes("/mounted-sethandler-unix--") && params.get("PATH_INFO") !== undefined;
}

describeCaptures("every captured request", () => {
  const cases = readCapturedCases();
  const exceptionOf = (test: CapturedCase): Undeterminable | undefined =>
    UNDETERMINABLE.find(({ captures }) => captures.test(test.name));

  afterAll(() => {
    const recordings = new Set(cases.map(({ name }) => name)).size;
    notice(`captures compared: ${cases.length} requests in ${recordings} recordings`);
  });

  it("gives the URL the client asked for", () => {
    expect(cases.length).toBeGreaterThan(2500);
    for (const test of cases) {
      const target = resolveTarget(test.params);
      const url = expectedUrl(test);
      expect(target.originalUrl, test.name).toBe(url);
      expect(absoluteUrl(test.params, target), test.name).toBe(expectedOrigin(test) + encodeRest(url));
      const parsed = new URL(absoluteUrl(test.params, target));
      expect(parsed.host, test.name).toBe(new URL(expectedOrigin(test)).host);
    }
  });

  it("gives the mount the web server was configured with, wherever the parameters tell it", () => {
    for (const test of cases) {
      const { base, path, query, url } = resolveTarget(test.params);
      const expected = exceptionOf(test)?.base ?? test.mount;
      if (expected instanceof RegExp) expect(base, test.name).toMatch(expected);
      else expect(base, test.name).toBe(expected);
      expect(path.startsWith("/"), test.name).toBe(true);
      expect(url.split("?")[0], test.name).toBe(path);
      expect(url.split("?").slice(1).join("?"), test.name).toBe(query);
    }
  });

  it("gives base + url = originalUrl, but for a mount without its slash and one that was tidied", () => {
    for (const test of cases) {
      const { base, url, originalUrl, rule } = resolveTarget(test.params);
      if (rule === "mounted-tidied") continue;
      if (originalUrl === base) expect(url, test.name).toBe("/");
      else expect(base + url, test.name).toBe(originalUrl);
    }
  });

  it("is mended by one option where the mount cannot be known", () => {
    let count = 0;
    for (const test of cases) {
      const option = exceptionOf(test)?.option;
      if (option === undefined || test.scenario === "get-mount-prefix-clash") continue;
      count++;
      const target = resolveTarget(test.params, resolveMountOptions(option));
      expect(target.base, test.name).toBe(test.mount);
      expect(target.originalUrl, test.name).toBe(expectedUrl(test));
      expect(target.url, test.name).toBe(
        expectedUrl(test)
          .slice(test.mount.length)
          .replace(/^(?!\/)/, "/"),
      );
      expect(target.warning, test.name).toBeUndefined();
    }
    expect(count).toBeGreaterThan(200);
  });

  it("is the same with the mount stated outright", () => {
    for (const test of cases) {
      if (test.scenario === "get-mount-prefix-clash") continue;
      const target = resolveTarget(test.params, resolveMountOptions({ base: test.mount }));
      expect(target.base, test.name).toBe(test.mount);
      expect(target.originalUrl, test.name).toBe(expectedUrl(test));
      expect(target.warning, test.name).toBeUndefined();
    }
  });

  it("warns exactly where the parameters prove that an option or the configuration is needed", () => {
    for (const test of cases) {
      const { warning } = resolveTarget(test.params);
      expect(warning !== undefined, `${test.name}: ${warning}`).toBe(expectsWarning(test));
    }
  });

  it("gives method, protocol version and scheme", () => {
    for (const test of cases) {
      expect(scheme(test.params), test.name).toBe(/https|tls/.test(test.mode) ? "https" : "http");
      if (test.sent === undefined) continue;
      expect(method(test.params), test.name).toBe(test.sent.method);
      expect(httpVersion(test.params), test.name).toBe(test.sent.version);
    }
  });
});
