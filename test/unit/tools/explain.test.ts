/** `postern explain` over everything real web servers have sent: what it says must be what the server does. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addresses, authority, scheme } from "../../../src/cgi/environ.ts";
import { resolveTarget } from "../../../src/cgi/mount.ts";
import { AUTO, resolveMountOptions } from "../../../src/cgi/mount-options.ts";
import { Params } from "../../../src/protocol/params.ts";
import { resolveTrustProxy } from "../../../src/server/trusted-hops.ts";
import { explain } from "../../../src/tools/explain/explanation.ts";
import { MOUNT_RULES } from "../../../src/tools/explain/mount-rules.ts";
import { explanationPage } from "../../../src/tools/explain/page.ts";
import { QUIRKS } from "../../../src/tools/explain/quirks.ts";
import { isText, readParams } from "../../../src/tools/explain/read-params.ts";
import { explanationJson, explanationText } from "../../../src/tools/explain/text.ts";
import { describeCaptures, listCaptures } from "../../support/captures.ts";
import { repositoryRoot } from "../../support/paths.ts";
import { patience } from "../../support/wait.ts";

type Pairs = readonly (readonly [string, string])[];
const auto = { mount: AUTO, trust: undefined };
const local = { withSecrets: false };

describeCaptures("every recorded request", () => {
  const all = listCaptures().flatMap(({ folder, sidecar }) =>
    sidecar().fcgi_connections.flatMap(({ requests }) =>
      requests
        .filter(({ params_eof }) => params_eof)
        .map(({ params }) => ({ server: folder.replace(/-\d[\d.]*$/, ""), params })),
    ),
  );
  const noted = new Map<string, Set<string>>();

  it("is explained with what the server would do with it", { timeout: patience(60_000) }, () => {
    expect(all.length).toBeGreaterThan(2000);
    const rules = new Set<string>();
    for (const { server, params: pairs } of all) {
      const params = Params.from(pairs);
      const { seen, refusal, decisions, notes } = explain(pairs, auto);
      for (const { name } of notes) noted.set(name, (noted.get(name) ?? new Set()).add(server));
      if (seen === undefined) {
        expect(refusal).toMatch(/holds bytes HTTP forbids/);
        continue;
      }
      const target = resolveTarget(params);
      expect(seen.target).toEqual(target);
      rules.add(target.rule);
      const values = Object.fromEntries(decisions.map(({ what, value }) => [what, value]));
      expect(values).toMatchObject({
        mount: `${target.base === "" ? "the root" : target.base}, path ${target.path}`,
        scheme: scheme(params),
        host: authority(params),
        client: addresses(params).remoteAddress ?? "(unknown)",
      });
      expect(decisions[0]!.rule).toBe(target.rule);
      // Every parameter that a decision is said to come from is there, or is one of the alternatives behind it.
      for (const { what, rule, from } of decisions) {
        if (
          /^(?:header|stray|https|request-scheme|host-header|server-name|server-address|remote-addr|remote-user|announced)$/.test(
            rule,
          )
        ) {
          expect(params.get(from[0]!), `${what} by ${rule}`).toBeTruthy();
        }
      }
    }
    for (const rule of rules) expect(MOUNT_RULES).toHaveProperty([rule]);
  });

  it("is recognised by its web server", { timeout: patience(60_000) }, () => {
    for (const { server, params } of all) {
      if (server === "cgi-fcgi") continue;
      expect(explain(params, auto).server).toBe(server.replace(/^apache-.*/, "apache"));
    }
  });

  it.each([
    ["path-decoded", ["nginx", "lighttpd", "caddy", "haproxy", "h2o"]],
    ["request-uri-decoded", ["cherokee"]],
    ["mount-unknown", ["apache-mod_proxy_fcgi", "haproxy"]],
    ["mount-guessed", ["lighttpd"]],
    ["location-without-slash", ["nginx"]],
    ["program-in-url", ["apache-mod_fastcgi"]],
    ["authorization-missing", ["apache-mod_proxy_fcgi", "apache-mod_fcgid", "haproxy"]],
    ["user-not-authenticated", ["nginx", "haproxy"]],
    ["httpoxy", ["nginx", "caddy", "h2o"]],
    ["length-minus-one", ["caddy"]],
    ["chunked-left-over", ["nginx", "apache-mod_proxy_fcgi"]],
    ["content-headers-doubled", ["nginx", "caddy"]],
    ["odd-header-names", ["caddy", "h2o", "cherokee"]],
    ["duplicate-parameter", ["nginx"]],
    ["forwarded-not-believed", ["nginx", "haproxy", "lighttpd"]],
    ["internal-redirect", ["apache-mod_fcgid"]],
    ["mount-in-path-info", ["h2o"]],
    ["upgrade-asked", ["nginx", "caddy", "lighttpd"]],
  ])("shows the quirk %s behind %j", (name, servers) => {
    expect([...(noted.get(name) ?? [])]).toEqual(expect.arrayContaining([...servers]));
  });

  it("has nothing of a password or a cookie in what is printed", { timeout: patience(60_000) }, () => {
    const secret = /SECRETSECRET/;
    for (const { params } of all.slice(0, 200)) {
      const pairs: Pairs = [
        ...params,
        ["HTTP_COOKIE", "id=SECRETSECRET"],
        ["HTTP_AUTHORIZATION", "Basic SECRETSECRET"],
      ];
      const explanation = explain(pairs, auto);
      expect(explanationText(explanation, local)).not.toMatch(secret);
      expect(explanationPage(explanation, local)).not.toMatch(secret);
      expect(JSON.stringify(explanationJson(explanation, local))).not.toMatch(secret);
      expect(explanationText(explanation, { withSecrets: true })).toMatch(secret);
    }
  });
});

