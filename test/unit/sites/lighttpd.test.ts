/** The configuration of lighttpd as text, and what is found in the texts of others. Real ones: lighttpd-sites.test.ts. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  checkConfiguration,
  type Expected,
  type Finding,
  generateSite,
  type Site,
} from "../../../src/sites/index.ts";
import { parseLighttpd } from "../../../src/sites/lighttpd-parse.ts";
import { capturesFolder, describeCaptures } from "../../support/captures.ts";
import { repositoryRoot } from "../../support/paths.ts";

const SITE: Site = {
  name: "yourapplication",
  serverNames: ["example.com", "*.example.com"],
  listen: { host: undefined, port: 80 },
  mount: "",
  application: { kind: "external", addresses: [{ kind: "unix", path: "/run/yourapplication/app.sock" }] },
  apacheModule: "proxy_fcgi",
  publicFolder: undefined,
  statics: [],
  maxBodyBytes: 100 * 1024 * 1024,
  timeoutSeconds: 60,
  isKeptAlive: true,
  isMultiplexed: false,
  isStreaming: false,
  tls: undefined,
  passwords: undefined,
  sendFile: [],
  webSocket: undefined,
  standalone: undefined,
};
const SPAWNED: Site["application"] = {
  kind: "spawned",
  program: "/srv/x.fcgi",
  processes: 3,
  isDynamic: false,
  socket: "/run/x.sock",
  environment: { NODE_ENV: "production", HOME: "/srv" },
};
const STANDALONE = { folder: "/srv/web", user: "www-data", group: "www-data", modules: "/opt/modules" };

function textOf(changes: Partial<Site>): string {
  return generateSite("lighttpd", { ...SITE, ...changes }).files[0]!.text;
}

const NOTHING: Expected = {
  addresses: undefined,
  mount: undefined,
  maxBodyBytes: undefined,
  sendFile: undefined,
};

function expectedOf(site: Site): Expected {
  const { application, mount, maxBodyBytes, sendFile } = site;
  return {
    addresses: application.kind === "external" ? application.addresses : undefined,
    mount,
    maxBodyBytes,
    sendFile,
  };
}

describe("the configuration of lighttpd", () => {
  it("is a file of conf-available that answers for its hosts", () => {
    const made = generateSite("lighttpd", { ...SITE, mount: "/app" });
    expect(made.files[0]).toEqual({
      path: "/etc/lighttpd/conf-available/60-yourapplication.conf",
      mode: 0o644,
      text: `# Made by: postern config lighttpd
server.modules += ( "mod_fastcgi" )

$HTTP["host"] =~ "^(?:example\\.com|[^.:]+\\.example\\.com)(?::\\d+)?$" {
    # In KiB; 0 is no limit.
    server.max-request-size     = 102400
    # Answers are passed on as they come, or event streams would not be.
    server.stream-response-body = 1
    $HTTP["url"] =~ "^/app(?:/|$)" {
        fastcgi.server = ( "/app" => (
            (
                "socket"       => "/run/yourapplication/app.sock",
                "check-local"  => "disable",
                "read-timeout" => 60
            )
        ) )
    }
}
`,
    });
    expect(made.check).toEqual(["lighttpd", "-tt", "-f", "/etc/lighttpd/lighttpd.conf"]);
    expect(made.run).toBeUndefined();
    expect(made.steps.map(({ what }) => what)).toEqual(["install", "check", "reload"]);
  });

  it("is a whole one in a folder, with the modules of another place", () => {
    const made = generateSite("lighttpd", { ...SITE, standalone: STANDALONE });
    expect(made.files[0]?.path).toBe("/srv/web/lighttpd.conf");
    expect(made.run).toEqual(["lighttpd", "-D", "-f", "/srv/web/lighttpd.conf", "-m", "/opt/modules"]);
    expect(made.files[0]?.text).toContain('server.errorlog    = "/srv/web/error.log"');
    expect(made.files[0]?.text).toContain('server.username    = "www-data"');
    expect(made.files[0]?.text).not.toContain('$HTTP["host"]');
  });

  it("starts a program with the environment that is named, and no more of its own than it needs", () => {
    const text = textOf({ application: SPAWNED });
    expect(text).toContain('"bin-path"             => "/srv/x.fcgi"');
    expect(text).toContain('"max-procs"            => 3');
    expect(text).toContain(
      '"bin-environment"      => ( "PATH" => "/usr/local/bin:/usr/bin:/bin", "NODE_ENV" => "production", "HOME" => "/srv" )',
    );
    expect(text).toContain('"bin-copy-environment" => ( "LANG", "TZ" )');
  });

  it("listens where lighttpd.conf does not", () => {
    expect(textOf({ listen: { host: "::1", port: 8080 } })).toContain('$SERVER["socket"] == "[::1]:8080" {');
    const tls = { certificate: "/c.pem", key: "/k.pem", clientCa: undefined };
    const text = textOf({ listen: { host: undefined, port: 443 }, tls });
    expect(text).toMatch(/\$SERVER\["socket"\] == ":443" \{\n {4}ssl\.engine {2}= "enable"/);
    expect(text).not.toContain("verifyclient");
  });

  it("names several addresses in one list", () => {
    const application: Site["application"] = {
      kind: "external",
      addresses: [
        { kind: "unix", path: "/run/a.sock" },
        { kind: "tcp", host: "", port: 9000 },
        { kind: "tcp", host: "::1", port: 9001 },
      ],
    };
    const backends = parseLighttpd(textOf({ application })).filter(({ name }) => name === "fastcgi.server");
    expect(backends).toHaveLength(1);
    expect(textOf({ application })).toMatch(/"host" .*"127\.0\.0\.1",\n.*9000[\s\S]*"::1",\n.*9001/);
  });

  it.each<[string, Partial<Site>, RegExp]>([
    ["a program with a space", { application: { ...SPAWNED, program: "/srv/a b" } }, /spaces.*a link/],
    ["a text that ends with a backslash", { passwords: "/srv/x\\" }, /ends with a backslash.*such as a link/],
    [
      "an abstract socket",
      { application: { kind: "external", addresses: [{ kind: "abstract", name: "x" }] } },
      /unix socket with a path/,
    ],
  ])("refuses %s", (_, changes, message) => {
    expect(() => textOf(changes)).toThrow(message);
  });

  it.each<[string, Partial<Site>, RegExp]>([
    ["the mount", { mount: "/a pp".replace(" ", "é") }, /--base \/a%C3%A9pp/],
    ["files before the application", { publicFolder: "/srv/public" }, /come before the application/],
    ["files of a mount", { mount: "/m", publicFolder: "/srv/public" }, /--static/],
    ["sockets of programs", { application: SPAWNED }, /\/run\/x\.sock-0/],
    ["entries for nginx", { sendFile: [{ folder: "/srv/f", url: "/p/" }] }, /folder alone/],
    ["chunked uploads", { isStreaming: true }, /411/],
    ["WebSocket in old releases", { webSocket: { url: "/ws", address: undefined } }, /1\.4\.74/],
    ["multiplexing", { isMultiplexed: true }, /no multiplexing/],
    ["TLS", { tls: { certificate: "/c", key: "/k", clientCa: "/a" } }, /lighttpd-mod-openssl/],
  ])("says what to mind about %s", (_, changes, note) => {
    expect(generateSite("lighttpd", { ...SITE, ...changes }).notes.join("\n")).toMatch(note);
  });

  it("has nothing to mind about an ordinary site", () => {
    expect(generateSite("lighttpd", SITE).notes).toEqual([]);
  });
});

describe("reading a configuration of lighttpd", () => {
  it("knows quotes, variables, sums, conditions and comments", () => {
    const all = parseLighttpd(`
var.run = "/run"   # "not a text
a.b = var.run + "/x\\"y\\\\d" + 1
$HTTP["host"] == "x" {
  $HTTP["url"] =~ "^/a" { c.d = ( "k" => ( "l", 2 ) ) } else $HTTP["url"] !~ "b" { } else { e.f += env.HOME }
}
include "other.conf"
include_shell "/bin/x " + server.port
`);
    expect(all.map(({ name, line }) => `${line} ${name}`)).toEqual(["2 var.run", "3 a.b", "5 c.d", "5 e.f"]);
    expect(all[1]?.value).toMatchObject({ kind: "text", text: '/run/x"y\\\\d1' });
    expect(all[2]?.conditions.map(({ what, text }) => `${what} ${text}`)).toEqual([
      'HTTP["host"] x',
      'HTTP["url"] ^/a',
    ]);
    expect(all[3]).toMatchObject({ operator: "+=", value: { kind: "unknown" } });
  });

  it.each([
    ["server.port = \n}", /^line 2: "}" where lighttpd wants a value/],
    ['a = "open', /^line 1: .*is not lighttpd's configuration/],
    ['\n$HTTP["url"] ~ "x" { }', /^line 2: /],
    ["server {\n listen 80;\n}", /^line 2: ";.*is not lighttpd/],
    ['$HTTP["url"] =~ "x" { a = 1', /^line 1: "the end" where lighttpd wants a setting/],
  ])("says where %j is no configuration", (text, message) => {
    expect(() => checkConfiguration("lighttpd", text, NOTHING)).toThrow(message);
  });
});

/** A configuration with nothing wrong about it, at the root. */
const RIGHT = `server.modules = ( "mod_fastcgi" )
server.stream-response-body = 1
fastcgi.server = ( "/" => ((
  "socket" => "/run/yourapplication/app.sock",
  "check-local" => "disable",
  "fix-root-scriptname" => "enable"
)) )
`;
const EXPECTED: Expected = { ...expectedOf(SITE), maxBodyBytes: 1024 * 1024, timeoutSeconds: 60 };

