import { describe, expect, it } from "vitest";
import { absoluteUrl, resolveTarget, type Target } from "../../../src/cgi/mount.ts";
import { type MountOptions, resolveMountOptions } from "../../../src/cgi/mount-options.ts";
import { Params } from "../../../src/protocol/params.ts";

type Pairs = Readonly<Record<string, string>>;

/** Parameters from [SCRIPT_NAME, PATH_INFO, REQUEST_URI]; undefined leaves one out. */
function given(
  scriptName: string | undefined,
  pathInfo: string | undefined,
  uri: string | undefined,
  more: Pairs = {},
): Params {
  const pairs: [string, string][] = [];
  if (scriptName !== undefined) pairs.push(["SCRIPT_NAME", scriptName]);
  if (pathInfo !== undefined) pairs.push(["PATH_INFO", pathInfo]);
  if (uri !== undefined) pairs.push(["REQUEST_URI", uri]);
  return Params.from([...pairs, ...Object.entries(more)]);
}

function resolve(params: Params, options: MountOptions = {}): Target {
  return resolveTarget(params, resolveMountOptions(options));
}

interface Row {
  readonly of: string;
  readonly params: Params;
  readonly options?: MountOptions;
  /** base, url and, where it is not their concatenation, originalUrl. */
  readonly gives: readonly [base: string, url: string, originalUrl?: string];
  readonly rule: string;
  readonly warns?: RegExp;
}

function check(rows: readonly Row[]): void {
  for (const { of, params, options, gives, rule, warns } of rows) {
    it(of, () => {
      const target = resolve(params, options);
      const [base, url, originalUrl = base + url] = gives;
      const [path = "", ...query] = url.split("?");
      expect(target).toEqual({
        base,
        path,
        query: query.join("?"),
        url,
        originalUrl,
        rule,
        ...(warns === undefined ? {} : { warning: expect.stringMatching(warns) }),
      });
    });
  }
}

const APACHE = { SERVER_SOFTWARE: "Apache/2.4.71 (Debian)" };
const CHEROKEE = { SERVER_SOFTWARE: "Cherokee/1.2.104 (UNIX)" };
const LIGHTTPD = { SERVER_SOFTWARE: "lighttpd/1.4.69" };