describe("quirks that no recording has", () => {
  const notes = (params: Readonly<Record<string, string>>, rules = auto) =>
    explain(Object.entries(params), rules).notes.map(({ name }) => name);
  const plain = { REQUEST_URI: "/", SCRIPT_NAME: "", PATH_INFO: "/", SERVER_NAME: "example.com" };

  it.each([
    ["double-prefix", { REQUEST_URI: "/app/app/x", SCRIPT_NAME: "/app", PATH_INFO: "/app/x" }],
    ["rewritten", { REQUEST_URI: "/shown", SCRIPT_NAME: "", PATH_INFO: "/other" }],
    ["https-missing", { ...plain, SERVER_PORT: "443" }],
    [
      "host-without-port",
      { ...plain, SERVER_SOFTWARE: "nginx/1.22.1", HTTP_HOST: "example.com", SERVER_PORT: "8080" },
    ],
  ])("%s is noted", (name, params) => {
    expect(notes(params)).toContain(name);
  });

  it("a plain request has none", () => {
    expect(
      notes({ ...plain, HTTP_HOST: "example.com", SERVER_PORT: "80", SERVER_SOFTWARE: "nginx/1.30" }),
    ).toEqual([]);
  });

  it("a quirk that a setting has settled is not noted", () => {
    const whole = { REQUEST_URI: "/app/x", SCRIPT_NAME: "/app/x", SERVER_SOFTWARE: "Apache/2.4" };
    expect(notes(whole)).toContain("mount-unknown");
    expect(notes(whole, { ...auto, mount: resolveMountOptions({ base: "/app" }) })).not.toContain(
      "mount-unknown",
    );
  });
});

describe("any request", () => {
  const value = fc.oneof(
    fc.constantFrom("", "/", "/a", "/a/b", "/a%2Fb", "x", "https", "on", "443", "-1", "h:8", "[::1]"),
    fc.string({ unit: "binary-ascii" }),
  );
  const name = fc.constantFrom(
    "REQUEST_URI",
    "SCRIPT_NAME",
    "PATH_INFO",
    "SCRIPT_FILENAME",
    "DOCUMENT_ROOT",
    "HTTPS",
    "REQUEST_SCHEME",
    "HTTP_HOST",
    "SERVER_NAME",
    "SERVER_ADDR",
    "SERVER_PORT",
    "REMOTE_ADDR",
    "REMOTE_USER",
    "CONTENT_LENGTH",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_AUTHORIZATION",
    "REDIRECT_HTTP_AUTHORIZATION",
    "SERVER_SOFTWARE",
    "HTTP_UPGRADE",
  );

  it("is explained or refused as the server would, and nothing of it reaches a terminal or a page as it is", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 12 }), (pairs) => {
        const params = Params.from(pairs);
        const explanation = explain(pairs, auto);
        let target: unknown;
        try {
          target = resolveTarget(params);
        } catch {
          expect(explanation.refusal).toBeDefined();
        }
        if (explanation.seen !== undefined) {
          expect(explanation.seen.target).toEqual(target);
          expect(MOUNT_RULES).toHaveProperty([explanation.seen.target.rule]);
          const host = explanation.decisions.find(({ what }) => what === "host")!;
          expect(host.value).toBe(authority(params));
          // What the host is said to come from decides it: without it another one is chosen, or the same by chance.
          if (host.rule === "host-header") expect(params.get("HTTP_HOST")).toBe(host.value);
          if (host.rule === "localhost") expect(host.value).toBe("localhost");
        }
        expect(explanationText(explanation, { withSecrets: true })).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
        const page = explanationPage(explanation, { withSecrets: true });
        // Nothing but what the page itself is made of.
        const known = /<\/?(?:!doctype|html|head|meta|title|style|body|h1|h2|p|div|table|tr|th|td)\b[^<>]*>/g;
        expect(page.slice(page.indexOf("<h1>")).replace(known, "")).not.toMatch(/[<>]/);
      }),
    );
  });

  it("through a proxy that is named is explained with what the proxy says", () => {
    const pairs: Pairs = [
      ["REQUEST_URI", "/"],
      ["REMOTE_ADDR", "10.0.0.1"],
      ["HTTP_HOST", "inside:8080"],
      ["HTTP_X_FORWARDED_FOR", "203.0.113.7"],
      ["HTTP_X_FORWARDED_PROTO", "https"],
      ["HTTP_X_FORWARDED_HOST", "example.com"],
    ];
    const { decisions, notes } = explain(pairs, { mount: AUTO, trust: resolveTrustProxy(["10.0.0.0/8"]) });
    const of = (what: string) => decisions.find((decision) => decision.what === what);
    expect(of("client")).toMatchObject({ value: "203.0.113.7", rule: "trusted-proxy" });
    expect(of("scheme")).toMatchObject({ value: "https", rule: "trusted-proxy" });
    expect(of("host")).toMatchObject({ value: "example.com", rule: "trusted-proxy" });
    expect(notes.map(({ name }) => name)).not.toContain("forwarded-not-believed");
    expect(explain(pairs, auto).decisions.find(({ what }) => what === "client")).toMatchObject({
      value: "10.0.0.1",
      because: expect.stringMatching(/not believed: trustProxy is not set/),
    });
  });
});

