/** Everything that is refused or noted about a configuration, in its exact words. */
import { describe, expect, it } from "vitest";
import type { LoadRequest } from "../../../src/config/load.ts";
import { configFolder } from "./folder.ts";

const app = { app: "a.js" };
const at = (pool: object, other: object = {}): object => ({
  pools: { blog: { ...app, bind: ":1", ...pool } },
  ...other,
});

describe("names", () => {
  it.each<[string, object, string]>([
    [
      "a misspelt one",
      at({ maxChildern: 4 }),
      "postern.config.json: pools.blog.maxChildern: there is no such setting; did you mean maxChildren (a whole number from 1 to 10000)?",
    ],
    [
      "a flag's",
      { ...app, "max-children": 4 },
      "postern.config.json: max-children: there is no such setting; did you mean maxChildren (a whole number from 1 to 10000)?",
    ],
    [
      "php-fpm's",
      { ...app, "pm.max_children": 4 },
      "postern.config.json: pm.max_children: this is called maxChildren here (a whole number from 1 to 10000)",
    ],
    [
      "php-fpm's for the socket",
      { ...app, listen: ":9" },
      "postern.config.json: listen: this is called bind here (an address, or a list of addresses)",
    ],
    [
      "the manager's in a pool",
      at({ logLevel: "info" }),
      "postern.config.json: pools.blog.logLevel: this is a setting of the manager; write it outside of pools",
    ],
    [
      "one of an object's own",
      { ...app, constructor: 1 },
      "postern.config.json: constructor: there is no such setting; there are",
    ],
  ])("refused: %s", async (_, written, message) => {
    expect(
      (await configFolder(written).refusal()).startsWith(message),
      await configFolder(written).refusal(),
    ).toBe(true);
  });
});

describe("the file as a whole", () => {
  it.each<[object | string, string]>([
    ["[]", "postern.config.json: [] is no configuration; export an object of settings"],
    ["null", "postern.config.json: null is no configuration; export an object of settings"],
    [
      { pools: [app] },
      'postern.config.json: pools: [{"app":"a.js"}] cannot be used, it must be an object of pools by name, such as { blog: { app: "blog.js" } }',
    ],
    [
      { pools: {} },
      'postern.config.json: pools: {} cannot be used, it must be an object of pools by name, such as { blog: { app: "blog.js" } }',
    ],
    [
      { pools: { a: "a.js" } },
      'postern.config.json: pools.a: "a.js" cannot be used, it must be an object of settings',
    ],
    [
      { pools: { "a b": app } },
      'postern.config.json: pools: "a b" cannot be used, it must be a name: at most 40 letters, digits, _, - and ., beginning with a letter or digit',
    ],
    [
      { ...app, name: "../x" },
      'postern.config.json: name: "../x" cannot be used, it must be a name: at most 40 letters, digits, _, - and ., beginning with a letter or digit',
    ],
    [
      {},
      "postern.config.json: nothing to run: set app to the file of an application, or command to a program and its arguments",
    ],
    [
      { pools: { a: { bind: ":1" } } },
      "postern.config.json: pools.a: nothing to run: set app to the file of an application, or command to a program and its arguments",
    ],
    [
      { ...app, listenMode: 660 },
      'postern.config.json: listenMode: 660 cannot be used, it must be octal permissions such as "0660"',
    ],
  ])("%j is refused", async (written, message) => {
    const folder = configFolder();
    folder.write("postern.config.json", written);
    expect(await folder.refusal()).toBe(message);
  });

  it("all that is wrong is told at once, each mistake once, whatever it came from", async () => {
    const folder = configFolder({
      maxChildern: 4,
      pools: { a: { ...app, pm: "dynamc" }, b: { ...app, bind: ["9000"] } },
    });
    const refusal = await folder.refusal({
      env: { POSTERN_WORKERS: "three" },
      flags: { maxMemory: "lots", clearEnv: "x" },
    });
    expect(refusal).toBe(
      [
        "6 settings are wrong:",
        "  postern.config.json: maxChildern: there is no such setting; did you mean maxChildren (a whole number from 1 to 10000)?",
        '  postern.config.json: pools.a.pm: "dynamc" cannot be used, it must be static, dynamic or ondemand',
        '  postern.config.json: pools.b.bind "9000": for TCP write 127.0.0.1:9000 or :9000',
        '  POSTERN_WORKERS: "three" cannot be used, it must be a whole number from 1 to 10000, or "auto"',
        '  --max-memory: "lots" cannot be used, it must be bytes, or a size such as "256M" or "1G"; from "1M", or 0 for no limit',
        '  --clear-env: "x" cannot be used, it must be true or false',
      ].join("\n"),
    );
  });

  it("without one, and without a program, there is nothing to run", async () => {
    expect(await configFolder().refusal()).toBe(
      "nothing to run: name an application (postern serve app.js), or write a postern.config.ts in this folder",
    );
  });

  it("a program on the command line does not say which of several pools it is for", async () => {
    const folder = configFolder({ pools: { a: { ...app, bind: ":1" }, b: { ...app, bind: ":2" } } });
    expect(await folder.refusal({ file: "postern.config.json", app: "x.js" })).toBe(
      "the command line names a program, and postern.config.json has the pools a and b: leave out the one or the other",
    );
  });
});