describe("the mount in auto mode", () => {
  check([
    {
      of: "is the root when SCRIPT_NAME is empty",
      params: given("", "/a/b", "/a/b?q=1"),
      gives: ["", "/a/b?q=1"],
      rule: "root",
    },
    {
      of: "is the root when SCRIPT_NAME is absent (HAProxy)",
      params: given(undefined, "/a", "/a"),
      gives: ["", "/a"],
      rule: "root",
    },
    {
      of: "is the root when REQUEST_URI is all there is",
      params: given(undefined, undefined, "/a?b"),
      gives: ["", "/a?b"],
      rule: "root",
    },
    {
      of: "is SCRIPT_NAME when the URL begins with it",
      params: given("/m", "/a", "/m/a?q"),
      gives: ["/m", "/a?q"],
      rule: "mounted",
    },
    { of: "keeps an empty query", params: given("/m", "/x", "/m/x?"), gives: ["/m", "/x?"], rule: "mounted" },
    {
      of: "keeps question marks in the query",
      params: given("", "/x", "/x?a?b"),
      gives: ["", "/x?a?b"],
      rule: "root",
    },
    {
      of: "keeps the client's percent-encoding",
      params: given("/m", "/a/b", "/m/a%2Fb"),
      gives: ["/m", "/a%2Fb"],
      rule: "mounted",
    },
    {
      of: "keeps what Apache did not decode",
      params: given("/m", "/a%2Fb/é", "/m/a%2Fb/%E9"),
      gives: ["/m", "/a%2Fb/%E9"],
      rule: "mounted",
    },
    {
      of: "keeps doubled slashes that PATH_INFO lost",
      params: given("/m", "/a/b/", "/m//a//b/"),
      gives: ["/m", "//a//b/"],
      rule: "mounted",
    },
    {
      of: "keeps dot segments that PATH_INFO lost",
      params: given("/m", "/y/z", "/m/x/../y/./z"),
      gives: ["/m", "/x/../y/./z"],
      rule: "mounted",
    },
    {
      of: "is found when the client escapes a letter of it",
      params: given("/m", "/a", "/%6d/a"),
      gives: ["/%6d", "/a"],
      rule: "mounted",
    },
    {
      of: "may hold a percent sign",
      params: given("/100%", "/a", "/100%25/a"),
      gives: ["/100%25", "/a"],
      rule: "mounted",
    },
    {
      of: "may hold a percent sign before hexadecimal digits",
      params: given("/%41", "/a", "/%2541/a"),
      gives: ["/%2541", "/a"],
      rule: "mounted",
    },
    {
      of: "tolerates a percent sign that escapes nothing",
      params: given("/m", "/bad%zz", "/m/bad%zz"),
      gives: ["/m", "/bad%zz"],
      rule: "mounted",
    },
    {
      of: "asked for without its slash is / inside",
      params: given("/m", "/", "/m?q"),
      gives: ["/m", "/?q", "/m?q"],
      rule: "mounted",
    },
    {
      of: "comes from REQUEST_URI where no PATH_INFO is configured",
      params: given("/m", undefined, "/m/a"),
      gives: ["/m", "/a"],
      rule: "mounted",
    },
    {
      of: "forgives a slash at the end of SCRIPT_NAME",
      params: given("/m/", "a", "/m/a"),
      gives: ["/m", "/a"],
      rule: "mounted",
    },
    {
      of: "forgives SCRIPT_NAME / at the root",
      params: given("/", "/a", "/a"),
      gives: ["", "/a"],
      rule: "root",
    },
    {
      of: "forgives a SCRIPT_NAME without its first slash",
      params: given("m", "/a", "/m/a"),
      gives: ["/m", "/a"],
      rule: "mounted",
    },
    {
      of: "is tidied when the client wrote around it",
      params: given("/m", "/a b", "/x/../m/a%20b"),
      gives: ["/m", "/a%20b", "/x/../m/a%20b"],
      rule: "mounted-tidied",
    },
    {
      of: "never begins with two slashes, which would be another host",
      params: given("//evil.example/m", "/a", "//evil.example/m/a"),
      gives: ["/evil.example/m", "/a", "//evil.example/m/a"],
      rule: "mounted",
    },
    {
      of: "never begins with a slash and a backslash either",
      params: given("/\\evil.example", "/a", "/\\evil.example/a"),
      gives: ["/%5Cevil.example", "/a", "/\\evil.example/a"],
      rule: "mounted",
    },
    {
      of: "is not a prefix of another name (nginx location without slash)",
      params: given("/yourapplication", "x/y", "/yourapplicationx/y"),
      gives: ["", "/yourapplicationx/y"],
      rule: "prefix-clash",
      warns: /location matches more/,
    },
    {
      of: "was added by a proxy in front that took it off",
      params: given("/outer", "/a%b", "/a%25b?q"),
      gives: ["/outer", "/a%25b?q"],
      rule: "prefix-added",
    },
  ]);
});

