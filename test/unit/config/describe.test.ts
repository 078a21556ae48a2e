/** What `postern config show` prints. */
import { expect, it } from "vitest";
import { describeConfiguration, printDescription } from "../../../src/config/describe.ts";
import { MANAGER_SETTINGS, POOL_SETTINGS } from "../../../src/config/settings.ts";
import { configFolder } from "./folder.ts";

const written = {
  name: "site",
  controlSocket: "/run/site.sock",
  pools: {
    blog: {
      app: "/srv/blog.js",
      bind: ["unix:/run/blog.sock", ":9000"],
      drainTimeout: 90,
      maxMemory: "256M",
      listenMode: "0600",
      env: { SECRET: "hunter2", PLAIN: 1 },
      base: "",
    },
    wiki: { command: ["php-cgi", "-n"], bind: ":9001", minSpareServers: 2 },
  },
};

it("every setting is described, as one would write it, with where it came from", async () => {
  const loaded = await configFolder(written).load({ flags: { workers: "3" } });
  const { manager, pools, notes, file } = describeConfiguration(loaded);
  expect(file).toMatch(/\/site\/postern\.config\.json$/);
  expect(manager).toEqual([
    { setting: "name", value: "site", origin: "postern.config.json" },
    { setting: "controlSocket", value: "/run/site.sock", origin: "postern.config.json" },
    { setting: "pidFile", value: null, origin: "default" },
    { setting: "logFile", value: null, origin: "default" },
    { setting: "logLevel", value: "info", origin: "default" },
    { setting: "processMax", value: 0, origin: "default" },
  ]);
  const blog = Object.fromEntries(
    pools["blog"]!.map(({ setting, value, origin }) => [setting, [value, origin]]),
  );
  expect(blog).toMatchObject({
    app: ["/srv/blog.js", "postern.config.json"],
    bind: [["unix:/run/blog.sock", ":9000"], "postern.config.json"],
    drainTimeout: ["90s", "postern.config.json"],
    maxMemory: ["256M", "postern.config.json"],
    listenMode: ["0600", "postern.config.json"],
    maxChildren: [3, "--workers"],
    readyTimeout: ["30s", "default"],
    user: [null, "default"],
  });
  expect(pools["wiki"]?.[0]).toEqual({
    setting: "command",
    value: ["php-cgi", "-n"],
    origin: "postern.config.json",
  });
  expect(notes).toEqual(loaded.notes);
});

it("leaves out no setting but the one that is short for another", async () => {
  const { manager, pools } = describeConfiguration(await configFolder(written).load());
  expect(manager.map(({ setting }) => setting)).toEqual(
    Object.keys(MANAGER_SETTINGS).filter((name) => name !== "pools"),
  );
  const names = new Set([...pools["blog"]!, ...pools["wiki"]!].map(({ setting }) => setting));
  expect(Object.keys(POOL_SETTINGS).filter((name) => !names.has(name))).toEqual(["workers"]);
});

it("values of environment variables are not shown: they are often secrets", async () => {
  const description = describeConfiguration(await configFolder(written).load());
  expect(JSON.stringify(description)).not.toContain("hunter2");
  expect(printDescription(description)).toMatch(/^ {2}env +SECRET=…, PLAIN=… +postern\.config\.json$/m);
});

it("is printed in aligned columns", async () => {
  const folder = configFolder(written);
  const lines = printDescription(describeConfiguration(await folder.load())).split("\n");
  expect(lines.slice(0, 10)).toEqual([
    `file: ${folder.path}/postern.config.json`,
    "",
    "manager",
    "  name           site            postern.config.json",
    "  controlSocket  /run/site.sock  postern.config.json",
    "  pidFile        -               default",
    "  logFile        -               default",
    "  logLevel       info            default",
    "  processMax     0               default",
    "",
  ]);
  const pool = (setting: string): string | undefined =>
    lines.find((line) => line.startsWith(`  ${setting} `));
  expect(pool("base")).toMatch(/^ {2}base +"" +postern/);
  expect(pool("bind")).toMatch(/unix:\/run\/blog\.sock, :9000/);
  expect(pool("nodeArgs")).toMatch(/ - +default$/);
  expect(lines).toContain("pool wiki");
  expect(lines.at(-2)).toBe(
    "note: pool wiki: minSpareServers (postern.config.json) has no effect with pm static, only with dynamic",
  );
});

it("says when there is no file", async () => {
  const description = describeConfiguration(await configFolder().load({ app: "a.js" }));
  expect(description.file).toBeNull();
  expect(printDescription(description)).toMatch(/^file: none\n/);
});
