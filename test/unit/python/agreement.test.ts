/**
 * The Python worker finds the mount, the path and the headers of a request as the JavaScript does: on everything that was
 * recorded of real web servers, under every option, and on whatever else there may be.
 */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { expect, it } from "vitest";
import { rawHeaders } from "../../../src/cgi/environ.ts";
import { resolveTarget } from "../../../src/cgi/mount.ts";
import { type MountOptions, type MountRule, resolveMountOptions } from "../../../src/cgi/mount-options.ts";
import { decodePath } from "../../../src/cgi/paths.ts";
import { Params } from "../../../src/protocol/params.ts";
import { describeCaptures } from "../../support/captures.ts";
import { type Agreed, type Asked, askPython } from "../../support/python/python.ts";
import { describeWithServer } from "../../support/web-servers/available.ts";
import { readCapturedCases } from "../cgi/captured.ts";

type Pairs = Asked["params"];

const OPTIONS: readonly MountOptions[] = [
  {},
  { scriptName: "keep" },
  { base: "" },
  { base: "/yourapplication" },
  { base: "/m" },
  { LighttpdCGIRootFix: true },
  { ScriptNameStripper: true },
];
const RULES: readonly MountRule[] = OPTIONS.map((options) => resolveMountOptions(options));

function attempt<T>(work: () => T): T | "invalid" {
  try {
    return work();
  } catch {
    return "invalid";
  }
}

/** The headers that an application gets, as WSGI spells them. */
function headersOf(params: Params): Record<string, string> {
  const headers: Record<string, string> = {};
  const raw = rawHeaders(params);
  for (let at = 0; at < raw.length; at += 2) {
    const name = `HTTP_${raw[at]!.toUpperCase().replaceAll("-", "_")}`;
    const others = ["HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"];
    if (!others.includes(name)) headers[name] ??= raw[at + 1]!;
  }
  return headers;
}

function pairsOf(params: Params): Pairs {
  const pairs: [string, string][] = [];
  params.each("", (name, value) => pairs.push([name, value]));
  return pairs;
}

function compare(pairs: Pairs, answers: readonly Agreed[]): void {
  for (const [at, rule] of RULES.entries()) {
    const params = Params.from(pairs);
    const target = attempt(() => resolveTarget(params, rule));
    const { target: found, environ } = answers[at]!;
    // Compared a hundred thousand times: what is worth a report is worked out when there is a difference.
    const told = (): string => `${rule.kind} ${rule.base} ${JSON.stringify(pairs)}`;
    if (!isDeepStrictEqual(found, JSON.parse(JSON.stringify(target)))) expect(found, told()).toEqual(target);
    if (target === "invalid" || environ === undefined || environ === "invalid") continue;
    const isBare = target.base !== "" && target.originalUrl.split("?")[0] === target.base;
    const { SCRIPT_NAME, PATH_INFO, QUERY_STRING } = environ;
    const wanted = [decodePath(target.base), isBare ? "" : decodePath(target.path), target.query];
    if (!isDeepStrictEqual([SCRIPT_NAME, PATH_INFO, QUERY_STRING], wanted)) {
      expect([SCRIPT_NAME, PATH_INFO, QUERY_STRING], told()).toEqual(wanted);
    }
  }
}