describe("contradictions", () => {
  it.each<[object, string, Partial<LoadRequest>?]>([
    [
      at({ command: ["x"] }),
      "pool blog: app and command contradict each other: a pool runs one of the two: leave the other out, or make it a pool of its own",
    ],
    [
      at({ workers: 3, maxChildren: 4 }),
      "pool blog: workers and maxChildren contradict each other: workers is short for maxChildren: leave one of the two out",
    ],
    [
      at({ base: "/a", scriptName: "keep" }),
      "pool blog: base and scriptName contradict each other: both say where the mount is: leave one of the two out",
    ],
    [
      at({ base: "a" }),
      'pool blog: base is "a": it must be "" or a path such as "/x" (percent-encoded, without query)',
    ],
    [
      at({ pm: "dynamic", maxChildren: 9, minSpareServers: 5, maxSpareServers: 4 }),
      "pool blog: minSpareServers 5 (postern.config.json) exceeds maxSpareServers 4 (postern.config.json): lower the one or raise the other",
    ],
    [
      at({ pm: "dynamic", minSpareServers: 5 }),
      "pool blog: minSpareServers 5 (postern.config.json) exceeds maxChildren 4 (default): lower the one or raise the other",
    ],
    [
      at({ pm: "dynamic", maxSpareServers: 8 }),
      "pool blog: maxSpareServers 8 (postern.config.json) exceeds maxChildren 3 (--workers): lower the one or raise the other",
      { flags: { workers: "3" } },
    ],
    [
      at({ pm: "dynamic", maxChildren: 9, minSpareServers: 2, startServers: 1 }),
      "pool blog: startServers 1 (postern.config.json) is not between minSpareServers 2 (postern.config.json) and maxSpareServers 3 (default): choose one from 2 to 3, or leave startServers out",
    ],
    [
      at({ pm: "dynamic", maxChildren: 9, startServers: 4 }),
      "pool blog: startServers 4 (postern.config.json) is not between minSpareServers 1 (default) and maxSpareServers 3 (default): choose one from 1 to 3, or leave startServers out",
    ],
    [
      { pools: { c: { command: ["c"], http: ":8080", bind: ":1" } } },
      "pool c: http :8080 (postern.config.json) is for JavaScript applications: put postern gateway or a web server before a command",
    ],
    [
      { pools: { c: { command: ["c"], bind: [":1", ":2"] } } },
      "pool c: a command gets one socket, and bind names 2: :1, :2; name one, or make a pool for each",
    ],
    [
      at({ static: "/public" }),
      "pool blog: static /public (postern.config.json) needs http: behind a web server, let that serve the files",
    ],
    [
      at({ nodeArgs: ["other.js"] }),
      "pool blog: nodeArgs other.js (postern.config.json) is no flag: node would run it instead of the application",
    ],
    [
      at({ pingPath: "/x", statusPath: "/x" }),
      "pool blog: pingPath and statusPath are both /x: choose another path for one of them",
    ],
    [
      at({ user: "www-data" }),
      "pool blog: user www-data (postern.config.json) needs root, and this is user somebody: start as root, or leave user out",
    ],
    [
      at({ group: "www-data" }),
      "pool blog: group www-data (postern.config.json) needs root, and this is user 1000: start as root, or leave group out",
      { userName: undefined },
    ],
    [
      { pools: { a: { ...app, bind: "/a.sock" }, b: { ...app, bind: [":1", "unix:/a.sock"] } } },
      "postern.config.json: pools a and b both have bind unix:/a.sock: give each its own",
    ],
    [
      { pools: { a: { ...app, http: ":80" }, b: { ...app, http: ":80" } } },
      "postern.config.json: pools a and b both have http :80: give each its own",
    ],
    [
      { pools: { a: app, b: app } },
      "postern.config.json: pools a and b both have no bind, which is the inherited socket: give each its own",
    ],
    [at({ bind: [":1", ":1"] }), "postern.config.json: pool blog names bind :1 twice: leave one out"],
    [
      at({}, { controlSocket: `/${"s".repeat(107)}` }),
      `postern.config.json: controlSocket /${"s".repeat(107)} is longer than the 107 bytes a unix socket can have: choose a shorter name or path`,
    ],
  ])("%# %j is refused", async (written, message, request = {}) => {
    expect(await configFolder(written).refusal(request)).toBe(message);
  });

  it.each<[string, object, Partial<LoadRequest>?]>([
    ["the user one is", at({ user: "somebody" })],
    ["the user id one is", at({ user: 1000 })],
    ["another user for root", at({ user: "www-data", group: "www-data" }), { uid: 0 }],
    ["port 0 twice", { pools: { a: { ...app, bind: ":0" }, b: { ...app, bind: [":0", "127.0.0.1:0"] } } }],
    ["spare servers that mean nothing in a static pool", at({ minSpareServers: 5, maxSpareServers: 4 })],
    ["two pools of HTTP alone", { pools: { a: { ...app, http: ":80" }, b: { ...app, http: ":81" } } }],
    ["base for all, scriptName for one", at({ scriptName: "keep" }, { base: "/x" })],
    [
      "app for all, a command for one",
      { ...app, pools: { a: { bind: ":1" }, b: { command: ["b"], bind: ":2" } } },
    ],
  ])("allowed: %s", async (_, written, request) => {
    await configFolder(written).load(request);
  });
});

