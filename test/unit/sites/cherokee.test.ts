/**
 * The configuration of Cherokee as text. Nobody can start one here: it is compared with the file that one has loaded.
 * Its requests are replayed from recordings in test/unit/cgi/captured-urls.test.ts and captured-headers.test.ts, and
 * whole conversations in test/contract/captures.test.ts.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Address } from "../../../src/base/address.ts";
import { checkConfiguration, type Expected, generateSite, type Site } from "../../../src/sites/index.ts";
import { capturesFolder, describeCaptures } from "../../support/captures.ts";
import { readDocument } from "../../support/markdown.ts";

const SITE: Site = {
  name: "yourapplication",
  serverNames: ["example.com"],
  listen: { host: "127.0.0.1", port: 18081 },
  mount: "/yourapplication",
  application: {
    kind: "external",
    addresses: [{ kind: "unix", path: "/run/yourapplication/yourapplication.sock" }],
  },
  apacheModule: "proxy_fcgi",
  publicFolder: "/var/www/yourapplication/public",
  statics: [],
  maxBodyBytes: 0,
  timeoutSeconds: 15,
  isKeptAlive: true,
  isMultiplexed: false,
  isStreaming: false,
  tls: undefined,
  passwords: undefined,
  sendFile: [],
  webSocket: undefined,
  standalone: { folder: "/run/yourapplication", user: "www-data", group: "www-data", modules: undefined },
};
const SPAWNED: Site["application"] = {
  kind: "spawned",
  program: "/var/www/yourapplication/app.fcgi",
  processes: 1,
  isDynamic: false,
  socket: "/run/yourapplication/cherokee-app.sock",
  environment: {},
};
const UNIX: Address = { kind: "unix", path: "/run/yourapplication/yourapplication.sock" };
const PORT = { kind: "tcp", host: "127.0.0.1", port: 19900 } as const;
const TCP: Site["application"] = {
  kind: "external",
  addresses: [PORT],
};

function textOf(changes: Partial<Site> = {}): string {
  return generateSite("cherokee", { ...SITE, ...changes }).files[0]!.text;
}

/** `key = value` lines. */
function keysOf(text: string): Map<string, string> {
  const pairs = text.split("\n").flatMap((line) => {
    const [, key, value] = /^([^#\s]\S*) = (.*)$/.exec(line) ?? [];
    return key === undefined || value === undefined ? [] : [[key, value] as const];
  });
  return new Map(pairs);
}

function below(keys: ReadonlyMap<string, string>, parent: string): Record<string, string> {
  return Object.fromEntries(
    [...keys].flatMap(([key, value]) =>
      key.startsWith(`${parent}!`) ? [[key.slice(parent.length + 1), value]] : [],
    ),
  );
}

describeCaptures("the configuration of Cherokee, beside the one that a Cherokee has loaded", () => {
  const verified = keysOf(
    readFileSync(join(capturesFolder(), "..", "server-configs", "cherokee", "cherokee.conf"), "utf8"),
  );

  it("has the same lines about the server", () => {
    const made = keysOf(textOf());
    for (const parent of ["config", "server"]) expect(below(made, parent)).toEqual(below(verified, parent));
    const { nick, document_root, "error_writer!type": log } = below(made, "vserver!1");
    expect({ nick, document_root, log }).toEqual({
      nick: verified.get("vserver!1!nick"),
      document_root: verified.get("vserver!1!document_root"),
      log: verified.get("vserver!1!error_writer!type"),
    });
  });

  it("has the same rule and source, mounted on a unix socket", () => {
    const made = keysOf(textOf());
    expect(below(made, "vserver!1!rule!300")).toEqual(below(verified, "vserver!1!rule!300"));
    expect(below(made, "source!1")).toEqual({ ...below(verified, "source!1"), nick: "yourapplication" });
  });

  it("has the same rule and source, at the root over TCP", () => {
    const made = keysOf(textOf({ mount: "", application: TCP }));
    const rule = { ...below(verified, "vserver!1!rule!100"), "handler!balancer!source!1": "1" };
    expect(below(made, "vserver!1!rule!100")).toEqual(rule);
    expect(below(made, "source!1")).toEqual({ ...below(verified, "source!3"), nick: "yourapplication" });
  });

  it("has the keys of a program that Cherokee starts, and the address for it", () => {
    const made = below(keysOf(textOf({ application: SPAWNED })), "source!1");
    const known = below(verified, "source!2");
    expect(Object.keys(made).sort()).toEqual([...Object.keys(known), "env!POSTERN_BIND"].sort());
    expect(made).toMatchObject({ type: "interpreter", host: known["host"], "env!PATH": known["env!PATH"] });
    expect(made["env!POSTERN_BIND"]).toBe(`unix:${known["host"]}`);
  });

  it("uses keys in rules that are in the verified file, but for those of files", () => {
    const known = new Set([...verified.keys()].map((key) => key.replace(/\d+/g, "#")));
    const others = [
      ...keysOf(textOf({ mount: "/m", statics: [{ url: "/static/", folder: "/srv/static" }] })).keys(),
    ]
      .map((key) => key.replace(/\d+/g, "#"))
      .filter((key) => !known.has(key));
    expect(others).toEqual(["vserver!#!rule!#!document_root"]);
  });

  it("is what the check takes for right", () => {
    const text = readFileSync(
      join(capturesFolder(), "..", "server-configs", "cherokee", "cherokee.conf"),
      "utf8",
    );
    expect(checkConfiguration("cherokee", text, NOTHING).map(({ rule }) => rule)).toEqual([
      "interpreter-timeout",
    ]);
  });
});

const NOTHING: Expected = {
  addresses: undefined,
  mount: undefined,
  maxBodyBytes: undefined,
  sendFile: undefined,
};

describe("the configuration of Cherokee", () => {
  it("is a whole file, and says so", () => {
    const made = generateSite("cherokee", { ...SITE, standalone: undefined });
    expect(made.files.map(({ path }) => path)).toEqual(["/etc/cherokee/cherokee.conf"]);
    expect(made.check).toEqual(["cherokee", "-t", "-C", "/etc/cherokee/cherokee.conf"]);
    expect(made.run).toBeUndefined();
    expect(made.notes.join("\n")).toMatch(/whole cherokee\.conf/);
  });

  it("shares the load among several addresses", () => {
    const addresses = [UNIX, PORT];
    const keys = keysOf(textOf({ application: { kind: "external", addresses } }));
    expect(below(keys, "vserver!1!rule!300!handler!balancer")).toEqual({ "source!1": "1", "source!2": "2" });
    expect([keys.get("source!1!nick"), keys.get("source!2!nick")]).toEqual([
      "yourapplication",
      "yourapplication-2",
    ]);
    expect(keys.get("source!2!host")).toBe("127.0.0.1:19900");
  });

  it("gives several programs a socket each", () => {
    const keys = keysOf(textOf({ application: { ...SPAWNED, processes: 2 } }));
    expect([keys.get("source!1!host"), keys.get("source!2!host")]).toEqual([
      "/run/yourapplication/cherokee-app.sock-0",
      "/run/yourapplication/cherokee-app.sock-1",
    ]);
    expect(keys.get("source!2!env!POSTERN_BIND")).toBe("unix:/run/yourapplication/cherokee-app.sock-1");
  });

  it("looks at files before it looks at the application", () => {
    const statics = [
      { url: "/static/", folder: "/srv/a b" },
      { url: "/yourapplication/more/", folder: "/srv/more" },
    ];
    const keys = keysOf(textOf({ statics }));
    expect(below(keys, "vserver!1!rule!899")).toEqual({
      match: "directory",
      "match!directory": "/static",
      document_root: "/srv/a b",
      handler: "file",
    });
    expect(keys.get("vserver!1!rule!900!match!directory")).toBe("/yourapplication/more");
  });

  it.each<[string, Partial<Site>, RegExp]>([
    ["TLS", { tls: { certificate: "/c", key: "/k", clientCa: undefined } }, /--certificate: .*no TLS/],
    ["WebSocket", { webSocket: { url: "/ws", address: undefined } }, /--websocket: /],
    [
      "a program that a shell would split",
      { application: { ...SPAWNED, program: "/srv/a b.fcgi" } },
      /no quotes/,
    ],
    ["a program that a shell would run", { application: { ...SPAWNED, program: "/srv/$(x)" } }, /no quotes/],
    [
      "a variable with a dollar",
      { application: { ...SPAWNED, environment: { A: "$B" } } },
      /--env A .*takes the \$/,
    ],
    [
      "a socket that POSTERN_BIND would split",
      { application: { ...SPAWNED, socket: "/run/a,b" } },
      /--socket/,
    ],
    ["a text with a space at its end", { passwords: "/srv/pw " }, /--passwords .*space/],
    [
      "an abstract socket",
      { application: { kind: "external", addresses: [{ kind: "abstract", name: "x" }] } },
      /path/,
    ],
  ])("refuses %s", (_, changes, message) => {
    expect(() => textOf(changes)).toThrow(message);
  });

  it("cannot be broken out of by a text", () => {
    const odd = `/srv/a = b # c "d" 'e' \\ !x`;
    const keys = keysOf(
      textOf({ publicFolder: odd, passwords: `${odd}s`, statics: [{ url: "/s!=/", folder: odd }] }),
    );
    expect(keys.get("vserver!1!document_root")).toBe(odd);
    expect(keys.get("vserver!1!rule!900!document_root")).toBe(odd);
    expect(keys.get("vserver!1!rule!300!auth!passwdfile")).toBe(`${odd}s`);
    expect(() => textOf({ publicFolder: "/srv/x\nserver!user = root" })).toThrow(/control character/);
  });

  it("says what users have to know", () => {
    const notes = generateSite("cherokee", SITE).notes.join("\n");
    for (const fact of [/decoded/, /chunked/, /405/, /connection of its own/, /not among the servers/]) {
      expect(notes).toMatch(fact);
    }
    expect(generateSite("cherokee", { ...SITE, application: SPAWNED }).notes.join("\n")).toMatch(
      /POSTERN_BIND/,
    );
  });

  it("is right by its own check, and the same for the same site", () => {
    const sites: Partial<Site>[] = [
      {},
      { mount: "", application: TCP },
      { application: SPAWNED },
      { mount: "", application: { ...SPAWNED, processes: 3 }, passwords: "/srv/pw", standalone: undefined },
      { statics: [{ url: "/s/", folder: "/s" }], publicFolder: undefined },
    ];
    for (const changes of sites) {
      const site = { ...SITE, ...changes };
      const { application, mount } = site;
      const addresses = application.kind === "external" ? application.addresses : undefined;
      expect(checkConfiguration("cherokee", textOf(changes), { ...NOTHING, mount, addresses })).toEqual([]);
      expect(textOf(changes)).toBe(textOf(changes));
    }
  });
});

describe("docs/deploy/cherokee.md", () => {
  const { blocks } = readDocument("docs/deploy/cherokee.md");

  it.each<[mark: string, changes: Partial<Site>]>([
    [
      "mounted",
      {
        application: {
          kind: "external",
          addresses: [{ kind: "unix", path: "/run/yourapplication/app.sock" }],
        },
      },
    ],
    ["root", { mount: "", application: { kind: "external", addresses: [{ ...PORT, port: 9000 }] } }],
    [
      "spawned",
      {
        application: {
          ...SPAWNED,
          program: "/var/www/yourapplication/yourapplication.fcgi",
          socket: "/run/yourapplication/app.sock",
        },
      },
    ],
  ])("shows what is written: %s", (mark, changes) => {
    const block = blocks.find(({ info }) => info.includes(`cherokee=${mark}`));
    const made = textOf(changes).split("\n");
    const shown = block?.text.trim().split("\n") ?? [];
    expect(shown.length).toBeGreaterThan(5);
    expect(shown.filter((line) => !made.includes(line))).toEqual([]);
  });
});

const RIGHT = `vserver!1!nick = default
vserver!1!rule!100!match = default
vserver!1!rule!100!handler = fcgi
vserver!1!rule!100!handler!check_file = 0
vserver!1!rule!100!handler!pass_req_headers = 1
vserver!1!rule!100!handler!balancer = round_robin
vserver!1!rule!100!handler!balancer!source!1 = 1
source!1!type = host
source!1!host = 127.0.0.1:19900
`;
const STARTED = RIGHT.replace("type = host", "type = interpreter")
  .replace("127.0.0.1:19900", "/run/a.sock")
  .concat("source!1!interpreter = /srv/x --bind unix:/run/a.sock\n");
const EXPECTED: Expected = { ...NOTHING, addresses: [PORT], mount: "" };

describe("checking a configuration of Cherokee", () => {
  it.each<[rule: string, line: number, wrong: string, right: string]>([
    ["no-fastcgi", 0, RIGHT.replace("= fcgi", "= file"), RIGHT],
    ["check-file", 2, RIGHT.replace(/.*check_file.*\n/, ""), RIGHT],
    ["check-file", 4, RIGHT.replace("check_file = 0", "check_file = 1"), RIGHT],
    ["headers-dropped", 5, RIGHT.replace("headers = 1", "headers = 0"), RIGHT],
    ["xsendfile-anywhere", 10, `${RIGHT}vserver!1!rule!100!handler!xsendfile = 1`, RIGHT],
    ["balancer-missing", 3, RIGHT.replace(/.*balancer.*\n/g, ""), RIGHT],
    ["source-missing", 7, RIGHT.replace("source!1 = 1", "source!1 = 2"), RIGHT],
    ["source-address", 9, RIGHT.replace("127.0.0.1:19900", "localhost"), RIGHT],
    ["address-differs", 9, RIGHT.replace("19900", "19901"), RIGHT],
    [
      "mount-with-slash",
      2,
      RIGHT.replace("match = default", "match!directory = /app/"),
      RIGHT.replace("match = default", "match!directory = /app"),
    ],
    ["mount-differs", 2, RIGHT.replace("match = default", "match!directory = /app"), RIGHT],
    [
      "default-first",
      2,
      `${RIGHT.replace("match = default", "match!directory = /app")}vserver!1!rule!200!match = default`,
      `${RIGHT.replace("match = default", "match!directory = /app")}vserver!1!rule!50!match = default`,
    ],
    ["interpreter-without-address", 10, STARTED.replace(" --bind unix:/run/a.sock", ""), STARTED],
    ["interpreter-path", 11, `${STARTED}source!1!env_inherited = 0`, `${STARTED}source!1!env_inherited = 1`],
    ["interpreter-timeout", 11, `${STARTED}source!1!timeout = 5`, `${STARTED}source!1!timeout = 30`],
  ])("finds %s in line %i, and not in what is right", (rule, line, wrong, right) => {
    const found = checkConfiguration("cherokee", wrong, EXPECTED).filter((one) => one.rule === rule);
    expect(found.map((one) => one.line)).toEqual([line]);
    expect(checkConfiguration("cherokee", right, EXPECTED).map((one) => one.rule)).not.toContain(rule);
  });

  it("finds nothing in what is right", () => {
    expect(checkConfiguration("cherokee", RIGHT, EXPECTED)).toEqual([]);
  });

  it("says where a text is no cherokee.conf", () => {
    expect(() => checkConfiguration("cherokee", "\nserver {\n", NOTHING)).toThrow(/^line 2: "server \{"/);
  });
});
