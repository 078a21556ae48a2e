/** What `--check` finds in configurations of Caddy, HAProxy and h2o: each rule with a text that breaks it and one that does not. */
import { describe, expect, it } from "vitest";
import { checkConfiguration, type Expected, type WebServerName } from "../../../src/sites/index.ts";

const UNIX: Expected = {
  addresses: [{ kind: "unix", path: "/run/app.sock" }],
  mount: "",
  maxBodyBytes: 1_000_000,
  sendFile: [],
};
const MOUNTED: Expected = { ...UNIX, mount: "/app" };

/** `rule:line` of everything found. */
function rules(server: WebServerName, text: string, expected: Expected = UNIX): string[] {
  return checkConfiguration(server, text, expected).map(({ rule, line }) => `${rule}:${line}`);
}

interface Rule {
  readonly rule: string;
  /** A part of the good text, and what it becomes. */
  readonly replace: readonly [from: string, to: string];
  readonly line: number;
  readonly expected?: Expected;
}

const CADDY = `example.com {
	request_body {
		max_size 1MB
	}
	reverse_proxy unix//run/app.sock {
		header_up -Proxy
		flush_interval -1
		transport fastcgi {
			root /var/empty
			env SCRIPT_NAME ""
			env PATH_INFO {path}
		}
	}
}
`;

const HAPROXY = `defaults
    timeout server 60s
    option http-no-delay
fcgi-app app
    docroot /var/empty
    path-info ^()(/.*)$
    option mpxs-conns
    option get-values
    set-param HTTP_AUTHORIZATION %[var(txn.a)]
    set-param SSL_CLIENT_VERIFY SUCCESS if { ssl_c_used } { ssl_c_verify 0 }
frontend web # visitors
    bind *:80
    http-request return status 413 if { req.body_size gt 1000000 }
    default_backend app
backend app
    http-request del-header Authorization
    http-reuse always
    use-fcgi-app app
    server one unix@/run/app.sock proto fcgi
`;

const H2O = `limit-request-body: 1000000
fastcgi.timeout.keepalive: 30000
hosts:
  "example.com":
    paths:
      /static/:
        file.dir: /srv
      /:
        - fastcgi.connect: { port: /run/app.sock, type: unix }
          fastcgi.timeout.io: 60000
`;