describe("a SCRIPT_NAME that is the whole path", () => {
  const proxy = (path: string): Pairs => ({ SCRIPT_FILENAME: `proxy:fcgi://host${path}`, ...APACHE });
  check([
    {
      of: "means the root (nginx fastcgi_params alone)",
      params: given("/a/b", undefined, "/a/b?q"),
      gives: ["", "/a/b?q"],
      rule: "whole-path",
    },
    {
      of: "means the root with an empty PATH_INFO too",
      params: given("/a/b", "", "/a/b"),
      gives: ["", "/a/b"],
      rule: "whole-path",
    },
    {
      of: "means the root behind ProxyPass / (Apache)",
      params: given("/café/x", undefined, "/caf%E9/x", proxy("/caf%E9/x")),
      gives: ["", "/caf%E9/x"],
      rule: "whole-path",
    },
    {
      of: "means the root when it is a file below the document root (HAProxy)",
      params: given("/a//b", undefined, "/a//b", { SCRIPT_FILENAME: "/var/www/a//b" }),
      gives: ["", "/a//b"],
      rule: "whole-path",
    },
    {
      of: "means the root when it was tidied",
      params: given("/y", undefined, "/x/../y", proxy("/y")),
      gives: ["", "/x/../y"],
      rule: "whole-path",
    },
    {
      of: "means the mount when a program elsewhere is the file (mod_fcgid)",
      params: given("/m", undefined, "/m", { SCRIPT_FILENAME: "/srv/app.fcgi" }),
      gives: ["/m", "/", "/m"],
      rule: "mounted",
    },
    {
      of: "means the mount when the file is the root folder (Caddy)",
      params: given("/m", "", "/m", { SCRIPT_FILENAME: "/var/www/public" }),
      gives: ["/m", "/", "/m"],
      rule: "mounted",
    },
    {
      of: "means the mount when SCRIPT_FILENAME is / (Apache with ProxyFCGISetEnvIf)",
      params: given("/m", "", "/m", { SCRIPT_FILENAME: "/", ...APACHE }),
      gives: ["/m", "/", "/m"],
      rule: "mounted",
    },
    {
      of: "is cut where ProxyPass /up/ fcgi://host/ put it",
      params: given("/up/ws", undefined, "/up/ws?q", proxy("/ws")),
      gives: ["/up", "/ws?q"],
      rule: "proxied",
    },
    {
      of: "is cut there for the GENERIC backend type",
      params: given("/up/a b", undefined, "/up/a%20b", { SCRIPT_FILENAME: "/a%20b" }),
      gives: ["/up", "/a%20b"],
      rule: "proxied",
    },
    {
      of: "is not cut there when the client wrote around it",
      params: given("/up/ws", undefined, "/./up/ws", proxy("/ws")),
      gives: ["", "/./up/ws"],
      rule: "whole-path",
    },
    {
      of: "is left whole when ProxyPass maps it elsewhere",
      params: given("/a", undefined, "/a", proxy("/b")),
      gives: ["", "/a"],
      rule: "whole-path",
    },
    {
      of: "is the mount when it is a program (mod_fastcgi dynamic)",
      params: given("/dyn.fcgi", undefined, "/dyn.fcgi", { SCRIPT_FILENAME: "/var/www/dyn.fcgi" }),
      gives: ["/dyn.fcgi", "/", "/dyn.fcgi"],
      rule: "script",
    },
    {
      of: "is no mount when PATH_INFO is the whole path too (mod_fastcgi authorizer)",
      params: given("/access/x", "/access/x", "/access/x?q"),
      gives: ["", "/access/x?q"],
      rule: "whole-path",
    },
    {
      of: "is / only where lighttpd cuts wrongly, which gives a warning",
      params: given("/", undefined, "/?q", LIGHTTPD),
      gives: ["", "/?q"],
      rule: "whole-path",
      warns: /LighttpdCGIRootFix/,
    },
    {
      of: "is / elsewhere without one",
      params: given("/", undefined, "/", APACHE),
      gives: ["", "/"],
      rule: "whole-path",
    },
  ]);
});

describe("Apache's SetHandler in a Location", () => {
  const file = { SCRIPT_FILENAME: "proxy:fcgi://app//var/www/m/hello", ...APACHE };
  check([
    {
      of: "cuts at the first segment that is no folder, which is not believed",
      params: given("/m/hello", "/world", "/m/hello/world", file),
      gives: ["", "/m/hello/world"],
      rule: "set-handler",
      warns: /state it: base/,
    },
    {
      of: "is told from ProxyPass with ProxyFCGISetEnvIf, whose file is no file below the document root",
      params: given("/m", "/hello/m", "/m/hello/m", {
        ...APACHE,
        SCRIPT_FILENAME: "proxy:fcgi://app/hello/m",
        DOCUMENT_ROOT: "/var/www",
      }),
      gives: ["/m", "/hello/m"],
      rule: "mounted",
    },
    {
      of: "is mended by base",
      params: given("/m/hello", "/world", "/m/hello/world", file),
      options: { base: "/m" },
      gives: ["/m", "/hello/world"],
      rule: "base",
    },
    {
      of: "is believed when it names a program",
      params: given("/m/app.fcgi", "/x", "/m/app.fcgi/x", {
        SCRIPT_FILENAME: "proxy:fcgi://app//var/www/m/app.fcgi",
      }),
      gives: ["/m/app.fcgi", "/x"],
      rule: "mounted",
    },
  ]);
});

