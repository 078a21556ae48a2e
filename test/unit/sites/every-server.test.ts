/** What holds for the configurations of every web server: the same again, refusals in a sentence, nothing to complain of. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SettingError } from "../../../src/base/errors.ts";
import {
  checkConfiguration,
  type Finding,
  type GeneratedSite,
  generateSite,
  type Site,
  WEB_SERVERS,
  type WebServerName,
} from "../../../src/sites/index.ts";
import { expectedFor, hostileSite, plainSite, tableOf } from "../../support/sites-table.ts";
import { patience } from "../../support/wait.ts";

const FOLDER = "/srv/site";
const TABLE = tableOf({
  folder: FOLDER,
  certificate: "/srv/tls/server.pem",
  key: "/srv/tls/server.key",
  clientCa: "/srv/tls/clients.pem",
});

/** The configuration, or the sentence by which it is refused. Anything else that is thrown is a bug. */
function attempt(server: WebServerName, site: Site): GeneratedSite | string {
  try {
    return generateSite(server, site);
  } catch (error) {
    if (error instanceof SettingError) return error.message;
    throw error;
  }
}

/** What a server cannot be spared, whatever is generated: documented by this name. */
const UNAVOIDABLE: Partial<Record<WebServerName, readonly string[]>> = {
  h2o: ["base-needed", "spawn-not-restarted"],
};

function complaints(server: WebServerName, made: GeneratedSite, site: Site): Finding[] {
  const findings = checkConfiguration(server, made.files[0]?.text ?? "", expectedFor(site));
  return findings.filter(({ rule }) => !UNAVOIDABLE[server]?.includes(rule));
}