const CASES: Partial<Record<WebServerName, { readonly good: string; readonly broken: readonly Rule[] }>> = {
  caddy: {
    good: CADDY,
    broken: [
      { rule: "address-differs", replace: ["/run/app.sock", "/run/other.sock"], line: 5 },
      { rule: "http-to-fastcgi", replace: ["transport fastcgi", "transport http"], line: 5 },
      {
        rule: "php-fastcgi",
        replace: ["	request_body", "	php_fastcgi unix//run/app.sock\n	request_body"],
        line: 2,
      },
      { rule: "mount-not-told", replace: ['SCRIPT_NAME ""', "SCRIPT_NAME /other"], line: 10 },
      { rule: "mount-not-told", replace: ['			env SCRIPT_NAME ""\n', ""], line: 8, expected: MOUNTED },
      { rule: "body-limit-too-small", replace: ["1MB", "999kB"], line: 3 },
      { rule: "root-missing", replace: ["			root /var/empty\n", ""], line: 8 },
      { rule: "proxy-header-passed", replace: ["		header_up -Proxy\n", ""], line: 5 },
      { rule: "split-path", replace: ["			root /", "			split .php\n			root /"], line: 9 },
      { rule: "answer-cut", replace: ["			root /", "			read_timeout 60s\n			root /"], line: 9 },
      { rule: "pieces-held-back", replace: ["flush_interval -1", "flush_interval 2s"], line: 7 },
      {
        rule: "user-not-told",
        replace: ["	request_body", "	basic_auth {\n	}\n	request_body"],
        line: 10,
      },
      {
        rule: "certificate-not-verified",
        replace: ["			root /", "			env SSL_CLIENT_VERIFY SUCCESS\n			root /"],
        line: 9,
      },
      {
        rule: "certificate-not-verified",
        replace: ["	request_body", "	map {tls_client_fingerprint} {x} {\n	}\n	request_body"],
        line: 2,
      },
    ],
  },
  haproxy: {
    good: HAPROXY,
    broken: [
      { rule: "address-differs", replace: ["/run/app.sock", "/run/other.sock"], line: 19 },
      { rule: "proto-fcgi-missing", replace: [" proto fcgi", ""], line: 19 },
      { rule: "fcgi-app-missing", replace: ["    use-fcgi-app app\n", ""], line: 15 },
      { rule: "fcgi-app-unknown", replace: ["use-fcgi-app app", "use-fcgi-app other"], line: 18 },
      { rule: "docroot-missing", replace: ["    docroot /var/empty\n", ""], line: 4 },
      { rule: "path-info-missing", replace: ["    path-info ^()(/.*)$\n", ""], line: 4 },
      { rule: "mount-not-told", replace: ["^()", "^(/[^/]+)"], line: 6 },
      { rule: "mount-not-told", replace: ["^()", "^(/other)"], line: 6, expected: MOUNTED },
      { rule: "body-limit-too-small", replace: ["gt 1000000", "gt 999999"], line: 13 },
      { rule: "authorization-not-passed", replace: ["HTTP_AUTHORIZATION", "OTHER"], line: 4 },
      { rule: "user-not-proven", replace: ["    http-request del-header Authorization\n", ""], line: 4 },
      { rule: "timeout-missing", replace: ["    timeout server 60s\n", ""], line: 14 },
      {
        rule: "timeout-too-short",
        replace: ["server 60s", "server 29999"],
        line: 2,
        expected: { ...UNIX, timeoutSeconds: 30 },
      },
      { rule: "pieces-held-back", replace: ["    option http-no-delay\n", ""], line: 14 },
      { rule: "multiplex-unasked", replace: ["    option get-values\n", ""], line: 7 },
      { rule: "multiplex-unused", replace: ["http-reuse always", "http-reuse safe"], line: 17 },
      { rule: "certificate-not-verified", replace: ["{ ssl_c_used } ", ""], line: 10 },
    ],
  },
  h2o: {
    good: H2O,
    broken: [
      { rule: "address-differs", replace: ["/run/app.sock", "/run/other.sock"], line: 9 },
      { rule: "mount-not-told", replace: ["      /:\n", "      /app:\n"], line: 9 },
      { rule: "base-needed", replace: ["/:\n        -", "/app:\n        -"], line: 9, expected: MOUNTED },
      { rule: "body-limit-too-small", replace: ["1000000", "999999"], line: 1 },
      { rule: "keep-alive-off", replace: ["fastcgi.timeout.keepalive: 30000\n", ""], line: 0 },
      { rule: "timeout-in-milliseconds", replace: ["io: 60000", "io: 60"], line: 10 },
      {
        rule: "timeout-too-short",
        replace: ["io: 60000", "io: 30000"],
        line: 10,
        expected: { ...UNIX, timeoutSeconds: 60 },
      },
      {
        rule: "only-for-files",
        replace: [
          "        file.dir: /srv",
          "        file.custom-handler:\n          extension: .js\n          fastcgi.connect: { port: 9000 }",
        ],
        line: 7,
      },
      {
        rule: "spawn-not-restarted",
        replace: ["fastcgi.connect: { port: /run/app.sock, type: unix }", "fastcgi.spawn: exec /srv/x.fcgi"],
        line: 9,
      },
    ],
  },
};

for (const [server, { good, broken }] of Object.entries(CASES) as [
  WebServerName,
  NonNullable<(typeof CASES)["caddy"]>,
][]) {
  describe(`a configuration of ${server}`, () => {
    it("that is right has no findings", () => expect(rules(server, good)).toEqual([]));

    it.each(broken)("that breaks $rule: $replace", ({ rule, replace, line, expected }) => {
      const [from, to] = replace;
      expect(good).toContain(from);
      const text = good.replace(from, () => to);
      expect(rules(server, text, expected)).toContain(`${rule}:${line}`);
      // Whatever is wrong, the same text without it is not.
      const before = rules(server, good, expected).filter((one) => one.startsWith(`${rule}:`));
      if (expected?.mount === UNIX.mount || expected === undefined) expect(before).toEqual([]);
    });

    it("that passes nothing on says so", () => {
      const empty = { caddy: "example.com {\n}\n", haproxy: "global\n", h2o: "hosts: {}\n" };
      expect(rules(server, empty[server as keyof typeof empty])).toEqual(["no-fastcgi:0"]);
    });

    it("leaves other applications beside it alone", () => {
      const other: Partial<Record<WebServerName, string>> = {
        caddy: "other.com {\n	reverse_proxy 127.0.0.1:9000 {\n		transport fastcgi\n	}\n}\n",
        haproxy:
          "fcgi-app php\n    docroot /srv\nbackend php\n    use-fcgi-app php\n    server p 127.0.0.1:9000 proto fcgi\n",
        h2o: '  "other.com":\n    paths:\n      /:\n        fastcgi.connect: { host: 127.0.0.1, port: 9000, type: tcp }\n',
      };
      expect(rules(server, good + (other[server] ?? ""))).toEqual([]);
    });
  });
}

