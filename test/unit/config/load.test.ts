/** Where settings come from, which of them wins, and what the defaults are. */
import { symlinkSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { findConfigurationFile } from "../../../src/config/load.ts";
import type { ManagerSettings, PoolSettings } from "../../../src/config/types.ts";
import { type ConfigFolder, configFolder } from "./folder.ts";

async function onlyPool(
  folder: ConfigFolder,
  ...request: Parameters<ConfigFolder["load"]>
): Promise<PoolSettings> {
  const { configuration } = await folder.load(...request);
  expect(configuration.pools).toHaveLength(1);
  return configuration.pools[0]!;
}

describe("defaults", () => {
  it("are all there for an application on the command line", async () => {
    const folder = configFolder();
    const { configuration, notes, origins } = await folder.load({ app: "server.js", env: { TMPDIR: "/t" } });
    const manager: ManagerSettings = {
      name: "site",
      controlSocket: "/t/postern-1000/site.sock",
      pidFile: undefined,
      logFile: undefined,
      logLevel: "info",
      processMax: 0,
    };
    const pool: PoolSettings = {
      name: "site",
      program: { kind: "app", file: `${folder.path}/server.js` },
      bind: [],
      http: undefined,
      wsHttp: undefined,
      static: undefined,
      listenMode: 0o660,
      listenOwner: undefined,
      listenGroup: undefined,
      listenBacklog: 511,
      allowedClients: undefined,
      trustProxy: undefined,
      sendFile: undefined,
      base: undefined,
      scriptName: undefined,
      stripBase: false,
      upgrade: undefined,
      development: undefined,
      pm: "static",
      maxChildren: 1,
      startServers: 1,
      minSpareServers: 1,
      maxSpareServers: 1,
      maxSpawnRate: 32,
      processIdleTimeoutMs: 10_000,
      maxRequests: 0,
      maxMemoryBytes: 0,
      maxConcurrency: 0,
      queueTimeoutMs: 0,
      maxLoopDelayMs: 30_000,
      readyTimeoutMs: 30_000,
      drainDelayMs: 0,
      drainTimeoutMs: 30_000,
      requestTerminateTimeoutMs: 0,
      requestSlowlogTimeoutMs: 0,
      requestSlowlogTraceDepth: 20,
      slowlog: undefined,
      phasedReload: false,
      restartFile: `${folder.path}/tmp/restart.txt`,
      pingPath: undefined,
      pingResponse: "pong",
      statusPath: undefined,
      metricsPath: undefined,
      accessLog: undefined,
      accessLogFormat: "combined",
      user: undefined,
      group: undefined,
      umask: undefined,
      chdir: folder.path,
      clearEnv: false,
      env: {},
      envFile: [],
      rlimitFiles: undefined,
      nodeArgs: [],
      python: undefined,
      threads: 8,
      catchWorkersOutput: true,
      decorateWorkersOutput: true,
    };
    expect(configuration).toStrictEqual({ manager, pools: [pool], file: undefined });
    expect(notes).toEqual([]);
    expect(origins.pools["site"]).toMatchObject({
      app: "command line",
      bind: "default",
      maxChildren: "default",
    });
    expect(origins.manager).toMatchObject({ name: "default", controlSocket: "default" });
  });

  it.each([
    [{ pm: "dynamic" }, { maxChildren: 4, minSpareServers: 1, maxSpareServers: 3, startServers: 2 }],
    [
      { pm: "dynamic", maxChildren: 2 },
      { maxSpareServers: 2, startServers: 1 },
    ],
    [
      { pm: "dynamic", maxChildren: 20, minSpareServers: 5 },
      { maxSpareServers: 5, startServers: 5 },
    ],
    [{ pm: "dynamic", maxChildren: 20, minSpareServers: 2, maxSpareServers: 9 }, { startServers: 5 }],
    [{ pm: "ondemand" }, { maxChildren: 4, startServers: 0 }],
    [{ pm: "static", maxChildren: 7 }, { startServers: 7 }],
  ])("follow from each other: %j", async (given, resolved) => {
    expect(await onlyPool(configFolder({ app: "a.js", ...given }))).toMatchObject(resolved);
  });

  it("of a dynamic pool are two workers at most on one core", async () => {
    expect(await onlyPool(configFolder({ app: "a.js", pm: "dynamic" }), { cores: 1 })).toMatchObject({
      maxChildren: 2,
    });
  });

  it.each([
    [["./bin/serve", "-x"], "bin", ["bin/serve", "-x"], "site"],
    [["php-cgi"], "", ["php-cgi"], "site"],
    [["./tools/run"], "tools", ["tools/run"], "tools"],
  ])("of the command %j: the folder of a path, else the current one", async (command, chdir, run, name) => {
    const folder = configFolder();
    const { configuration } = await folder.load({ command });
    const program = run.map((word, at) => (at === 0 && word.includes("/") ? `${folder.path}/${word}` : word));
    expect(configuration.pools[0]).toMatchObject({
      chdir: chdir === "" ? folder.path : `${folder.path}/${chdir}`,
      program: { kind: "command", command: program },
    });
    expect(configuration.manager.name).toBe(name);
  });
});

describe("precedence", () => {
  it("is file, environment, flag, and each setting knows where it came from", async () => {
    const folder = configFolder({
      app: "a.js",
      maxRequests: 1,
      maxMemory: "1M",
      listenBacklog: 1,
      logLevel: "warn",
    });
    const { configuration, origins } = await folder.load({
      env: { POSTERN_MAX_REQUESTS: "2", POSTERN_MAX_MEMORY: "2M", POSTERN_LOG_LEVEL: "error" },
      flags: { maxRequests: "3", verbose: true },
    });
    expect(configuration.pools[0]).toMatchObject({
      maxRequests: 3,
      maxMemoryBytes: 2_097_152,
      listenBacklog: 1,
    });
    expect(configuration.manager.logLevel).toBe("error");
    expect(origins.pools["site"]).toMatchObject({
      maxRequests: "--max-requests",
      maxMemory: "POSTERN_MAX_MEMORY",
      listenBacklog: "postern.config.json",
      pm: "default",
    });
    expect(origins.manager["logLevel"]).toBe("POSTERN_LOG_LEVEL");
  });

  it("in a file is the pool before what stands for all pools", async () => {
    const folder = configFolder({
      maxRequests: 5,
      readyTimeout: "5s",
      env: { A: "all", B: "all" },
      pools: {
        one: { app: "1.js", bind: ":1", maxRequests: 9, env: { B: "one" } },
        two: { app: "2.js", bind: ":2" },
      },
    });
    const { configuration } = await folder.load({ flags: { env: ["C=flag"] } });
    expect(configuration.pools).toMatchObject([
      { name: "one", maxRequests: 9, readyTimeoutMs: 5000, env: { A: "all", B: "one", C: "flag" } },
      { name: "two", maxRequests: 5, readyTimeoutMs: 5000, env: { A: "all", B: "all", C: "flag" } },
    ]);
  });

  it("lets flags and the environment speak for every pool", async () => {
    const folder = configFolder({
      pools: { one: { app: "1.js", bind: ":1", maxChildren: 9 }, two: { app: "2.js", bind: ":2" } },
    });
    const { configuration } = await folder.load({
      flags: { workers: "auto" },
      env: { POSTERN_PM: "ondemand" },
    });
    expect(configuration.pools).toMatchObject([
      { maxChildren: 4, pm: "ondemand" },
      { maxChildren: 4, pm: "ondemand" },
    ]);
  });

  it.each([
    [{ workers: 5 }, {}, 5, "postern.config.json"],
    [{ workers: 5 }, { maxChildren: "6" }, 6, "--max-children"],
    [{ maxChildren: 5 }, { workers: "6" }, 6, "--workers"],
  ])("between workers %j and %j is by place", async (file, flags, maxChildren, origin) => {
    const { configuration, origins } = await configFolder({ app: "a.js", ...file }).load({ flags });
    expect(configuration.pools[0]).toMatchObject({ pm: "static", maxChildren });
    expect(origins.pools["site"]?.["maxChildren"]).toBe(origin);
  });

  it("lets a program on the command line replace that of the file", async () => {
    const folder = configFolder({ command: ["php-cgi"], maxChildren: 3 });
    const request = { file: "postern.config.json", app: "other.js" };
    expect(await onlyPool(folder, request)).toMatchObject({
      program: { kind: "app", file: `${folder.path}/other.js` },
      maxChildren: 3,
    });
    const other = configFolder({ app: "a.js" });
    expect(await onlyPool(other, { file: "postern.config.json", command: ["x"] })).toMatchObject({
      program: { kind: "command", command: ["x"] },
    });
  });

  it("takes an empty variable for none, and an empty flag for off", async () => {
    const folder = configFolder({ app: "a.js", restartFile: "again", pingPath: "/ping" });
    const pool = await onlyPool(folder, { env: { POSTERN_PING_PATH: "" }, flags: { restartFile: "" } });
    expect(pool).toMatchObject({ restartFile: undefined, pingPath: "/ping" });
  });

  it.each([
    ["--no-catch-workers-output", { flags: { catchWorkersOutput: false } }],
    ["POSTERN_CATCH_WORKERS_OUTPUT", { env: { POSTERN_CATCH_WORKERS_OUTPUT: "no" } }],
  ])("knows %s", async (origin, request) => {
    const { configuration, origins } = await configFolder({ app: "a.js" }).load(request);
    expect(configuration.pools[0]?.catchWorkersOutput).toBe(false);
    expect(origins.pools["site"]?.["catchWorkersOutput"]).toBe(origin);
  });

  it("lets false turn off in one pool what is on for all", async () => {
    const folder = configFolder({
      pingPath: "/ping",
      pools: { one: { app: "1.js", bind: ":1", pingPath: false }, two: { app: "2.js", bind: ":2" } },
    });
    const { configuration } = await folder.load();
    expect(configuration.pools.map(({ pingPath }) => pingPath)).toEqual([undefined, "/ping"]);
  });
});

describe("paths", () => {
  it("in the file are relative to its folder, those of flags and variables to the current one", async () => {
    const folder = configFolder();
    folder.write("etc/postern.config.json", {
      app: "../app.js",
      bind: "unix:run/app.sock",
      envFile: ".env",
      slowlog: "slow.log",
      logFile: "log",
    });
    const { configuration } = await folder.load({
      file: "etc/postern.config.json",
      flags: { pidFile: "site.pid", slowlog: "slow" },
      env: { POSTERN_STATIC: "public", POSTERN_HTTP: ":0" },
    });
    const { path } = folder;
    expect(configuration.file).toBe(`${path}/etc/postern.config.json`);
    expect(configuration.manager).toMatchObject({
      logFile: `${path}/etc/log`,
      pidFile: `${path}/site.pid`,
      name: "etc",
    });
    expect(configuration.pools[0]).toMatchObject({
      program: { file: `${path}/app.js` },
      bind: [{ kind: "unix", path: `${path}/etc/run/app.sock` }],
      envFile: [`${path}/etc/.env`],
      slowlog: `${path}/slow`,
      static: `${path}/public`,
      chdir: path,
    });
  });

  it("keep their symlinks, so that each start follows them anew", async () => {
    const folder = configFolder();
    folder.write("releases/1/server.js", "");
    symlinkSync("releases/1", `${folder.path}/current`);
    const pool = await onlyPool(folder, { app: "current/server.js" });
    expect(pool).toMatchObject({
      name: "site",
      program: { file: `${folder.path}/current/server.js` },
      chdir: `${folder.path}/current`,
      restartFile: `${folder.path}/current/tmp/restart.txt`,
    });
  });

  it("of the restart file are relative to chdir", async () => {
    const pool = await onlyPool(configFolder({ app: "a.js", chdir: "/srv/x", restartFile: "now" }));
    expect(pool.restartFile).toBe("/srv/x/now");
  });
});

describe("the file", () => {
  it("is looked for only when the command line names no program", async () => {
    const folder = configFolder({ app: "a.js", maxChildren: 3 });
    expect((await folder.load()).configuration.file).toBe(`${folder.path}/postern.config.json`);
    expect((await folder.load({ app: "b.js" })).configuration.file).toBeUndefined();
    expect((await folder.load({ command: ["b"] })).configuration.file).toBeUndefined();
  });

  it("may be one alone", async () => {
    const folder = configFolder({ app: "a.js" });
    folder.write("postern.config.ts", "");
    expect(await folder.refusal()).toBe(
      `ERR_POSTERN_CONFIG_LOAD: there are postern.config.ts and postern.config.json in ${folder.path}: remove one, or choose with --config`,
    );
    expect((await folder.load({ file: "postern.config.json" })).configuration.pools).toHaveLength(1);
  });

  it("need not be there", () => {
    expect(findConfigurationFile(configFolder().path)).toBeUndefined();
  });

  it("may name its schema", async () => {
    expect((await configFolder({ $schema: "x", app: "a.js" }).load()).configuration.pools).toHaveLength(1);
  });

  it("names pools in their order", async () => {
    const pools = { b: { app: "b.js", bind: ":1" }, a: { command: ["a"], bind: ":2" } };
    const { configuration, origins } = await configFolder({ name: "two", pools }).load();
    expect(configuration.manager.name).toBe("two");
    expect(configuration.pools.map(({ name }) => name)).toEqual(["b", "a"]);
    expect(Object.keys(origins.pools)).toEqual(["b", "a"]);
  });
});
