/** From flags and Postern's configuration to a site: what wins, what is guessed and told, what is refused. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { expectedOf, type SiteFlags, siteModel } from "../../../src/cli/site-model.ts";
import type { PoolSettings } from "../../../src/config/types.ts";
import type { Site, WebServerName } from "../../../src/sites/index.ts";
import { repositoryRoot } from "../../support/paths.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { configFolder } from "../config/folder.ts";

let cwd: string;

beforeAll(() => {
  cwd = join(temporaryFolder("m"), "shop");
  mkdirSync(join(cwd, "public"), { recursive: true });
  writeFileSync(join(cwd, "app.fcgi"), "");
});

interface Surroundings {
  readonly server?: WebServerName;
  readonly pool?: PoolSettings;
  readonly uid?: number;
}

function model(flags: SiteFlags, { server = "nginx", pool, uid = 1000 }: Surroundings = {}) {
  return siteModel(flags, { server, pool, cwd, uid });
}

function site(flags: SiteFlags, surroundings: Surroundings = {}): Site {
  return model(flags, surroundings).site;
}

/** The pool of a configuration file in a folder of its own. */
async function poolFrom(settings: object): Promise<PoolSettings> {
  const { configuration } = await configFolder({ app: "app.js", ...settings }).load();
  return configuration.pools[0]!;
}