describe("a program in SCRIPT_NAME that is not in the URL", () => {
  check([
    {
      of: "is stripped (.htaccess rewrite)",
      params: given("/app.fcgi", "/a b", "/a%20b?q"),
      gives: ["", "/a%20b?q"],
      rule: "script-hidden",
    },
    {
      of: "leaves its folder as the mount",
      params: given("/sub/app.fcgi", "/x", "/sub/x"),
      gives: ["/sub", "/x"],
      rule: "script-hidden",
    },
    {
      of: "leaves its folder when the client wrote around it",
      params: given("/sub/app.fcgi", "/x", "/./sub//x"),
      gives: ["/sub", "/x", "/./sub//x"],
      rule: "script-hidden",
    },
    {
      of: "is stripped with its folder when the rewrite starts at the root",
      params: given("/cgi-bin/app.fcgi", "/x", "/x"),
      gives: ["", "/x"],
      rule: "script-hidden",
    },
    {
      of: "is stripped where Caddy takes an escaped question mark for the query",
      params: given("/app.fcgi", "/a", "/a%3Fb%23c"),
      gives: ["", "/a%3Fb%23c"],
      rule: "script-hidden",
    },
    {
      of: "is a front controller without PATH_INFO",
      params: given("/app.fcgi", undefined, "/a/b?q"),
      gives: ["", "/a/b?q"],
      rule: "front-controller",
    },
    {
      of: "is a front controller in its folder",
      params: given("/sub/app.fcgi", "", "/sub/a"),
      gives: ["/sub", "/a"],
      rule: "front-controller",
    },
    {
      of: "is a front controller for a URL outside its folder",
      params: given("/sub/app.fcgi", "", "/a"),
      gives: ["", "/a"],
      rule: "front-controller",
    },
    {
      of: "stays when the client asked for it",
      params: given("/app.fcgi", "/x", "/app.fcgi/x"),
      gives: ["/app.fcgi", "/x"],
      rule: "mounted",
    },
  ]);
});

describe("an internal rewrite", () => {
  check([
    {
      of: "counts, encoded again, with the query it made",
      params: given("", "/new place", "/old?a=1", { QUERY_STRING: "b=2" }),
      gives: ["", "/new%20place?b=2"],
      rule: "rewritten",
      warns: /internal rewrite/,
    },
    {
      of: "may drop the query",
      params: given("", "/new", "/old?a=1", { QUERY_STRING: "" }),
      gives: ["", "/new"],
      rule: "rewritten",
      warns: /rewrite/,
    },
    {
      of: "keeps the client's query without QUERY_STRING",
      params: given("/m", "/new", "/old?a=1"),
      gives: ["/m", "/new?a=1"],
      rule: "rewritten",
      warns: /rewrite/,
    },
    {
      of: "to a program hides it",
      params: given("/m/app.fcgi", "/new", "/old"),
      gives: ["/m", "/new"],
      rule: "rewritten",
      warns: /rewrite/,
    },
    {
      of: "of a whole path stays whole",
      params: given("/new", undefined, "/old"),
      gives: ["", "/new"],
      rule: "rewritten",
      warns: /rewrite/,
    },
    {
      of: "keeps its warning short",
      params: given("", "/new", `/${"old/".repeat(5000)}`),
      gives: ["", "/new"],
      rule: "rewritten",
      warns: /^.{1,600}$/,
    },
    {
      of: "is cut at a stated base",
      params: given("/m", "/new", "/old?a"),
      options: { base: "/m" },
      gives: ["/m", "/new?a"],
      rule: "rewritten",
    },
    {
      of: "is put below a stated base it does not have",
      params: given("", "/new", "/old?a"),
      options: { base: "/m" },
      gives: ["/m", "/new?a"],
      rule: "rewritten",
    },
  ]);
});