describe("HAProxy in a chroot", () => {
  const whole = `global\n    chroot /var/lib/haproxy/\n${HAPROXY}`;
  const at = (path: string): Expected => ({ ...UNIX, addresses: [{ kind: "unix", path }] });
  const found = (text: string, expected: Expected): string[] =>
    checkConfiguration("haproxy", text, expected).map(({ rule, severity }) => `${severity} ${rule}`);

  it("finds no socket outside of it", () => {
    const [one, ...others] = checkConfiguration("haproxy", whole, UNIX);
    expect(others).toEqual([]);
    expect(one).toMatchObject({ rule: "socket-in-chroot", severity: "error", line: 21 });
    expect(one?.what).toContain("looks for this socket at /var/lib/haproxy/run/app.sock");
  });

  it("is told the path inside of it", () => {
    expect(found(whole, at("/var/lib/haproxy/run/app.sock"))).toEqual([]);
    expect(found(whole, at("/var/lib/haproxy/run/other.sock"))).toEqual(["error address-differs"]);
  });

  it("is warned of when nobody has said where the application listens", () => {
    expect(found(whole, { ...UNIX, addresses: undefined })).toEqual(["warning socket-in-chroot"]);
    expect(found(HAPROXY, { ...UNIX, addresses: undefined })).toEqual([]);
  });

  it("is Debian's for a file without a section global, when the application listens in there", () => {
    expect(found(HAPROXY, at("/var/lib/haproxy/run/app.sock"))).toEqual([]);
    expect(found(HAPROXY, at("/srv/run/app.sock"))).toEqual(["error address-differs"]);
  });

  it("does not touch TCP", () => {
    const expected: Expected = { ...UNIX, addresses: [{ kind: "tcp", host: "127.0.0.1", port: 9000 }] };
    expect(found(whole.replace("unix@/run/app.sock", "127.0.0.1:9000"), expected)).toEqual([]);
  });
});

describe("a text that is no configuration", () => {
  it.each<[WebServerName, text: string, says: RegExp]>([
    ["caddy", "example.com {\n", /^line 1: the \{ is never closed/],
    ["caddy", "a\n}\n", /^line 2: a \} without its \{/],
    ["caddy", 'a "b\n', /^line 1: the " is never closed/],
    ["caddy", "a <<END\nb\n", /^line 1: the <<END is never closed/],
    ["haproxy", "server { }\n", /^line 1: "server" stands before any section/],
    ["haproxy", "global\n  log 'x\n", /^line 2: a ' is never closed/],
    ["h2o", "a: [\n", /^line \d: /],
    ["h2o", "text\n", /^line 1: this is not a configuration of h2o/],
  ])("of %s is refused with its line: %j", (server, text, says) => {
    expect(() => rules(server, text)).toThrow(says);
  });
});

describe("a Caddyfile", () => {
  it("is read with comments, quotes, backticks, heredocs and lines that go on", () => {
    const text = `{
	admin off # nothing
}
example.com {
	respond <<END
		} not a brace {
		END 200
	@a path_regexp \`^/{x}$\`
	reverse_proxy \\
		"unix//run/app.sock" {
		header_up -Proxy
		transport fastcgi {
			root "/a \\"b\\" { c"
		}
	}
}
`;
    expect(rules("caddy", text)).toEqual([]);
    expect(rules("caddy", text.replace("header_up -Proxy", "header_up X"))).toEqual([
      "proxy-header-passed:9",
    ]);
  });

  it("that imports files is not said to lack anything", () => {
    expect(rules("caddy", "import sites/*\n")).toEqual([]);
  });
});
