/** How hard texts are written in configurations of Caddy, HAProxy and h2o, and what these servers are refused or told. */
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { parseCaddyfile } from "../../../src/sites/caddy-parse.ts";
import { parseHaproxy } from "../../../src/sites/haproxy-parse.ts";
import { generateSite, type Site, type WebServerName } from "../../../src/sites/index.ts";
import { plainSite } from "../../support/sites-table.ts";

const HARD = `/srv/it's "so" #1 \\ %s`;

function textOf(server: WebServerName, more: Partial<Site>): string {
  return generateSite(server, plainSite("/srv/site", more)).files[0]?.text ?? "";
}

function lineWith(text: string, word: string): string {
  return (text.split("\n").find((line) => line.includes(word)) ?? "").trim();
}

const at = (path: string): Pick<Site, "application"> => ({
  application: { kind: "external", addresses: [{ kind: "unix", path }] },
});

const SPAWNED = {
  kind: "spawned",
  program: "/srv/it's a.fcgi",
  processes: 1,
  isDynamic: false,
  socket: "/run/a.sock",
  environment: { WORD: `a "b" $HOME` },
} as const;

describe("a path that is hard to write", () => {
  it("is one word of a Caddyfile", () => {
    const text = textOf("caddy", at(HARD));
    expect(lineWith(text, "reverse_proxy")).toBe(`reverse_proxy \`unix/${HARD}\` {`);
    expect(lineWith(textOf("caddy", at('/srv/a`b"c')), "reverse_proxy")).toBe(
      'reverse_proxy "unix//srv/a`b\\"c" {',
    );
    expect(() => parseCaddyfile(text)).not.toThrow();
  });

  it.each([
    ["/srv/{env.HOME}", /braces/],
    ["/srv/a`b\\c", /backtick and a backslash/],
    ["/srv/a|0222", /permissions/],
  ])("is refused for Caddy when there is no way: %s", (path, says) => {
    expect(() => textOf("caddy", at(path))).toThrow(says);
  });

  it("is one word for HAProxy", () => {
    const text = textOf("haproxy", at(HARD));
    const backend = parseHaproxy(text).find(({ kind }) => kind === "backend");
    expect(backend?.lines.find(({ words }) => words[0] === "server")?.words[2]).toBe(`unix@${HARD}`);
    expect(lineWith(text, "server yourapplication1")).toContain(`'unix@/srv/it'\\''s "so" #1 \\ %s'`);
    expect(() => textOf("haproxy", at("/srv/$HOME"))).toThrow(/variable/);
  });

  it("is one text for h2o", () => {
    const { hosts } = parse(textOf("h2o", at(HARD))) as {
      hosts: Record<string, { paths: Record<string, Record<string, { port: string }>[]> }>;
    };
    expect(hosts["example.com:8099"]?.paths["/"]?.[0]?.["fastcgi.connect"]?.port).toBe(HARD);
  });

  it("is one word of the command that h2o runs", () => {
    const { hosts } = parse(textOf("h2o", { application: SPAWNED })) as {
      hosts: Record<string, { paths: Record<string, Record<string, string>[]> }>;
    };
    expect(hosts["example.com:8099"]?.paths["/"]?.[0]?.["fastcgi.spawn"]).toBe(
      `WORD='a "b" $HOME' exec '/srv/it'\\''s a.fcgi'`,
    );
  });
});

