/** Configurations of Apache: against goldens, against the verified ones of mod_fastcgi, and what is refused. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseApache } from "../../../src/sites/apache-parse.ts";
import { checkConfiguration, generateSite, type Site } from "../../../src/sites/index.ts";
import { capturesFolder, describeCaptures } from "../../support/captures.ts";
import { readDocument } from "../../support/markdown.ts";

const SITE: Site = {
  name: "yourapplication",
  serverNames: ["example.com"],
  listen: { host: undefined, port: 80 },
  mount: "",
  application: { kind: "external", addresses: [{ kind: "unix", path: "/run/yourapplication/app.sock" }] },
  apacheModule: "proxy_fcgi",
  publicFolder: "/var/www/yourapplication/public",
  statics: [],
  maxBodyBytes: 104_857_600,
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
  program: "/var/www/yourapplication/app.fcgi",
  processes: 5,
  isDynamic: false,
  socket: "/run/yourapplication/app.sock",
  environment: {},
};

const FULL: Partial<Site> = {
  mount: "/shop",
  serverNames: ["*.example.com", "example.org"],
  listen: { host: "::1", port: 8443 },
  application: {
    kind: "external",
    addresses: [
      { kind: "unix", path: "/run/yourapplication/app.sock" },
      { kind: "tcp", host: "10.0.0.2", port: 9000 },
    ],
  },
  statics: [{ url: "/shop/static/", folder: "/srv/static files" }],
  tls: { certificate: "/etc/tls/a.pem", key: "/etc/tls/a.key", clientCa: "/etc/tls/ca.pem" },
  passwords: "/etc/apache2/passwords",
  sendFile: [
    { folder: "/srv/files", url: undefined },
    { folder: "/srv/more", url: "/more/" },
  ],
  webSocket: { url: "/shop/ws", address: { kind: "unix", path: "/run/yourapplication/ws.sock" } },
};

const SITES: Readonly<Record<string, Site>> = {
  proxy: SITE,
  "proxy-full": { ...SITE, ...FULL },
  "proxy-standalone": {
    ...SITE,
    standalone: { folder: "/srv/test", user: "www-data", group: "www-data", modules: undefined },
  },
  fcgid: { ...SITE, apacheModule: "fcgid", application: SPAWNED },
  "fcgid-full": {
    ...SITE,
    ...FULL,
    apacheModule: "fcgid",
    application: SPAWNED,
    isStreaming: true,
    maxBodyBytes: 0,
  },
  "fastcgi-static": { ...SITE, apacheModule: "fastcgi", application: SPAWNED },
  "fastcgi-dynamic": { ...SITE, apacheModule: "fastcgi", application: { ...SPAWNED, isDynamic: true } },
  "fastcgi-external": { ...SITE, mount: "/shop", apacheModule: "fastcgi" },
};

function textOf(site: Partial<Site>): string {
  return generateSite("apache", { ...SITE, ...site }).files[0]?.text ?? "";
}

describe.each(Object.keys(SITES))("Apache, %s", (name) => {
  const site = SITES[name] ?? SITE;

  it("is as its golden file has it", async () => {
    const made = generateSite("apache", site);
    await expect(made.files[0]?.text).toMatchFileSnapshot(`goldens/apache/${name}.conf`);
    expect(made.files).toHaveLength(1);
    expect(made.files[0]?.text).not.toMatch(/undefined|\[object|[ \t]$/m);
  });

  it("is the same text each time, and has nothing that --check finds wrong", () => {
    const { files, check, run } = generateSite("apache", site);
    const [file] = files;
    expect(generateSite("apache", site).files).toEqual(files);
    const { application, mount, maxBodyBytes, sendFile } = site;
    const addresses = application.kind === "external" ? application.addresses : undefined;
    const found = checkConfiguration("apache", file?.text ?? "", {
      addresses,
      mount,
      maxBodyBytes,
      sendFile,
    });
    expect(found).toEqual([]);
    if (site.standalone === undefined) {
      expect([check, run, file?.path]).toEqual([
        ["apache2ctl", "configtest"],
        undefined,
        "/etc/apache2/sites-available/yourapplication.conf",
      ]);
    } else expect([check[0], check.at(-1), run?.slice(-2)]).toEqual(["apache2", "-t", ["-D", "FOREGROUND"]]);
  });
});

describe("Apache refuses", () => {
  const VARIABLE = ["$", "{HOME}"].join("");
  const unix = (path: string): Partial<Site> => ({
    application: { kind: "external", addresses: [{ kind: "unix", path }] },
  });
  const spawned = (program: string): Partial<Site> => ({
    apacheModule: "fcgid",
    application: { ...SPAWNED, program },
  });

  it.each<[string, Partial<Site>, RegExp]>([
    ["a variable in a path", { publicFolder: `/srv/${VARIABLE}` }, /--root: Apache replaces \$\{…\} in/],
    ["a variable in a socket", unix(`/run/${VARIABLE}.sock`), /--bind: Apache replaces/],
    ["a variable in the mount", { mount: `/a${VARIABLE}` }, /--mount: Apache replaces/],
    [
      "a variable in a static folder",
      { statics: [{ url: "/s/", folder: `/a${VARIABLE}` }] },
      /--static: Apache/,
    ],
    ["the end of a socket's path", unix("/run/a|b.sock"), /ends the path of a socket at \| \? #/],
    ["a query in a socket's path", unix("/run/a?b.sock"), /use a path without them/],
    ["a wildcard in the document root", { publicFolder: "/srv/*" }, /--root: Apache takes \* \? \[ \]/],
    ["a wildcard in the mount", { mount: "/a[b]" }, /--mount: Apache takes/],
    ["a backslash in the mount", { mount: "/a\\b" }, /--mount: Apache takes/],
    ["a wildcard in a program", spawned("/srv/a*.fcgi"), /--spawn: Apache takes/],
    ["a program for mod_proxy_fcgi", { application: SPAWNED }, /mod_proxy_fcgi starts no programs/],
    ["an address for mod_fcgid", { apacheModule: "fcgid" }, /mod_fcgid reaches only what it starts itself/],
    ["two addresses for mod_fastcgi", { ...FULL, apacheModule: "fastcgi" }, /mod_fastcgi takes one address/],
    ["WebSocket inside FastCGI", { webSocket: { url: "/ws", address: undefined } }, /--ws-http/],
    [
      "a strange name of a variable",
      { apacheModule: "fcgid", application: { ...SPAWNED, environment: { "A B": "" } } },
      /--env "A B": .*of letters/,
    ],
    [
      "an abstract socket",
      { application: { kind: "external", addresses: [{ kind: "abstract", name: "x" }] } },
      /--bind/,
    ],
  ])("%s", (_, site, says) => {
    expect(() => textOf(site)).toThrow(
      expect.objectContaining({ code: "ERR_POSTERN_BAD_SETTING", message: expect.stringMatching(says) }),
    );
  });
});

describe("Apache", () => {
  it("listens where the distribution does not already", () => {
    expect(textOf({})).not.toMatch(/^Listen/m);
    expect(textOf({ listen: { host: undefined, port: 8080 } })).toContain(
      "<IfDefine !postern_listens_8080>\n    Define postern_listens_8080\n    Listen 8080\n</IfDefine>\n",
    );
    expect(textOf({ listen: { host: "127.0.0.1", port: 443 } })).toMatch(/^ {4}Listen 127\.0\.0\.1:443$/m);
  });

  it("says what it cannot do", () => {
    const notes = generateSite("apache", { ...SITE, ...FULL }).notes.join("\n");
    expect(notes).toMatch(/in chunks announces no length/);
    expect(notes).toMatch(/--send-file \/srv\/more=\/more\/ is for nginx/);
    expect(generateSite("apache", { ...SITE, apacheModule: "fastcgi" }).notes[0]).toMatch(/not run/);
  });

  it("names the modules that it needs", () => {
    const installOf = (site: Partial<Site>): string | undefined =>
      generateSite("apache", { ...SITE, ...site }).steps[0]?.command;
    expect(installOf({})).toBe("a2enmod headers proxy proxy_fcgi rewrite && a2ensite yourapplication");
    expect(installOf(FULL)).toMatch(/ssl .*proxy_http xsendfile .*auth_basic/);
  });
});

describe("docs/deploy/apache.md", () => {
  it("shows what is generated", () => {
    const blocks = readDocument("docs/deploy/apache.md").blocks.map(({ text }) => text);
    expect(blocks).toContain(textOf({}));
  });

  it("shows directives of mod_fastcgi that are generated", () => {
    const block = readDocument("docs/deploy/apache.md").blocks.find(({ info }) => info === "modules=fastcgi");
    const lines = block?.text.trim().split("\n") ?? [];
    const made = (site: Partial<Site>): string =>
      textOf({ ...site, apacheModule: "fastcgi", timeoutSeconds: 300 }).replaceAll(" -flush", "");
    const external: Site["application"] = {
      kind: "external",
      addresses: [{ kind: "tcp", host: "127.0.0.1", port: 9000 }],
    };
    expect(lines).toHaveLength(2);
    expect(made({ application: SPAWNED })).toContain(lines[0]);
    expect(made({ application: external })).toContain(lines[1]);
  });
});

/**
 * mod_fastcgi is nowhere to be had. Its configuration is compared with the verified one of ../shared/server-configs,
 * and what it then sends is replayed from recordings, with those of all other servers, in test/contract/captures.test.ts.
 */