describe("notes", () => {
  it.each<[object, string, Partial<LoadRequest>?]>([
    [
      { ...app, minSpareServers: 2 },
      "pool site: minSpareServers (postern.config.json) has no effect with pm static, only with dynamic",
    ],
    [
      { ...app, pm: "dynamic" },
      "pool site: processIdleTimeout (--process-idle-timeout) has no effect with pm dynamic, only with ondemand",
      { flags: { processIdleTimeout: "5s" } },
    ],
    [
      { pools: { c: { command: ["c"], maxConcurrency: 5 } } },
      "pool c: maxConcurrency (postern.config.json) has no effect on a command",
    ],
    [
      { ...app, requestTerminateTimeout: 5, requestSlowlogTimeout: 5 },
      "pool site: no request is ever logged as slow, because requestTerminateTimeout comes before requestSlowlogTimeout",
    ],
    [
      { ...app, drainTimeout: 30_000 },
      'pool site: drainTimeout 30000 (postern.config.json) is in seconds, as in php-fpm; for milliseconds write "30000ms"',
    ],
    [
      app,
      'pool site: readyTimeout 5000 (POSTERN_READY_TIMEOUT) is in seconds, as in php-fpm; for milliseconds write "5000ms"',
      { env: { POSTERN_READY_TIMEOUT: "5000" } },
    ],
    [app, "pool site: its workers run as root; set user, unless they must", { uid: 0 }],
    [
      { ...app, maxChildren: 4, processMax: 3 },
      "processMax is 3, and the static pools want 4 workers: some will not start",
    ],
    [app, "POSTERN_WORKER is no setting; did you mean POSTERN_WORKERS?", { env: { POSTERN_WORKER: "3" } }],
  ])("%# %j is noted", async (written, note, request = {}) => {
    expect((await configFolder(written).load(request)).notes).toEqual([note]);
  });

  it.each<[string, object, Partial<LoadRequest>?]>([
    [
      "what all pools share, and one cannot use",
      { minSpareServers: 2, nodeArgs: ["--x"], pools: { c: { command: ["c"] } } },
    ],
    ["a long time with its unit", { ...app, drainTimeout: "30000s" }],
    ["hours in seconds", { ...app, requestTerminateTimeout: 7200 }],
    ["variables of others", app, { env: { POSTERN_RUN_DIR: "/run/x", POSTERN_TEST_RUN: "1", HOME: "/" } }],
    ["root with a user", { ...app, user: "www-data" }, { uid: 0 }],
    ["dynamic pools beyond processMax", { ...app, pm: "dynamic", maxChildren: 9, processMax: 3 }],
  ])("there is none on %s", async (_, written, request) => {
    expect((await configFolder(written).load(request)).notes).toEqual([]);
  });
});