describe("an unusual REQUEST_URI", () => {
  check([
    {
      of: "in absolute form is cut to its path",
      params: given("/m", "/abs", "http://example.com/m/abs?x=1"),
      gives: ["/m", "/abs?x=1"],
      rule: "mounted",
    },
    {
      of: "in absolute form is what h2o takes for a path",
      params: given("", "/http://example.com/abs", "http://example.com/abs?x=1"),
      gives: ["", "/abs?x=1"],
      rule: "root",
    },
    {
      of: "in absolute form may have no path",
      params: given("", "/", "http://example.com?x=1"),
      gives: ["", "/?x=1"],
      rule: "root",
    },
    { of: "of OPTIONS * stays an asterisk", params: given("", "", "*"), gives: ["", "*"], rule: "asterisk" },
    {
      of: "that is absent is built from the others",
      params: given("/m", "/a b", undefined, { QUERY_STRING: "q=1" }),
      gives: ["/m", "/a%20b?q=1"],
      rule: "no-request-uri",
    },
    {
      of: "that is absent with everything else is /",
      params: given(undefined, undefined, undefined),
      gives: ["", "/"],
      rule: "no-request-uri",
    },
    {
      of: "that is absent leaves a mount without its slash",
      params: given("/m", "", undefined),
      gives: ["/m", "/", "/m"],
      rule: "no-request-uri",
    },
    {
      of: "that is absent forgives a slash at the mount's end",
      params: given("/m/", "", undefined),
      gives: ["/m", "/"],
      rule: "no-request-uri",
    },
    {
      of: "that is absent forgives a PATH_INFO without slash",
      params: given("", "a", undefined),
      gives: ["", "/a"],
      rule: "no-request-uri",
    },
    {
      of: "in authority form is no path",
      params: given("/m", "/x", "example.com:443"),
      gives: ["/m", "/x"],
      rule: "no-request-uri",
    },
    {
      of: "that is empty is no path",
      params: given("", "/x", ""),
      gives: ["", "/x"],
      rule: "no-request-uri",
    },
    {
      of: "of Cherokee is decoded, so it is encoded again",
      params: given("/m", "/a?b#c%", "/m/a?b#c%?q", { QUERY_STRING: "q", ...CHEROKEE }),
      gives: ["/m", "/a%3Fb%23c%25?q"],
      rule: "request-uri-decoded",
    },
    {
      of: "of Cherokee may decode to control characters",
      params: given("", "/a\nb", "/a\nb", CHEROKEE),
      gives: ["", "/a%0Ab"],
      rule: "request-uri-decoded",
    },
    {
      of: "with raw bytes keeps them",
      params: given("", "/caf\xc3\xa9", "/caf\xc3\xa9"),
      gives: ["", "/caf\xc3\xa9"],
      rule: "root",
    },
    {
      of: "with %00 is accepted, PATH_INFO with NUL or not (h2o)",
      params: given("", "/a\0b", "/a%00b"),
      gives: ["", "/a%00b"],
      rule: "root",
    },
  ]);

  it("with control characters is refused", () => {
    for (const uri of ["/a\rb", "/a\nb", "/a\0b", "/a\x7f", "/a?b\nc", "http://h/\t"]) {
      expect(() => resolve(given("", "/", uri))).toThrow(
        expect.objectContaining({ code: "ERR_POSTERN_HEADER_INVALID", scope: "request" }),
      );
    }
    expect(() => resolve(given("", "/a", undefined, { QUERY_STRING: "a\nb" }))).toThrow(
      /QUERY_STRING .*a\\x0ab/,
    );
    expect(() => resolve(given("", "/new", "/old", { QUERY_STRING: "a\nb" }))).toThrow(/QUERY_STRING/);
  });
});