/** A rule, the line it is found in, a text that breaks it, and one that does not. */
const RULES: readonly (readonly [rule: string, line: number, wrong: string, right: string])[] = [
  ["no-fastcgi", 0, 'server.modules = ( "mod_fastcgi" )', RIGHT],
  ["module-missing", 3, RIGHT.replace('"mod_fastcgi"', ""), RIGHT],
  [
    "module-missing",
    8,
    `${RIGHT}url.rewrite-once = ( "^/x" => "/y" )`,
    RIGHT.replace('"mod', '"mod_rewrite", "mod'),
  ],
  [
    "module-missing",
    2,
    RIGHT.replace(/.*\n/, "").replace(/^/, 'server.errorlog = "/x"\n').replace(/\n.*/, ""),
    RIGHT,
  ],
  [
    "module-order",
    8,
    `${RIGHT.replace('"mod_fastcgi"', '"mod_fastcgi", "mod_proxy"')}$HTTP["url"] =~ "^/ws" { proxy.server = ( "" => (( "host" => "/x" )) ) }`,
    `${RIGHT.replace('"mod_fastcgi"', '"mod_proxy", "mod_fastcgi"')}$HTTP["url"] =~ "^/ws" { proxy.server = ( "" => (( "host" => "/x" )) ) }`,
  ],
  [
    "auth-not-asked",
    8,
    `${RIGHT.replace('"mod_fastcgi"', '"mod_fastcgi", "mod_auth"')}auth.require = ( "" => ( "method" => "basic" ) )`,
    `${RIGHT.replace('"mod_fastcgi"', '"mod_auth", "mod_fastcgi"')}auth.require = ( "" => ( "method" => "basic" ) )`,
  ],
  ["address-differs", 4, RIGHT.replace("app.sock", "other.sock"), RIGHT],
  [
    "address-differs",
    4,
    RIGHT.replace('"socket" => "/run/yourapplication/app.sock"', '"host" => "127.0.0.1", "port" => 9000'),
    RIGHT,
  ],
  ["root-scriptname", 3, RIGHT.replace('"fix-root-scriptname" => "enable"', ""), RIGHT],
  ["check-local", 3, RIGHT.replace('"check-local" => "disable",', ""), RIGHT],
  ["check-local", 5, RIGHT.replace('"check-local" => "disable"', '"check-local" => "enable"'), RIGHT],
  ["host-and-socket", 4, RIGHT.replace('"socket"', '"host" => "127.0.0.1", "port" => 9000, "socket"'), RIGHT],
  [
    "port-missing",
    4,
    RIGHT.replace('"socket" => "/run/yourapplication/app.sock"', '"host" => "127.0.0.1"'),
    RIGHT,
  ],
  [
    "unknown-word",
    4,
    RIGHT.replace('"socket"', '"keep-alive" => "enable", "socket"'),
    RIGHT.replace('"socket"', '"connect-timeout" => 3, "socket"'),
  ],
  ["response-collected", 3, RIGHT.replace("server.stream-response-body = 1", ""), RIGHT],
  ["response-collected", 3, RIGHT.replace("-body = 1", "-body = 0"), RIGHT.replace("-body = 1", "-body = 2")],
  ["body-limit", 8, `${RIGHT}server.max-request-size = 1023`, `${RIGHT}server.max-request-size = 1024`],
  ["body-limit", 8, `${RIGHT}server.max-request-size = 5`, `${RIGHT}server.max-request-size = 0`],
  [
    "timeout-too-short",
    4,
    RIGHT.replace('"socket"', '"read-timeout" => 59, "socket"'),
    RIGHT.replace('"socket"', '"read-timeout" => 60, "socket"'),
  ],
  ["server-tag", 8, `${RIGHT}server.tag = "web"`, `${RIGHT}server.tag = "lighttpd"`],
  [
    "upgrade-with-http2",
    4,
    RIGHT.replace('"socket"', '"upgrade" => "enable", "socket"'),
    `${RIGHT.replace('"socket"', '"upgrade" => "enable", "socket"')}server.feature-flags += ( "server.h2proto" => "disable" )`,
  ],
  ["mount-differs", 3, RIGHT.replace('"/" =>', '"/app" =>'), RIGHT],
  ["mount-with-slash", 3, RIGHT.replace('"/" =>', '"/app/" =>'), RIGHT],
  [
    "mount-prefix",
    3,
    RIGHT.replace('"/" =>', '"/app" =>'),
    `$HTTP["url"] =~ "^/app(/|$)" {\n${RIGHT.replace('"/" =>', '"/app" =>')}}`,
  ],
  ["request-uri-stripped", 4, RIGHT.replace('"socket"', '"strip-request-uri" => "/x", "socket"'), RIGHT],
  [
    "alias-not-reached",
    8,
    `${RIGHT.replace('"mod', '"mod_alias", "mod')}alias.url = ( "/static/" => "/srv/static/" )`,
    `${RIGHT.replace('"mod', '"mod_alias", "mod').replace("fastcgi.server", '$HTTP["url"] !~ "^/static/" { fastcgi.server')} }\nalias.url = ( "/static/" => "/srv/static/" )`,
  ],
  [
    "bin-path-relative",
    4,
    spawning('"bin-path" => "x.fcgi", "max-procs" => 1'),
    spawning('"bin-path" => "/srv/x.fcgi", "max-procs" => 1'),
  ],
  [
    "max-procs-default",
    3,
    spawning('"bin-path" => "/srv/x.fcgi"'),
    spawning('"bin-path" => "/srv/x.fcgi", "max-procs" => 1'),
  ],
  [
    "php-children",
    4,
    spawning(
      '"bin-path" => "/srv/x.fcgi", "max-procs" => 1, "bin-environment" => ( "PHP_FCGI_CHILDREN" => "4" )',
    ),
    spawning(
      '"bin-path" => "/srv/x.fcgi", "max-procs" => 1, "bin-environment" => ( "NODE_ENV" => "production" )',
    ),
  ],
  [
    "spawned-too",
    4,
    RIGHT.replace('"socket"', '"bin-path" => "/srv/x.fcgi", "max-procs" => 1, "socket"'),
    spawning('"bin-path" => "/srv/x.fcgi", "max-procs" => 1'),
  ],
  [
    "x-sendfile-anywhere",
    4,
    RIGHT.replace('"socket"', '"x-sendfile" => "enable", "socket"'),
    RIGHT.replace('"socket"', '"x-sendfile" => "enable", "x-sendfile-docroot" => ( "/srv/files" ), "socket"'),
  ],
];