describe.each(WEB_SERVERS)("the configuration of %s", (server) => {
  it.each(TABLE)("is the same for the same site, and free of findings: $title", ({ site, refusedBy }) => {
    for (const standalone of [site.standalone, undefined]) {
      const made = attempt(server, { ...site, standalone });
      if (typeof made === "string") {
        // Cherokee is never run standalone.
        expect(refusedBy === "any" || refusedBy.includes(server) || server === "cherokee", made).toBe(true);
        expect(made).toMatch(/^\S[^\n]{10,}$/);
        continue;
      }
      expect(refusedBy === "any" ? [] : refusedBy).not.toContain(server);
      expect(attempt(server, { ...site, standalone })).toEqual(made);
      const [first] = made.files;
      expect(first?.text).toContain(`Made by: postern config ${server}`);
      expect(first?.text).toMatch(/[^\n]\n$/);
      expect(made.run !== undefined).toBe(standalone !== undefined);
      for (const { path } of made.files) if (standalone) expect(path.startsWith(`${FOLDER}/`)).toBe(true);
      expect(complaints(server, made, site)).toEqual([]);
    }
  });

  it("is the same for the same folders, in whatever order they are named", () => {
    const statics = [
      { url: "/a/", folder: "/srv/a" },
      { url: "/a/b/", folder: "/srv/b" },
    ];
    const inOrder = attempt(server, plainSite(FOLDER, { statics }));
    expect(attempt(server, plainSite(FOLDER, { statics: statics.toReversed() }))).toEqual(inOrder);
  });

  it("holds whatever text it is given, or is refused in a sentence", { timeout: patience(60_000) }, () => {
    fc.assert(
      fc.property(hostileSite(FOLDER), (site) => {
        const made = attempt(server, site);
        if (typeof made === "string") expect(made).toMatch(/^[^\n]{10,}$/);
        else expect(complaints(server, made, site)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it.each<[what: string, site: Partial<Site>, says: RegExp]>([
    ["a name with a slash", { name: "a/b" }, /^--name "a\/b": /],
    ["no host", { serverNames: [] }, /^--server-name: /],
    ["a host that ends the line", { serverNames: ["a;b"] }, /^--server-name "a;b": /],
    ["a mount with a slash at its end", { mount: "/a/" }, /^--mount "\/a\/": /],
    ["a mount with a dot-dot", { mount: "/a/../b" }, /^--mount /],
    ["a mount without a slash", { mount: "a" }, /^--mount "a": /],
    ["a mount of 300 bytes", { mount: `/${"é".repeat(150)}` }, /^--mount .*200 bytes$/],
    ["a line break in a folder", { publicFolder: "/a\nb" }, /^--root: "\/a\\nb" holds a line break/],
    [
      "a line break of YAML in a folder",
      { publicFolder: "/a\u0085b" },
      /^--root: .* another control character/,
    ],
    ["bytes that are no text", { publicFolder: "/a\ufffdb" }, /^--root: .* is not UTF-8/],
    [
      "a line break in the address of the side listener",
      { webSocket: { url: "/ws", address: { kind: "unix", path: "/a\nb" } } },
      /^--ws-http: "\/a\\nb" holds a line break/,
    ],
    [
      "a host of the side listener that ends the line",
      { webSocket: { url: "/ws", address: { kind: "tcp", host: "a;b", port: 9 } } },
      /^--ws-http "a;b:9": /,
    ],
    [
      "a URL that leads to two folders",
      { statics: [{ url: "/a/", folder: "/a" }], sendFile: [{ url: "/a/", folder: "/b" }] },
      /^"\/a\/" is given to two folders/,
    ],
    [
      "files in the place of the application",
      { mount: "/a/b", statics: [{ url: "/a/", folder: "/a" }] },
      /^"\/a\/" is given to a folder, .* the application at "\/a\/b"/,
    ],
    [
      "files in the place of the WebSockets",
      {
        statics: [{ url: "/a/", folder: "/a" }],
        webSocket: { url: "/a", address: { kind: "tcp", host: "127.0.0.1", port: 9 } },
      },
      /^"\/a\/" is given to a folder, /,
    ],
    [
      "passwords among the files for everybody",
      { publicFolder: "/srv/public", passwords: "/srv/public/passwords" },
      /^--passwords "\/srv\/public\/passwords": the web server would send it to everybody/,
    ],
    [
      "a key among the files for everybody",
      {
        statics: [{ url: "/a/", folder: "/srv/tls" }],
        tls: { certificate: "/srv/tls/c.pem", key: "/srv/tls/k.pem", clientCa: undefined },
      },
      /^--key "\/srv\/tls\/k\.pem": the web server would send it to everybody/,
    ],
    ["static files without slashes", { statics: [{ url: "/a", folder: "/a" }] }, /^--static "\/a": /],
    ["no address", { application: { kind: "external", addresses: [] } }, /^--bind: /],
    [
      "a host of an address that ends the line",
      { application: { kind: "external", addresses: [{ kind: "tcp", host: "a;b", port: 9 }] } },
      /^--bind "a;b:9": /,
    ],
    [
      "an abstract socket",
      { application: { kind: "external", addresses: [{ kind: "abstract", name: "x" }] } },
      /^--bind: \w+ is given a unix socket with a path/,
    ],
    ["no time", { timeoutSeconds: 0 }, /^--timeout 0: /],
    ["less than no body", { maxBodyBytes: -1 }, /^--max-body -1: /],
    ["no port", { listen: { host: undefined, port: 0 } }, /^--listen ":0": /],
  ])("is refused for %s", (_, more, says) => {
    expect(attempt(server, plainSite(FOLDER, more))).toMatch(says);
  });
});

describe("the folder of a server of its own that root starts", () => {
  const standalone = { folder: "/srv/my site", user: "www-data", group: "www-data", modules: undefined };

  it.each(["lighttpd", "h2o"] as const)("is opened for the user of %s, and stays root's", (server) => {
    const { steps } = generateSite(server, plainSite(FOLDER, { standalone }));
    expect(steps).toEqual([{ what: "install", command: "install -d -g www-data -m 1775 '/srv/my site'" }]);
    const other = { ...standalone, user: undefined, group: undefined };
    expect(generateSite(server, plainSite(FOLDER, { standalone: other })).steps).toEqual([]);
  });
});