describe("the mount options", () => {
  const direct = given("/app.fcgi", "/x y", "/app.fcgi/x%20y?q");
  const hidden = given("/app.fcgi", "/x y", "/x%20y?q");
  const lighttpd = given("/caf\xe9", "/x", "/caf%E9/x?q", LIGHTTPD);
  check([
    {
      of: "base: the URL is cut there, whatever SCRIPT_NAME says (h2o)",
      params: given("", "/m/a", "/m/a?q"),
      options: { base: "/m" },
      gives: ["/m", "/a?q"],
      rule: "base",
    },
    {
      of: "base: also when something is encoded",
      params: given("", "/m/a b", "/m/a%20b"),
      options: { base: "/m" },
      gives: ["/m", "/a%20b"],
      rule: "base",
    },
    {
      of: "base: also when the client escapes a letter of it",
      params: given("", "/m/a", "/%6D/a"),
      options: { base: "/m" },
      gives: ["/m", "/a", "/%6D/a"],
      rule: "base",
    },
    {
      of: "base: also when the client writes around it",
      params: given("", "/m/a b", "/x/../m/a%20b"),
      options: { base: "/m" },
      gives: ["/m", "/a%20b", "/x/../m/a%20b"],
      rule: "base",
    },
    {
      of: "base: without its slash it is / inside",
      params: given("", "/m", "/m?q"),
      options: { base: "/m" },
      gives: ["/m", "/?q", "/m?q"],
      rule: "base",
    },
    {
      of: 'base: "" is the root',
      params: given("/m", "/a", "/m/a"),
      options: { base: "" },
      gives: ["", "/m/a"],
      rule: "base",
    },
    {
      of: "base: / is the root",
      params: lighttpd,
      options: { base: "/" },
      gives: ["", "/caf%E9/x?q"],
      rule: "base",
    },
    {
      of: "base: a slash at its end is forgiven",
      params: given("", "/m/a", "/m/a"),
      options: { base: "/m/" },
      gives: ["/m", "/a"],
      rule: "base",
    },
    {
      of: "base: a URL outside it is inside it, with a warning",
      params: given("", "/mx/a", "/mx/a"),
      options: { base: "/m" },
      gives: ["/m", "/mx/a"],
      rule: "base-added",
      warns: /does not begin with base/,
    },
    {
      of: "base: Cherokee's decoded URI is cut too",
      params: given("", "/m/a b", "/m/a b", CHEROKEE),
      options: { base: "/m" },
      gives: ["/m", "/a%20b"],
      rule: "base",
    },
    {
      of: "scriptName: a path is a base",
      params: given("", "/m/a", "/m/a"),
      options: { scriptName: "/m" },
      gives: ["/m", "/a"],
      rule: "base",
    },
    {
      of: 'scriptName: "" is the root',
      params: hidden,
      options: { scriptName: "" },
      gives: ["", "/x%20y?q"],
      rule: "base",
    },
    {
      of: "keep: SCRIPT_NAME as it is, spelt by the client",
      params: direct,
      options: { scriptName: "keep" },
      gives: ["/app.fcgi", "/x%20y?q"],
      rule: "keep",
    },
    {
      of: "keep: SCRIPT_NAME as it is, though the URL lacks it",
      params: hidden,
      options: { scriptName: "keep" },
      gives: ["/app.fcgi", "/x%20y?q"],
      rule: "keep",
    },
    {
      of: "keep: the mount alone",
      params: given("/m", undefined, "/m"),
      options: { scriptName: "keep" },
      gives: ["/m", "/", "/m"],
      rule: "keep",
    },
    {
      of: "keep: with the client's writing around it",
      params: given("/m", "/a", "/./m/a"),
      options: { scriptName: "keep" },
      gives: ["/m", "/a", "/./m/a"],
      rule: "keep",
    },
    {
      of: "keep: without REQUEST_URI",
      params: given("/m", "/a b", undefined),
      options: { scriptName: "keep" },
      gives: ["/m", "/a%20b"],
      rule: "keep",
    },
    {
      of: "LighttpdCGIRootFix: the whole path is inside",
      params: lighttpd,
      options: { LighttpdCGIRootFix: true },
      gives: ["", "/caf%E9/x?q"],
      rule: "LighttpdCGIRootFix",
    },
    {
      of: "LighttpdCGIRootFix: / has no PATH_INFO",
      params: given("/", undefined, "/", LIGHTTPD),
      options: { LighttpdCGIRootFix: true },
      gives: ["", "/"],
      rule: "LighttpdCGIRootFix",
    },
    {
      of: "LighttpdCGIRootFix: after a rewrite it is encoded again",
      params: given("/a b", "/x", "/old", LIGHTTPD),
      options: { LighttpdCGIRootFix: true },
      gives: ["", "/a%20b/x"],
      rule: "LighttpdCGIRootFix",
    },
    {
      of: "ScriptNameStripper: the path is PATH_INFO",
      params: hidden,
      options: { ScriptNameStripper: true },
      gives: ["", "/x%20y?q"],
      rule: "ScriptNameStripper",
    },
    {
      of: "ScriptNameStripper: also when the URL has the script",
      params: direct,
      options: { ScriptNameStripper: true },
      gives: ["", "/x%20y?q", "/app.fcgi/x%20y?q"],
      rule: "ScriptNameStripper",
    },
    {
      of: "ScriptNameStripper: encoded again without REQUEST_URI",
      params: given("/m", "/a b", undefined),
      options: { ScriptNameStripper: true },
      gives: ["", "/a%20b"],
      rule: "ScriptNameStripper",
    },
    {
      of: "ScriptNameStripper: no PATH_INFO is /",
      params: given("/app.fcgi", undefined, "/"),
      options: { ScriptNameStripper: true },
      gives: ["", "/"],
      rule: "ScriptNameStripper",
    },
    {
      of: "auto by name, and switches that are off, change nothing",
      params: direct,
      options: { scriptName: "auto", LighttpdCGIRootFix: false, ScriptNameStripper: false },
      gives: ["/app.fcgi", "/x%20y?q"],
      rule: "mounted",
    },
    {
      of: "OPTIONS * has no mount",
      params: given("/m", "", "*"),
      options: { base: "/m" },
      gives: ["", "*"],
      rule: "asterisk",
    },
  ]);

  it("that mean nothing are refused with the option, the value and what is allowed", () => {
    const wrong: readonly (readonly [unknown, RegExp])[] = [
      [{ base: "m" }, /^base is "m": it must be "" or a path such as "\/x"/],
      [{ base: "/m?q" }, /^base is "\/m\?q"/],
      [{ base: "//m" }, /^base/],
      [{ base: "/a/../b" }, /^base/],
      [{ base: "/." }, /^base/],
      [{ base: "/café" }, /percent-encoded/],
      [{ base: "/a%zz" }, /^base/],
      [{ base: 7 }, /^base is 7:/],
      [{ scriptName: "Auto" }, /^scriptName is "Auto": it must be "auto", "keep", "" or a path/],
      [{ LighttpdCGIRootFix: "yes" }, /^LighttpdCGIRootFix is "yes": it must be true or false/],
      [{ base: "/m", scriptName: "keep" }, /^scriptName and base contradict each other/],
      [{ LighttpdCGIRootFix: true, ScriptNameStripper: true }, /contradict/],
    ];
    for (const [options, message] of wrong) {
      expect(() => resolveMountOptions(options as MountOptions), JSON.stringify(options)).toThrow(
        expect.objectContaining({ code: "ERR_POSTERN_BAD_SETTING", message: expect.stringMatching(message) }),
      );
    }
    expect(resolveMountOptions({ base: "/a.b/c-d/..e/%2F" }).base).toBe("/a.b/c-d/..e/%2F");
  });
});