function spawning(words: string): string {
  return RIGHT.replace(
    '"socket" => "/run/yourapplication/app.sock"',
    `"socket" => "/run/other.sock", ${words}`,
  );
}

function rulesOf(findings: readonly Finding[]): string[] {
  return findings.map(({ rule }) => rule);
}

describe("checking a configuration of lighttpd", () => {
  it.each(RULES)("finds %s in line %i, and not in what is right", (rule, line, wrong, right) => {
    const found = checkConfiguration("lighttpd", wrong, EXPECTED).filter((one) => one.rule === rule);
    expect(found.map((one) => one.line)).toEqual([line]);
    expect(found[0]?.what).toMatch(/^\S.{10,}[^.]$/);
    expect(found[0]?.remedy.length).toBeGreaterThan(3);
    expect(rulesOf(checkConfiguration("lighttpd", right, EXPECTED))).not.toContain(rule);
  });

  it("has every rule in docs/configure.md", () => {
    const [, section = ""] = readFileSync(join(repositoryRoot, "docs", "configure.md"), "utf8").split(
      "### lighttpd\n",
    );
    const documented = [...section.split(/^#/m)[0]!.matchAll(/^\| `([a-z0-9-]+)`/gm)].map(([, rule]) => rule);
    const tested = new Set([...RULES.map(([rule]) => rule), "x-sendfile-missing"]);
    expect(documented.sort()).toEqual([...tested].sort());
  });

  it("finds nothing in what is right", () => {
    expect(checkConfiguration("lighttpd", RIGHT, EXPECTED)).toEqual([]);
  });

  it("says that files are left to it which it does not send", () => {
    const sendFile = [{ folder: "/srv/files", url: undefined }];
    const findings = checkConfiguration("lighttpd", RIGHT, { ...EXPECTED, sendFile });
    expect(rulesOf(findings)).toEqual(["x-sendfile-missing"]);
    const docroot = RIGHT.replace(
      '"socket"',
      '"x-sendfile" => "enable", "x-sendfile-docroot" => ( "/srv/" ), "socket"',
    );
    expect(checkConfiguration("lighttpd", docroot, { ...EXPECTED, sendFile })).toEqual([]);
  });

  it("says when an address is nearly right", () => {
    const [finding] = checkConfiguration("lighttpd", RIGHT.replace("app.sock", "app.socket"), EXPECTED);
    expect(finding?.what).toMatch(/nearly/);
    expect(finding?.remedy).toBe('"socket" => "/run/yourapplication/app.sock"');
  });

  it("takes the classic guide's rewrite for what it is", () => {
    const text = `server.modules = ( "mod_fastcgi", "mod_alias", "mod_rewrite" )
server.stream-response-body = 1
fastcgi.server = ("/yourapplication.fcgi" =>
    ((
        "socket" => "/tmp/yourapplication-fcgi.sock",
        "bin-path" => "/var/www/yourapplication/yourapplication.fcgi",
        "check-local" => "disable",
        "max-procs" => 1
    ))
)
alias.url = ( "/static/" => "/path/to/your/static/" )
url.rewrite-once = ( "^(/static($|/.*))$" => "$1", "^(/.*)$" => "/yourapplication.fcgi$1" )
`;
    expect(checkConfiguration("lighttpd", text, { ...NOTHING, mount: "" })).toEqual([]);
  });

  it("finds nothing in what was made here", () => {
    const choices: readonly (readonly Partial<Site>[])[] = [
      [{}, { mount: "/app" }, { mount: "/ü(" }],
      [
        {},
        { application: SPAWNED },
        {
          application: {
            kind: "external",
            addresses: [
              { kind: "tcp", host: "", port: 1 },
              { kind: "unix", path: '/a "b"' },
            ],
          },
        },
      ],
      [
        {},
        { publicFolder: "/srv/public" },
        { publicFolder: "/srv/p\\", statics: [{ url: "/s(t/", folder: '/x "y"' }] },
      ],
      [{}, { isStreaming: true, maxBodyBytes: 0 }, { maxBodyBytes: 5 }],
      [{}, { standalone: STANDALONE }],
      [
        {},
        { webSocket: { url: "/ws", address: undefined }, passwords: "/srv/pw" },
        { webSocket: { url: "", address: undefined } },
        { webSocket: { url: "", address: { kind: "unix", path: "/run/ws" } } },
        {
          webSocket: { url: "/ws/", address: { kind: "tcp", host: "127.0.0.1", port: 5 } },
          sendFile: [{ folder: "/f", url: undefined }],
        },
      ],
      [
        {},
        { tls: { certificate: "/c", key: "/k", clientCa: "/ca" }, listen: { host: undefined, port: 443 } },
      ],
    ];
    // Every choice beside every other one.
    const sites = choices.flatMap((some, at) =>
      choices
        .slice(at + 1)
        .flatMap((others) =>
          some.flatMap((one) => others.map((other): Site => ({ ...SITE, ...one, ...other }))),
        ),
    );
    const wrong = sites.flatMap((site) => {
      const [file] = generateSite("lighttpd", site).files;
      const findings = checkConfiguration("lighttpd", file!.text, expectedOf(site));
      return findings.length === 0 ? [] : [{ text: file!.text, findings }];
    });
    expect(wrong).toEqual([]);
    expect(sites.length).toBeGreaterThan(100);
  });

  it("is the same for the same site", () => {
    expect(textOf({ application: SPAWNED, mount: "/m" })).toBe(textOf({ application: SPAWNED, mount: "/m" }));
  });
});

describeCaptures("checking the configurations that a lighttpd has loaded", () => {
  it("takes the verified configurations, but for what they leave out on purpose", () => {
    const text = readFileSync(
      join(capturesFolder(), "..", "server-configs", "lighttpd", "lighttpd.conf"),
      "utf8",
    );
    expect(rulesOf(checkConfiguration("lighttpd", text, NOTHING)).sort()).toEqual(["mount-prefix"]);
    const tunnels = readFileSync(
      join(capturesFolder(), "..", "server-configs", "lighttpd-websocket", "lighttpd.conf"),
      "utf8",
    );
    expect(rulesOf(checkConfiguration("lighttpd", tunnels, NOTHING)).sort()).toEqual([
      "mount-prefix",
      "response-collected",
    ]);
  });
});