describe("parameters as text", () => {
  it.each<[string, string, Pairs]>([
    [
      "lines of an environment",
      "# from env\nREQUEST_URI=/a?b=c\n\nPATH_INFO=/a\n",
      [
        ["REQUEST_URI", "/a?b=c"],
        ["PATH_INFO", "/a"],
      ],
    ],
    [
      "what an application printed",
      "REQUEST_URI: /x: y\nPATH_INFO:\n",
      [
        ["REQUEST_URI", "/x: y"],
        ["PATH_INFO", ""],
      ],
    ],
    [
      "nginx's configuration",
      'fastcgi_param  SCRIPT_NAME "";\nfastcgi_param PATH_INFO /x;',
      [
        ["SCRIPT_NAME", ""],
        ["PATH_INFO", "/x"],
      ],
    ],
    ["PHP's print_r", "[REQUEST_URI] => /x\n", [["REQUEST_URI", "/x"]]],
    ["an object of JSON", '{"REQUEST_URI": "/é"}', [["REQUEST_URI", "/\xc3\xa9"]]],
    [
      "pairs of JSON",
      '[["A", "1"], ["A", "2"]]',
      [
        ["A", "1"],
        ["A", "2"],
      ],
    ],
    [
      "quoted values",
      "A='x y'\nB=\"z\"\n",
      [
        ["A", "x y"],
        ["B", "z"],
      ],
    ],
  ])("%s are read", (_what, text, pairs) => {
    expect(readParams("file", text)).toEqual(pairs);
  });

  it.each([
    [
      "a line that is none",
      "REQUEST_URI=/\n???\n",
      /^file: line 2 is no parameter: "\?\?\?"; write NAME=value/,
    ],
    ["nothing", "\n#\n", /^file: there is no parameter in it/],
    ["broken JSON", "{", /^file: it is no JSON: /],
    ["JSON of something else", '{"A": 1}', /^file: parameters in JSON are texts/],
  ])("%s is refused in a sentence", (_what, text, says) => {
    expect(() => readParams("file", text)).toThrow(says);
  });

  it("are told from recordings", () => {
    expect(isText(Buffer.from("REQUEST_URI=/"))).toBe(true);
    expect(isText(Buffer.from([1, 1, 0, 1]))).toBe(false);
    expect(isText(Buffer.from([0x1f, 0x8b, 8]))).toBe(false);
  });
});

it("the page lists every quirk and every rule of the mount, in their words", () => {
  const page = readFileSync(join(repositoryRoot, "docs/tools/explain.md"), "utf8");
  for (const { name, says, remedy, page: about } of QUIRKS) {
    expect(page).toContain(
      `| \`${name}\` | ${says.replaceAll("|", "\\|")} | ${remedy} | [${about}](../${about}) |`,
    );
  }
  for (const [rule, says] of Object.entries(MOUNT_RULES)) expect(page).toContain(`| \`${rule}\` | ${says} |`);
});