describe("the absolute URL", () => {
  const url = (uri: string, more: Pairs): string => {
    const params = given(undefined, undefined, uri, more);
    return absoluteUrl(params, resolveTarget(params));
  };

  it("has scheme, host and all of the path", () => {
    expect(url("/a%2Fb?c", { HTTP_HOST: "example.com:8080", HTTPS: "on" })).toBe(
      "https://example.com:8080/a%2Fb?c",
    );
  });

  it("encodes bytes that URL would take for characters, or for the end of the path", () => {
    expect(url("/caf\xc3\xa9?\xc3\xa9", { HTTP_HOST: "h" })).toBe("http://h/caf%C3%A9?%C3%A9");
    expect(new URL(url("/caf\xc3\xa9", { HTTP_HOST: "h" })).pathname).toBe("/caf%C3%A9");
    expect(url("/a\\b#c d", { HTTP_HOST: "h" })).toBe("http://h/a%5Cb%23c%20d");
  });

  it("does not let a path become a host", () => {
    expect(new URL(url("//evil.example/x", { HTTP_HOST: "h" })).host).toBe("h");
    expect(new URL(url("/\\evil.example/x", { HTTP_HOST: "h" })).host).toBe("h");
  });

  it("of OPTIONS * has no path", () => {
    expect(url("*", { HTTP_HOST: "h" })).toBe("http://h/");
  });
});

describe("a path made to be slow", () => {
  /** CPU milliseconds for paths of about `length` bytes in every shape and mode; the better of two runs. */
  function cost(length: number): number {
    const slashes = "/".repeat(length);
    const parts = [slashes, `${slashes}x`, "/..".repeat(length / 3), "%2F".repeat(length / 3)];
    parts.push("/a".repeat(length / 2), "/%".repeat(length / 2));
    const modes = [{}, { base: "/m" }, { scriptName: "keep" }];
    const cases = parts.flatMap((part) => [
      given("/m", part, `/m${part}`),
      given(part, undefined, `/%6D${part}`, { SCRIPT_FILENAME: `proxy:fcgi://h${part}x` }),
      given(`/m${part}`, undefined, `/m${part}`, { SCRIPT_FILENAME: part }),
      given(`${part}/app.fcgi`, part, part),
      given(part, undefined, undefined),
    ]);
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 2; run++) {
      const started = process.cpuUsage();
      for (const params of cases) for (const mode of modes) resolve(params, mode);
      const { user, system } = process.cpuUsage(started);
      best = Math.min(best, (user + system) / 1000);
    }
    return best;
  }

  it("costs time in proportion to its length", () => {
    cost(1500); // warm
    // 16 times the length: about 16 times the time, where something quadratic would take 256 times.
    expect(cost(24_000)).toBeLessThan(80 * cost(1500) + 50);
  });
});