describeCaptures("the configuration of mod_fastcgi", () => {
  const verified = (): ReturnType<typeof parseApache> => {
    const folder = join(dirname(capturesFolder()), "server-configs", "apache-mod_fastcgi");
    return parseApache(readFileSync(join(folder, "yourapplication.conf"), "utf8"));
  };
  /** What is not of the module: the server around it, httpoxy, hidden files and those of the document root. */
  const NOT_COMPARED = /^(?:loadmodule|listen|fastcgiipcdir|requestheader|rewrite\w+)$/;

  /** Directives in order with their sections; `-flush` is of other recordings (static-mounted-flush). */
  function shapeOf(directives: ReturnType<typeof parseApache>, program: RegExp, port: string): string[] {
    return directives
      .filter(({ name, args, within }) => {
        const host = within.find((section) => section.name === "virtualhost");
        if (host !== undefined) {
          const isPublic = within.some((section) => section.args[0]?.endsWith("/public"));
          return host.args[0]?.endsWith(`:${port}`) === true && !NOT_COMPARED.test(name) && !isPublic;
        }
        return program.test(name) && args.length > 0;
      })
      .map(({ name, args, within }) =>
        [...within.slice(1).flatMap((section) => [`<${section.name}`, ...section.args]), name, ...args]
          .filter((word) => word !== "-flush")
          .join(" "),
      );
  }

  it.each([
    ["started by Apache, at the root", /^fastcgiserver$/, "18081", { application: SPAWNED }],
    [
      "running by itself, below a path",
      /^fastcgiexternalserver$/,
      "18082",
      {
        mount: "/yourapplication",
        application: { kind: "external", addresses: [{ kind: "tcp", host: "127.0.0.1", port: 19_900 }] },
      },
    ],
  ] as const)("%s, is that which was verified", (_, program, port, site) => {
    const made = textOf({
      ...site,
      apacheModule: "fastcgi",
      maxBodyBytes: 0,
      timeoutSeconds: 300,
      listen: { host: "127.0.0.1", port: Number(port) },
    });
    const order = (lines: string[]): string[] =>
      // -initial-env and -pass-header may come in any order.
      lines.map((line) =>
        /^fastcgi(?:external)?server/.test(line)
          ? line
              .split(/ (?=-)/)
              .sort()
              .join(" ")
          : line,
      );
    const expected = order(shapeOf(verified(), program, port));
    expect(expected.length).toBeGreaterThan(6);
    expect(order(shapeOf(parseApache(made), program, port))).toEqual(expected);
  });
});