describeWithServer("python", "the Python worker and the JavaScript one", () => {
  describeCaptures("on every captured request", () => {
    it("agree on the mount, the path and the query, under every option", async () => {
      const cases = readCapturedCases();
      const asked = cases.map(({ params }) => ({ params: pairsOf(params), rules: RULES }));
      const answers = await askPython(asked);
      for (const [at, { params }] of asked.entries()) compare(params, answers[at]!);
      expect(cases.length).toBeGreaterThan(2500);
    });

    it("agree on the headers", async () => {
      const cases = readCapturedCases();
      const asked = cases.map(({ params }) => ({ params: pairsOf(params), rules: RULES.slice(0, 1) }));
      const answers = await askPython(asked);
      for (const [at, { params, name }] of cases.entries()) {
        const environ = answers[at]![0]!.environ as Readonly<Record<string, string>>;
        const headers = Object.entries(environ).filter(([one]) => one.startsWith("HTTP_"));
        const once = new Set(pairsOf(params).map(([one]) => one)).size === pairsOf(params).length;
        const expected: Record<string, unknown> = { ...headersOf(params) };
        // In WSGI a client that sent no Host leaves no empty one.
        if (expected["HTTP_HOST"] === "") delete expected["HTTP_HOST"];
        expect(headers.map(([one]) => one).sort(), name).toEqual(Object.keys(expected).sort());
        if (once) expect(Object.fromEntries(headers), name).toEqual(expected);
      }
    });
  });

  it("refuse the end of a line in what becomes a header, also in one that comes twice", async () => {
    const ends = ["\r", "\n", "\0"].flatMap((end): Pairs[] => {
      const bad = `a${end}b`;
      return [
        [["HTTP_X", bad]],
        [
          ["HTTP_X", bad],
          ["HTTP_X", "c"],
        ],
        [
          ["HTTP_COOKIE", "c"],
          ["HTTP_COOKIE", bad],
        ],
        [["CONTENT_TYPE", bad]],
        [["REDIRECT_HTTP_AUTHORIZATION", bad]],
      ];
    });
    const fine: Pairs = [["SSL_CLIENT_CERT", "a\nb\n"]];
    const all = [...ends, fine].map((pairs): Pairs => [["REQUEST_URI", "/"], ...pairs]);
    const asked = all.map((params) => ({ params, rules: RULES.slice(0, 1) }));
    const environs = (await askPython(asked)).map(([answer]) => answer!.environ);
    expect(environs.slice(0, -1)).toEqual(ends.map(() => "invalid"));
    expect(environs.at(-1)).toMatchObject({ SSL_CLIENT_CERT: "a\nb\n" });
    for (const params of all.slice(0, -1))
      expect(
        attempt(() => rawHeaders(Params.from(params))),
        JSON.stringify(params),
      ).toBe("invalid");
  });

  it("agree on whatever the parameters are made of", async () => {
    const piece = fc.constantFrom(
      ..."/ / / m a . .. %2F %2f %6d %00 %zz % ? \\ é // /. /m /app.fcgi /yourapplication :".split(" "),
    );
    const pathish = fc.array(piece, { maxLength: 8 }).map((parts) => parts.join(""));
    const mostly = fc.oneof(
      { weight: 4, arbitrary: pathish },
      { weight: 1, arbitrary: fc.constantFrom("/m", "/", "*", "http://h/a", "/m/app.fcgi", "\n") },
    );
    const request = fc
      .record(
        {
          REQUEST_URI: mostly,
          SCRIPT_NAME: mostly,
          PATH_INFO: mostly,
          QUERY_STRING: fc.constantFrom("", "q=1", "a?b"),
          SCRIPT_FILENAME: fc.oneof(
            pathish,
            pathish.map((path) => `proxy:fcgi://host${path}`),
          ),
          DOCUMENT_ROOT: fc.constantFrom("", "/srv"),
          SERVER_SOFTWARE: fc.constantFrom(
            "nginx/1.22.1",
            "Apache/2.4.71",
            "Cherokee/1.2",
            "lighttpd/1.4.69",
          ),
        },
        { requiredKeys: [] },
      )
      .map((params) => Object.entries(params) as Pairs);
    // As real requests are: the parts of one path.
    const whole = fc.tuple(pathish, pathish, fc.constantFrom("", "?q=1")).map(
      ([script, path, query]): Pairs => [
        ["REQUEST_URI", `/${script}${path}${query}`],
        ["SCRIPT_NAME", decodePath(`/${script}`)],
        ["PATH_INFO", decodePath(path)],
      ],
    );
    // A warning names no more of a path than a line of a log can hold.
    const long: Pairs = [
      ["REQUEST_URI", `/${"long".repeat(40)}`],
      ["SCRIPT_NAME", "/other"],
      ["PATH_INFO", `/${"other".repeat(40)}`],
    ];
    const requests = [long, ...fc.sample(fc.oneof(request, whole), 3000)];
    const answers = await askPython(requests.map((params) => ({ params, rules: RULES })));
    for (const [at, params] of requests.entries()) compare(params, answers[at]!);
  });
});
