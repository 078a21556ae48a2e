/** What holds for any input at all. */
import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RemoteProtocolError } from "../../../src/base/errors.ts";
import { clientCertificate } from "../../../src/cgi/client-certificate.ts";
import {
  addresses,
  announcedLength,
  announcesUpgrade,
  authority,
  httpVersion,
  method,
  type ParamSource,
  rawHeaders,
  scheme,
} from "../../../src/cgi/environ.ts";
import { type HopTrust, throughHops } from "../../../src/cgi/forwarded.ts";
import { gatewayFacts, tlsConnection } from "../../../src/cgi/gateway-facts.ts";
import { absoluteUrl, resolveTarget } from "../../../src/cgi/mount.ts";
import { type MountOptions, resolveMountOptions } from "../../../src/cgi/mount-options.ts";
import { decodePath, encodePath, isSamePath, prefixEnd } from "../../../src/cgi/paths.ts";
import { isHopByHop, ResponseHeadParser, serializeHead } from "../../../src/cgi/response-head.ts";
import { Params } from "../../../src/protocol/params.ts";

const NAMES = [
  ...["REQUEST_URI", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SCRIPT_FILENAME", "SERVER_SOFTWARE"],
  ...["REQUEST_METHOD", "SERVER_PROTOCOL", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTPS", "REQUEST_SCHEME"],
  ...[
    "HTTP_HOST",
    "HTTP_COOKIE",
    "HTTP_UPGRADE",
    "HTTP_PROXY",
    "Authorization",
    "REDIRECT_HTTP_AUTHORIZATION",
  ],
  ...["SERVER_NAME", "SERVER_PORT", "SERVER_ADDR", "REMOTE_ADDR", "REMOTE_PORT", "SSL_CLIENT_VERIFY"],
  ...[
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_FORWARDED",
    "SSL_CLIENT_CERT",
  ],
];
/** Believes everybody. */
const TRUST: HopTrust = { isAddress: (text) => isIP(text) !== 0, trusts: () => true };
const bytes = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array).toString("latin1"));
/** Text of the stuff paths are made of, so that the rules are met often. */
const pathish = fc
  .array(
    fc.constantFrom(
      "/",
      "/",
      "m",
      "a",
      ".",
      "..",
      "%2F",
      "%6d",
      "%",
      "?",
      "\\",
      "\xe9",
      " ",
      "app.fcgi",
      "http://h",
      "*",
      "\n",
    ),
    {
      maxLength: 10,
    },
  )
  .map((parts) => parts.join(""));
const software = fc.constantFrom("Cherokee/1.2", "lighttpd/1.4.69", "Apache/2.4.71", "nginx/1.22.1");
const value = fc.oneof(
  pathish,
  pathish,
  bytes(30),
  software,
  fc.constantFrom("on", "off", "443", "-1", "proxy:fcgi://h/m/a"),
);
const params = fc
  .array(
    fc.tuple(
      fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...NAMES) }, { weight: 1, arbitrary: bytes(12) }),
      value,
    ),
    {
      maxLength: 16,
    },
  )
  .map((pairs) => Params.from(pairs));
const options: fc.Arbitrary<MountOptions> = fc.constantFrom<MountOptions>(
  {},
  { base: "" },
  { base: "/m" },
  { scriptName: "keep" },
  { LighttpdCGIRootFix: true },
  { ScriptNameStripper: true },
);