describe("a mount that is hard to write", () => {
  const mount = "/a.b(c)$[d]{1}|é";

  it("is matched by Caddy as it is", () => {
    const pattern = lineWith(textOf("caddy", { mount }), "@application path_regexp").split(" ").at(-1) ?? "";
    expect(pattern).not.toMatch(/[{}`"]/);
    expect(new RegExp(pattern).exec(`${mount}/x`)?.slice(1)).toEqual([mount, "/x"]);
    expect(new RegExp(pattern).test("/aXb(c)$[d]{1}|é/x")).toBe(false);
  });

  it("is matched by HAProxy as it is", () => {
    const app = parseHaproxy(textOf("haproxy", { mount })).find(({ kind }) => kind === "fcgi-app");
    const pattern = app?.lines.find(({ words }) => words[0] === "path-info")?.words[1] ?? "";
    expect(new RegExp(pattern).exec(`${mount}/x`)?.slice(1)).toEqual([mount, "/x"]);
    expect(new RegExp(pattern).test(`${mount}x`)).toBe(false);
  });
});

describe("what a server cannot do", () => {
  it.each<[WebServerName, Partial<Site>, RegExp]>([
    ["caddy", { application: SPAWNED }, /^--spawn: Caddy starts no FastCGI programs/],
    ["haproxy", { application: SPAWNED }, /^--spawn: HAProxy starts no programs/],
    ["caddy", { webSocket: { url: "/ws", address: undefined } }, /^--websocket: .*--ws-http/],
    ["haproxy", { webSocket: { url: "/ws", address: undefined } }, /^--websocket: .*--ws-http/],
    ["h2o", { webSocket: { url: "/ws", address: undefined } }, /^--websocket: .*--ws-http/],
    [
      "h2o",
      { webSocket: { url: "", address: { kind: "tcp", host: "::1", port: 9 } } },
      /^--websocket: h2o tells/,
    ],
    ["h2o", { tls: { certificate: "/c", key: "/k", clientCa: "/a" } }, /^--client-ca: /],
    ["h2o", { passwords: '/srv/"#{exit}' }, /^--passwords /],
  ])("%s is refused: %j", (server, more, says) => {
    expect(() => textOf(server, more)).toThrow(says);
  });

  it.each<[WebServerName, Partial<Site>, RegExp]>([
    ["caddy", {}, /^Caddy opens a connection for each request/m],
    ["caddy", { sendFile: [{ folder: "/f", url: undefined }] }, /--send-file: Caddy sends no files/],
    ["haproxy", { publicFolder: "/srv/public" }, /HAProxy sends no files/],
    ["haproxy", { isMultiplexed: true }, /--multiplex: HAProxy 2\.6 answers 500/],
    ["haproxy", { sendFile: [{ folder: "/f", url: undefined }] }, /--send-file: HAProxy sends no files/],
    ["h2o", { mount: "/a b".replace(" ", "é") }, /--base \/a%C3%A9b/],
    ["h2o", { application: SPAWNED }, /does not start it again/],
    ["h2o", { sendFile: [{ folder: "/f", url: undefined }] }, /--send-file: h2o sends no files/],
  ])("%s says in a note: %j", (server, more, says) => {
    const notes = generateSite(server, plainSite("/srv/site", more)).notes.join("\n");
    expect(notes).toMatch(says);
  });
});

describe("beside other sites", () => {
  const installed = (server: WebServerName, more: Partial<Site> = {}): string =>
    textOf(server, { standalone: undefined, listen: { host: undefined, port: 80 }, ...more });

  it("Caddy answers to its own names, and gets certificates for port 443", () => {
    const names = { serverNames: ["example.com", "*.example.org"] };
    expect(installed("caddy", names)).toContain("\nhttp://example.com, http://*.example.org {\n");
    expect(installed("caddy", { ...names, listen: { host: undefined, port: 443 } })).toContain(
      "\nhttps://example.com, https://*.example.org {\n",
    );
    expect(installed("caddy")).not.toContain("admin off");
  });

  it("HAProxy answers to its own names, and leaves no defaults behind", () => {
    const text = installed("haproxy", { serverNames: ["Example.com", "*.example.org"] });
    expect(text).toContain(
      "http-request return status 421 unless { req.hdr(Host),host_only,lower -m str example.com } || { req.hdr(Host),host_only,lower -m end .example.org }",
    );
    expect(text).not.toMatch(/^(?:defaults|global)/m);
  });

  it("HAProxy is given sockets as Debian's chroot has them, and says which it does not find", () => {
    const made = (path: string, more: Partial<Site> = {}): [server: string | undefined, notes: string] => {
      const application: Site["application"] = { kind: "external", addresses: [{ kind: "unix", path }] };
      const { files, notes } = generateSite(
        "haproxy",
        plainSite("/srv/site", { standalone: undefined, application, ...more }),
      );
      return [/^ *server \S+ (\S+) proto fcgi/m.exec(files[0]?.text ?? "")?.[1], notes.join("\n")];
    };
    const [outside, warned] = made("/run/app.sock");
    expect(outside).toBe("unix@/run/app.sock");
    expect(warned).toContain("chroot /var/lib/haproxy, and HAProxy finds no socket outside of that folder");
    const [inside, silent] = made("/var/lib/haproxy/run/app.sock");
    expect(inside).toBe("unix@/run/app.sock");
    expect(silent).not.toContain("chroot");
    const webSocket: Site["webSocket"] = { url: "/ws", address: { kind: "unix", path: "/run/ws.sock" } };
    expect(made("/var/lib/haproxy/run/app.sock", { webSocket })[1]).toContain("chroot");
  });

  it("HAProxy alone is given sockets as they are", () => {
    const application: Site["application"] = {
      kind: "external",
      addresses: [{ kind: "unix", path: "/var/lib/haproxy/a.sock" }],
    };
    expect(textOf("haproxy", { application })).toContain(" unix@/var/lib/haproxy/a.sock proto fcgi");
  });

  it("h2o listens for each of its names", () => {
    const { hosts } = parse(installed("h2o", { serverNames: ["a.com", "b.com"] })) as { hosts: object };
    expect(Object.keys(hosts)).toEqual(["a.com", "b.com"]);
  });
});