describe("a site", () => {
  it("says when the document root gives away the application", async () => {
    const pool = await poolFrom({});
    const notes = (root: string): string => model({ root }, { pool }).notes.join();
    expect(notes(pool.chdir)).toMatch(/holds the application: visitors can read its source/);
    expect(notes(join(pool.chdir, "public"))).not.toMatch(/source/);
  });

  it("gives a program in Python that the web server starts the stand-in for flup", async () => {
    writeFileSync(join(cwd, "flask.fcgi"), "#!/usr/bin/python3\n");
    const environmentOf = (spawn: string, pool?: PoolSettings): unknown =>
      site({ spawn, env: ["A=1"] }, { server: "lighttpd", ...(pool && { pool }) }).application;
    const python = { environment: { PYTHONPATH: join(repositoryRoot, "python"), A: "1" } };
    expect(environmentOf("flask.fcgi")).toMatchObject(python);
    expect(environmentOf("app.fcgi", await poolFrom({ app: "shop:app" }))).toMatchObject(python);
    expect(environmentOf("app.fcgi")).toMatchObject({ environment: { NODE_ENV: "production", A: "1" } });
  });

  it("keeps connections by itself only where a reload of Postern loses no request", () => {
    expect(site({}, { server: "nginx" }).isKeptAlive).toBe(true);
    expect(site({}, { server: "apache" }).isKeptAlive).toBe(false);
    expect(site({}, { server: "haproxy" }).isKeptAlive).toBe(false);
    expect(site({ multiplex: true }, { server: "haproxy" }).isKeptAlive).toBe(true);
    expect(site({ keepAlive: true }, { server: "h2o" }).isKeptAlive).toBe(true);
    expect(site({ keepAlive: false }, { server: "nginx" }).isKeptAlive).toBe(false);
  });

  it("is complete without a flag or a configuration, and says what it has guessed", () => {
    const { site: made, notes } = model({});
    expect(made).toEqual({
      name: "shop",
      serverNames: ["example.com"],
      listen: { host: undefined, port: 80 },
      mount: "",
      application: { kind: "external", addresses: [{ kind: "unix", path: "/run/shop/app.sock" }] },
      apacheModule: "proxy_fcgi",
      publicFolder: join(cwd, "public"),
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
    } satisfies Site);
    expect(notes).toEqual([
      expect.stringMatching(/^the files in .*public are for every visitor; --no-root leaves them out/),
      expect.stringMatching(/^no --server-name: example\.com stands for the name/),
    ]);
  });

  it("is what the configuration of Postern says", async () => {
    const pool = await poolFrom({
      bind: ["127.0.0.1:9000", "unix:/run/x.sock"],
      base: "/app",
      http: ":8080",
      static: "files",
      requestTerminateTimeout: "90s",
      sendFile: ["/var/files=/protected/"],
      wsHttp: "127.0.0.1:9001",
    });
    const { site: made, notes } = model({}, { pool });
    expect(made).toMatchObject({
      name: "site",
      application: { addresses: [{ kind: "tcp", host: "127.0.0.1", port: 9000 }] },
      mount: "/app",
      publicFolder: pool.static,
      timeoutSeconds: 90,
      sendFile: [{ folder: "/var/files", url: "/protected/" }],
      webSocket: { url: "/app", address: { kind: "tcp", host: "127.0.0.1", port: 9001 } },
    });
    expect(notes).toContainEqual(
      expect.stringMatching(/listens at 127\.0\.0\.1:9000 and unix:\/run\/x\.sock: .* the first/),
    );
  });

  it("is what the flags say before what the configuration says", async () => {
    const pool = await poolFrom({ bind: "127.0.0.1:9000", base: "/app", wsHttp: "127.0.0.1:9001" });
    const made = site(
      {
        name: "n",
        bind: ["unix:a.sock", ":9002"],
        mount: "/",
        timeout: "2m",
        root: "r",
        static: ["/s", "/t/=f"],
        wsHttp: "127.0.0.1:9003",
        websocket: "/ws/",
        keepAlive: false,
        stream: true,
        multiplex: true,
        serverName: ["a.example"],
        passwords: "p",
        maxBody: "0",
      },
      { pool },
    );
    expect(made).toMatchObject({
      name: "n",
      application: {
        addresses: [
          { kind: "unix", path: join(cwd, "a.sock") },
          { kind: "tcp", host: "127.0.0.1", port: 9002 },
        ],
      },
      mount: "",
      timeoutSeconds: 120,
      publicFolder: join(cwd, "r"),
      statics: [
        { url: "/s/", folder: join(cwd, "r", "s") },
        { url: "/t/", folder: join(cwd, "f") },
      ],
      webSocket: { url: "/ws", address: { kind: "tcp", host: "127.0.0.1", port: 9003 } },
      isKeptAlive: false,
      isStreaming: true,
      isMultiplexed: true,
      serverNames: ["a.example"],
      passwords: join(cwd, "p"),
      maxBodyBytes: 0,
    });
  });

  it("has WebSockets inside FastCGI where Postern is told so, and none where it is not", async () => {
    expect(site({}, { pool: await poolFrom({ upgrade: true }) }).webSocket).toEqual({
      url: "",
      address: undefined,
    });
    expect(site({}, { pool: await poolFrom({ upgrade: false }) }).webSocket).toBeUndefined();
    expect(site({ websocket: "/ws" }).webSocket).toEqual({ url: "/ws", address: undefined });
  });

  it("is reached on this machine's own address where the application listens on all", async () => {
    const pool = await poolFrom({ bind: "0.0.0.0:9000", allowedClients: ["any"] });
    expect(site({}, { pool }).application).toMatchObject({ addresses: [{ host: "127.0.0.1" }] });
    expect(site({ bind: ["[::]:9000"] }).application).toMatchObject({ addresses: [{ host: "::1" }] });
  });

  it("listens where it is told, and on 443 with TLS", () => {
    expect(site({ listen: "8080" }).listen).toEqual({ host: undefined, port: 8080 });
    expect(site({ listen: ":8080" }).listen).toEqual({ host: undefined, port: 8080 });
    expect(site({ listen: "[::1]:8080" }).listen).toEqual({ host: "::1", port: 8080 });
    const made = site({ certificate: "c.pem", key: "k.pem", clientCa: "ca.pem" });
    expect(made.listen).toEqual({ host: undefined, port: 443 });
    expect(made.tls).toEqual({
      certificate: join(cwd, "c.pem"),
      key: join(cwd, "k.pem"),
      clientCa: join(cwd, "ca.pem"),
    });
  });

  it("has no document root where there is none, or none is wanted", async () => {
    expect(site({ root: false }).publicFolder).toBeUndefined();
    expect(site({}, { pool: await poolFrom({}) }).publicFolder).toBeUndefined();
  });

  it("is started by the web server where it is told to", () => {
    const flags: SiteFlags = { spawn: "app.fcgi", processes: "3", dynamic: true, env: ["A=b=c", "E="] };
    expect(site(flags, { server: "lighttpd" })).toMatchObject({
      apacheModule: "fcgid",
      application: {
        kind: "spawned",
        program: join(cwd, "app.fcgi"),
        processes: 3,
        isDynamic: true,
        socket: "/run/lighttpd/shop.sock",
        environment: { NODE_ENV: "production", A: "b=c", E: "" },
      },
    });
    expect(site({ ...flags, module: "fastcgi", socket: "s" }, { server: "apache" })).toMatchObject({
      apacheModule: "fastcgi",
      application: { socket: join(cwd, "s") },
    });
    expect(site({ ...flags, standalone: "d" }).application).toMatchObject({
      socket: join(cwd, "d", "app.sock"),
    });
  });

  it("tells of files that are not here, which may be elsewhere", () => {
    const { notes } = model({ certificate: "gone.pem", key: "gone.key", spawn: "app.fcgi" });
    expect(notes.filter((note) => note.includes("no such file"))).toEqual([
      expect.stringMatching(/^--certificate .*gone\.pem: there is no such file here; nginx will want it$/),
      expect.stringMatching(/^--key /),
    ]);
  });

  it("has another user for its workers only for root", () => {
    expect(site({ standalone: "d" }).standalone).toEqual({
      folder: join(cwd, "d"),
      user: undefined,
      group: undefined,
      modules: undefined,
    });
    const { site: made, notes } = model({ standalone: "d" }, { uid: 0 });
    // Every system that we test on has www-data or a like.
    expect(made.standalone?.user).toMatch(/^\w/);
    expect(notes).toContainEqual(expect.stringMatching(/^its workers become/));
  });

  it.each<[flags: SiteFlags, says: RegExp]>([
    [{ listen: "x" }, /^--listen "x": write a port, or host:port/],
    [{ listen: "99999" }, /^--listen "99999"/],
    [{ bind: ["systemd"] }, /^--bind systemd: a web server is given unix:\/path or host:port/],
    [{ bind: ["unix:@x"] }, /^--bind unix:@x: /],
    [{ bind: ["unix:/a"], spawn: "x" }, /^--bind and --spawn: .* give one of them/],
    [{ processes: "2" }, /^--processes without --spawn/],
    [{ env: ["A=b"] }, /^--env without --spawn/],
    [{ dynamic: true }, /^--dynamic without --spawn/],
    [{ socket: "s" }, /^--socket without --spawn/],
    [{ spawn: "x", processes: "0" }, /^--processes "0": a number from 1 to 10000/],
    [{ spawn: "x", env: ["A"] }, /^--env "A": write NAME=value/],
    [{ module: "php" }, /^--module "php": it is one of proxy_fcgi, fcgid, fastcgi/],
    [{ static: ["/s"], root: false }, /^--static \/s: there is no document root .* --static \/s=FOLDER/],
    [{ maxBody: "many" }, /^--max-body "many": a size such as/],
    [{ timeout: "soon" }, /^--timeout "soon": a time/],
    [{ timeout: "10ms" }, /^--timeout "10ms": a time from one second on/],
    [{ certificate: "c" }, /^--certificate alone: TLS needs --certificate FILE and --key FILE/],
    [{ clientCa: "c" }, /^--client-ca alone/],
    [{ sendFile: ["/"] }, /^--send-file "\/"/],
    [{ wsHttp: "fd:3" }, /^--ws-http fd:3: a web server is given/],
    [{ standalone: "/" }, /^--standalone \/: give a folder of its own/],
  ])("is refused for %j", (flags, says) => {
    expect(() => site(flags)).toThrow(says);
  });

  it("is refused where the application listens at nothing that a web server can be given", async () => {
    const pool = await poolFrom({ bind: "systemd" });
    expect(() => site({}, { pool })).toThrow(/^bind systemd: .* say with --bind where/);
  });
});

describe("what an existing configuration is compared with", () => {
  const expected = (flags: SiteFlags, pool?: PoolSettings) =>
    expectedOf(flags, { server: "nginx", pool, cwd, uid: 1000 });

  it("is nothing where nothing is said", () => {
    expect(Object.values(expected({})).filter((value) => value !== undefined)).toEqual([]);
  });

  it("is what flags and configuration say", async () => {
    const pool = await poolFrom({ bind: ["systemd", "127.0.0.1:9000"], base: "/app" });
    expect(expected({ maxBody: "1m", timeout: "5m", sendFile: ["/f=/p"] }, pool)).toEqual({
      addresses: [{ kind: "tcp", host: "127.0.0.1", port: 9000 }],
      mount: "/app",
      maxBodyBytes: 1_048_576,
      sendFile: [{ folder: "/f", url: "/p/" }],
      timeoutSeconds: 300,
    });
    expect(expected({ bind: ["unix:a"], mount: "/" }, pool)).toMatchObject({
      addresses: [{ kind: "unix", path: join(cwd, "a") }],
      mount: "",
    });
    expect(expected({ spawn: "x" }, pool).addresses).toBeUndefined();
  });
});