describe("any parameters", () => {
  it("are understood or refused with RemoteProtocolError", () => {
    const readers = [
      ...[
        method,
        httpVersion,
        announcedLength,
        announcesUpgrade,
        rawHeaders,
        scheme,
        authority,
        addresses,
        clientCertificate,
        tlsConnection,
        (given: ParamSource) => gatewayFacts(throughHops(given, TRUST), given),
      ],
    ];
    fc.assert(
      fc.property(params, (given) => {
        for (const read of readers) {
          try {
            read(given);
          } catch (error) {
            expect(error).toBeInstanceOf(RemoteProtocolError);
          }
        }
      }),
      { numRuns: 3000 },
    );
  });

  it("give a target whose parts fit together, or are refused", () => {
    fc.assert(
      fc.property(params, options, (given, option) => {
        let target: ReturnType<typeof resolveTarget>;
        try {
          target = resolveTarget(given, resolveMountOptions(option));
        } catch (error) {
          expect(error).toBeInstanceOf(RemoteProtocolError);
          return;
        }
        const { base, path, query, url, originalUrl, rule, warning } = target;
        expect(new URL(absoluteUrl(given, target)).protocol).toMatch(/^https?:$/);
        expect(`${url}${originalUrl}${base}`).not.toMatch(/[\x00-\x1f\x7f]/);
        expect(rule).toMatch(/^[\w-]+$/);
        expect(warning?.length ?? 0).toBeLessThan(1000);
        if (rule === "asterisk") return;
        expect(base).toMatch(/^(?:|\/(?![/\\])(?:.*[^/])?)$/s);
        expect(path.startsWith("/")).toBe(true);
        expect(originalUrl.startsWith("/")).toBe(true);
        expect([path, `${path}?${query}`]).toContain(
          url.endsWith("?") && query === "" ? url.slice(0, -1) : url,
        );
        // Tidied, unbelieved or stripped: then originalUrl is the client's own spelling.
        const isWhole = base + url === originalUrl || base + url.slice(1) === originalUrl;
        const uri = given.get("REQUEST_URI");
        if (!isWhole) expect(uri?.endsWith(originalUrl) || uri?.includes("://")).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });

  it("give headers that Headers accepts", () => {
    fc.assert(
      fc.property(params, (given) => {
        let raw: string[];
        try {
          raw = rawHeaders(given);
        } catch {
          return;
        }
        const headers = new Headers();
        for (let at = 0; at < raw.length; at += 2) headers.append(raw[at]!, raw[at + 1]!);
        expect(headers.has("proxy")).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("paths", () => {
  const decoded = fc.oneof(bytes(20), pathish);

  it("survive encoding", () => {
    fc.assert(
      fc.property(decoded, (path) => {
        const encoded = encodePath(path);
        expect(encoded).toMatch(/^(?:[\w.~!$&'()*+,;=:@/-]|%[\dA-F]{2})*$/);
        expect(decodePath(encoded)).toBe(path);
      }),
    );
  });

  it("are the same place in either spelling, and begin with themselves", () => {
    fc.assert(
      fc.property(decoded, decoded, (path, rest) => {
        const encoded = encodePath(path);
        expect(isSamePath(encoded, path)).toBe(true);
        expect(prefixEnd(encoded, path)).toBe(encoded.length);
        expect(prefixEnd(`${encoded}/${encodePath(rest)}`, path)).toBe(encoded.length);
      }),
    );
  });

  it("are the same place exactly when their segments are, empty and dot ones apart", () => {
    const segments = fc.array(fc.constantFrom("a", "b", "%", "%41", "\xe9", "?", " ", "", "."), {
      maxLength: 4,
    });
    const kept = (list: readonly string[]): string =>
      list.filter((segment) => !/^\.?$/.test(segment)).join("/");
    fc.assert(
      fc.property(segments, segments, (left, right) => {
        const raw = encodePath(["", ...left, "end"].join("/"));
        expect(isSamePath(raw, ["", ...right, "end"].join("/"))).toBe(kept(left) === kept(right));
      }),
      { numRuns: 2000 },
    );
  });

  it("climb no higher than the root", () => {
    expect(isSamePath("/../../a", "/a")).toBe(true);
    expect(isSamePath("/a/b/../..", "/")).toBe(true);
    expect(isSamePath("/a/./b/..", "/a/")).toBe(true);
    expect(isSamePath("/a/..b/.c/...", "/a/..b/.c/...")).toBe(true);
    expect(isSamePath("/a/...", "/a/")).toBe(false);
    expect(isSamePath("//", "/")).toBe(true);
    expect(isSamePath("/a", "/a/")).toBe(false);
    expect(isSamePath("/x%2Fy//z", "/x%2Fy/z")).toBe(true);
  });
});

describe("any response head", () => {
  const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}$/);
  const field = fc.stringMatching(/^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]{0,20}[!-~\x80-\xff])?)?$/);
  const isOurs = (name: string): boolean =>
    isHopByHop(name) || /^(?:status|content-length|content-type)$/.test(name);

  it("is read as it was written, however it is cut", () => {
    const headers = fc
      .array(fc.tuple(token, field), { maxLength: 8 })
      .map((pairs) => pairs.filter(([name]) => !isOurs(name.toLowerCase())).flat());
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 999 }),
        field,
        headers,
        fc.integer({ min: 1, max: 9 }),
        (status, reason, list, size) => {
          const text = Buffer.from(`${serializeHead(status, reason, list)}body`, "latin1");
          const parser = new ResponseHeadParser();
          let body = -1;
          for (let at = 0; body < 0; at += size)
            body = parser.push(text, at, Math.min(at + size, text.length));
          expect(text.toString("latin1", body)).toBe("body");
          expect(parser.head).toEqual({ status, reason, headers: list, localRedirect: undefined });
        },
      ),
    );
  });

  it("is one block: whatever the application says, no line is added", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: "binary", maxLength: 12 }), { maxLength: 8 }),
        fc.string(),
        (list, reason) => {
          let text: string;
          try {
            text = serializeHead(200, reason, list);
          } catch (error) {
            expect(error).toMatchObject({ name: "AppError" });
            return;
          }
          const lines = text.split("\r\n");
          expect(lines.length).toBeLessThanOrEqual(3 + Math.floor(list.length / 2));
          expect(text).not.toMatch(/[^\r]\n|\r[^\n]|[^\x00-\xff]|\0/);
          expect(text.indexOf("\r\n\r\n")).toBe(text.length - 4);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("is parsed from any bytes, or refused with RemoteProtocolError", () => {
    const line = fc.oneof(
      fc.constantFrom("Status: 200 OK", "Location: /x", "X: y", "", " z", "HTTP/1.1 200 OK"),
      bytes(20),
    );
    fc.assert(
      fc.property(fc.array(line), fc.constantFrom("\n", "\r\n"), (lines, end) => {
        const parser = new ResponseHeadParser({ maxHeadBytes: 200, maxHeaders: 5 });
        try {
          const body = parser.push(Buffer.from(lines.join(end), "latin1"));
          parser.end();
          expect(body).toBeGreaterThan(0);
          expect(parser.head?.status).toBeGreaterThan(99);
        } catch (error) {
          expect(error).toBeInstanceOf(RemoteProtocolError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
