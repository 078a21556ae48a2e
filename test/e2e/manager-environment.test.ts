/** What workers run as and with, what becomes of what they print, and how the configuration can change under way. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import nodeModule from "node:module";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import {
  CLI,
  deploy,
  get,
  type Managed,
  outcome,
  PATIENT,
  serveApp,
  serveManaged,
  startManager,
  stopManagers,
  untilGone,
} from "../support/e2e/supervised.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor, waitForFileLine } from "../support/wait.ts";

interface Facts {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly umask: number;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly execArgv: readonly string[];
  readonly openFiles: number;
  readonly title: string;
}

beforeAll(built);
afterEach(stopManagers);

async function factsOf(address: string): Promise<Facts> {
  return (await get(address, "/facts")).json() as unknown as Facts;
}

/** Whether a process had NODE_COMPILE_CACHE when Node looked for it. */
function startsWithCache(pid: number): boolean {
  return readFileSync(`/proc/${pid}/environ`, "latin1")
    .split("\0")
    .some((one) => one.startsWith("NODE_COMPILE_CACHE="));
}

/** Node 22.10 and newer can write its cache at any time; before that it does so when a process ends. */
const CAN_FLUSH = "flushCompileCache" in nodeModule;

/** The files below a folder, undefined while there are none. */
function cachedFiles(folder: string): string[] | undefined {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  return entries.length === 0 ? undefined : entries.map((one) => join(one.parentPath, one.name));
}

/** Whether another user can read what a worker runs: the package and node. */
const USER = "www-data";
function canRunAsUser(): boolean {
  if (process.getuid?.() !== 0) return false;
  const id = spawnSync("id", ["-u", USER], { encoding: "utf8" });
  if (id.status !== 0) return false;
  return spawnSync(process.execPath, [CLI, "--version"], { cwd: "/", uid: Number(id.stdout) }).status === 0;
}

/** The numbers that `id` prints. */
function idOf(user: string, what: "-u" | "-g" | "-G"): number[] {
  return spawnSync("id", [what, user], { encoding: "utf8" }).stdout.trim().split(" ").map(Number);
}

describe("a worker", () => {
  it("runs in the application's folder, with the environment of the manager, the files and the settings", async () => {
    const deployment = deploy();
    const envFile = join(temporaryFolder("e"), "app.env");
    writeFileSync(envFile, '# a comment\nexport FROM_FILE="two words"\nBOTH=file\n');
    const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
    const flags = ["--env-file", envFile, "--env", "BOTH=flag", "--env", "COPY=$SECRET", "--umask", "0027"];
    const managed = await serveManaged({
      args: ["serve", deployment.app, "--bind", address, ...flags, "--node-args=--max-old-space-size=123"],
      address,
      env: {
        ...process.env,
        SECRET: "s3cret",
        NOTIFY_SOCKET: "",
        LISTEN_PID: "1",
        POSTERN_LOG_LEVEL: "info",
      },
    });
    const facts = await factsOf(address);
    expect(facts.cwd).toBe(deployment.folder);
    expect(facts.umask).toBe(0o027);
    expect(facts.env).toMatchObject({
      FROM_FILE: "two words",
      BOTH: "flag",
      COPY: "s3cret",
      SECRET: "s3cret",
    });
    expect(facts.env).toMatchObject({ POSTERN_POOL: "test", POSTERN_WORKER: "1" });
    expect(
      Object.keys(facts.env).filter((name) => /^(LISTEN_|NOTIFY|WATCHDOG|POSTERN_LOG)/.test(name)),
    ).toEqual([]);
    expect(facts.execArgv).toContain("--max-old-space-size=123");
    expect(facts.title).toBe("postern: worker test");

    // The file is read anew at a reload.
    writeFileSync(envFile, "FROM_FILE=three\n");
    expect((await managed.cli("reload")).code).toBe(0);
    expect((await factsOf(address)).env["FROM_FILE"]).toBe("three");
    // A mistake in it is told, and the old workers go on.
    writeFileSync(envFile, "FROM FILE=four\n");
    const refused = await managed.cli("reload");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/app\.env/);
    expect((await factsOf(address)).env["FROM_FILE"]).toBe("three");
  });

  it("has nothing of the manager's environment with clearEnv, but what it needs", async () => {
    const deployment = deploy();
    const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
    const { PATH } = process.env;
    await serveManaged({
      args: ["serve", deployment.app, "--bind", address, "--clear-env", "--env", "TAKEN=$SECRET"],
      address,
      env: { PATH, SECRET: "s3cret", OTHER: "x", TZ: "UTC", NODE_ENV: "production", POSTERN_TEST_RUN: "x" },
    });
    const { env } = await factsOf(address);
    const names = Object.keys(env).filter((name) => name !== "__CF_USER_TEXT_ENCODING");
    expect(names.sort()).toEqual(["NODE_ENV", "PATH", "POSTERN_POOL", "POSTERN_WORKER", "TAKEN", "TZ"]);
    expect(env["TAKEN"]).toBe("s3cret");
  });

  it("runs in the folder and with the number of open files that the settings name", async () => {
    const chdir = temporaryFolder("cwd");
    const managed = await serveApp(deploy(), "--chdir", chdir, "--rlimit-files", "321");
    const facts = await factsOf(managed.address);
    expect(facts.cwd).toBe(chdir);
    expect(facts.openFiles).toBe(321);
  });

  it.runIf(canRunAsUser())("is another user, with all of that user's groups, for good", async () => {
    const managed = await serveApp(deploy(), "--user", USER, "--listen-group", USER);
    const facts = await factsOf(managed.address);
    expect([facts.uid, facts.gid]).toEqual([idOf(USER, "-u")[0], idOf(USER, "-g")[0]]);
    expect([...new Set(facts.groups)].sort()).toEqual([...new Set(idOf(USER, "-G"))].sort());
    expect(facts.env["USER"]).toBe(USER);
    expect(facts.env["HOME"]).not.toBe(process.env["HOME"]);
    expect(managed.log()).not.toMatch(/run as root/);
  });

  it.runIf(canRunAsUser())("takes Node's compile cache as the user it becomes, never as root", async () => {
    const folder = temporaryFolder("cache");
    const [uid] = idOf(USER, "-u");
    chownSync(folder, uid!, -1);
    const cache = ["--env", `NODE_COMPILE_CACHE=${folder}`, "--workers", "1"];
    const managed = await serveApp(deploy(), "--user", USER, "--listen-group", USER, ...cache);
    const { env, pid } = await factsOf(managed.address);
    expect([env["NODE_COMPILE_CACHE"], env["POSTERN_COMPILE_CACHE"]]).toEqual([folder, undefined]);
    expect(startsWithCache(pid)).toBe(false);
    if (!CAN_FLUSH) return;
    const files = await waitFor(() => cachedFiles(folder), { what: "the cache to be written" });
    expect([...new Set(files.map((file) => statSync(file).uid))]).toEqual([uid]);
  });

  it.runIf(CAN_FLUSH)("writes Node's compile cache while it runs, for those that come after it", async () => {
    const folder = temporaryFolder("cache");
    const managed = await serveApp(deploy(), "--env", `NODE_COMPILE_CACHE=${folder}`, "--workers", "1");
    const { pid } = await factsOf(managed.address);
    expect(startsWithCache(pid)).toBe(true);
    await waitFor(() => cachedFiles(folder), { what: "the cache to be written" });
  });

  it("is refused a user that there is not, in one sentence, before anything is started", async () => {
    const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
    const managed = startManager({
      args: ["serve", deploy().app, "--bind", address, "--user", "nobody-at-all"],
      address,
    });
    expect((await managed.process.exited).code).toBe(2);
    expect(managed.log()).toMatch(
      /^postern: there is no user named "nobody-at-all" .*; give an existing name/m,
    );
    expect(managed.log()).not.toMatch(/^ {4}at /m);
    expect(existsSync(address.slice(5))).toBe(false);
  });
});

describe("what workers print", () => {
  it("is logged line by line with time, stream, pool and pid, and cannot forge or garble a line", async () => {
    const managed = await serveApp(deploy(), "--workers", "1");
    const { pid } = (await managed.get("/")).json() as { pid: number };
    const print = (text: string, to = "stdout") =>
      managed.get(`/print?to=${to}&text=${encodeURIComponent(text)}`);
    const tag = (stream: string): string => `^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z ${stream} +\\[test ${pid}\\] `;
    await print("first\n  second");
    await managed.line(new RegExp(`${tag("out")}first$`));
    await managed.line(new RegExp(`${tag("out")}  second$`));
    await print("to the error stream", "stderr");
    await managed.line(new RegExp(`${tag("err")}to the error stream$`));
    // Colours go; what could move the cursor, end the line or begin an escape sequence is shown instead.
    await print("\x1b[31mred\x1b[0m\0 \x1b]0;title\x07 back\rforged \u009b2J end");
    const [line] = await managed.line(new RegExp(`${tag("out")}red.*end$`));
    expect(line).not.toMatch(/[\0-\x1f\x7f-\x9f]/);
    await print("2026-11-22T10:00:00.000Z info  reloaded pool=test");
    await managed.line(new RegExp(`${tag("out")}2026-11-22T10:00:00\\.000Z info  reloaded pool=test$`));
    await print("x".repeat(20_000));
    const [long] = await managed.line(new RegExp(`${tag("out")}x{8000,8192}… \\(\\d+ more bytes\\)$`));
    expect(long.length).toBeLessThan(8500);
  });

  it("may stop: a worker that has closed its output lives on", async () => {
    const managed = await serveApp(deploy(), "--workers", "1");
    expect((await managed.get("/close-stdout")).text).toBe("closed");
    const { pid } = (await managed.get("/")).json() as { pid: number };
    expect((await managed.workers()).map((one) => one.pid)).toEqual([pid]);
    expect((await managed.pool()).workersCrashed).toBe(0);
  });

  it("is not logged without catchWorkersOutput, and has no tag without decorateWorkersOutput", async () => {
    const silent = await serveApp(deploy(), "--no-catch-workers-output");
    await silent.get("/print?text=nobody");
    expect((await silent.cli("stop")).code).toBe(0);
    await silent.process.exited;
    expect(silent.log()).not.toMatch(/nobody/);
    const plain = await serveApp(deploy(), "--no-decorate-workers-output");
    await plain.get("/print?text=plain");
    await plain.line(/^plain$/);
  });

  it("goes to the log file, with the manager's own messages, and the pid file is there meanwhile", async () => {
    const folder = temporaryFolder("f");
    const [log, pidFile] = [join(folder, "test.log"), join(folder, "test.pid")];
    const address = `unix:${join(folder, "a.sock")}`;
    const managed = startManager({
      args: ["serve", deploy().app, "--bind", address, "--log-file", log, "--pid-file", pidFile],
      address,
    });
    await waitForFileLine(log, / listening for FastCGI pool=/, PATIENT);
    expect(readFileSync(pidFile, "utf8")).toBe(`${managed.process.pid}\n`);
    await managed.get("/print?text=into the file".replaceAll(" ", "%20"));
    await waitForFileLine(log, / out {3}\[test \d+\] into the file$/m, PATIENT);
    // The same pid file again: who has it is alive.
    const second = startManager({
      args: ["serve", deploy().app, "--bind", `${address}2`, "--pid-file", pidFile],
      address: `${address}2`,
    });
    expect((await second.process.exited).code).toBe(2);
    expect(second.log()).toMatch(new RegExp(`^postern: .*${managed.process.pid}`, "m"));
    expect((await managed.cli("stop")).code).toBe(0);
    expect(await managed.process.exited).toEqual({ code: 0, signal: null });
    expect(existsSync(pidFile)).toBe(false);
    expect(managed.process.stdout()).toBe("");
  });
});

/** A manager with a configuration file that can be changed. */
class Configured {
  readonly folder: string = temporaryFolder("k");
  readonly file: string = join(this.folder, "postern.config.json");
  at(name: string): string {
    return `unix:${join(this.folder, `${name}.sock`)}`;
  }
  write(config: object): void {
    writeFileSync(this.file, JSON.stringify(config));
  }
  serve(first: string): Promise<Managed> {
    return serveManaged({ args: ["serve", "--config", this.file], address: this.at(first) });
  }
}

describe("several pools", () => {
  it("each have their own application, socket, environment and user", async () => {
    const configured = new Configured();
    const [blog, shop] = [deploy("blog"), deploy("shop")];
    const user = canRunAsUser() ? USER : undefined;
    configured.write({
      env: { SHARED: "yes", WHO: "all" },
      pools: {
        blog: { app: blog.app, bind: configured.at("blog"), env: { WHO: "blog" } },
        shop: {
          app: shop.app,
          bind: [configured.at("shop"), configured.at("shop2")],
          workers: 2,
          ...(user !== undefined && { user }),
        },
      },
    });
    const managed = await configured.serve("blog");
    const [one, two] = [await factsOf(configured.at("blog")), await factsOf(configured.at("shop2"))];
    expect([one.cwd, two.cwd]).toEqual([blog.folder, shop.folder]);
    expect([one.env["WHO"], two.env["WHO"]]).toEqual(["blog", "all"]);
    expect([one.env["SHARED"], two.env["SHARED"]]).toEqual(["yes", "yes"]);
    expect(two.uid).toBe(user === undefined ? process.getuid?.() : idOf(user, "-u")[0]);
    expect(one.uid).toBe(process.getuid?.());
    expect((await managed.workers("blog")).length).toBe(1);
    expect((await managed.workers("shop")).length).toBe(2);

    // One of them alone.
    shop.release("shop 2");
    const pids = (await managed.workers("blog")).map(({ pid }) => pid);
    expect((await managed.cli("reload", "--pool", "shop")).code).toBe(0);
    expect((await get(configured.at("shop"), "/")).json()["release"]).toBe("shop 2");
    expect((await managed.workers("blog")).map(({ pid }) => pid)).toEqual(pids);
    const unknown = await managed.cli("reload", "--pool", "wiki");
    expect(unknown.stderr).toMatch(/^postern: there is no pool named wiki; there are blog, shop$/m);
    expect(unknown.code).toBe(1);
  });
});

describe("a reload", () => {
  it("serves the release that a link leads to now", async () => {
    const folder = temporaryFolder("site");
    const releases = ["one", "two"].map((name) => deploy(name, join(folder, "releases", name)));
    const current = join(folder, "current");
    symlinkSync(releases[0]!.folder, current);
    const address = `unix:${join(folder, "a.sock")}`;
    const managed = await serveManaged({
      args: ["serve", join(current, "app.js"), "--bind", address],
      address,
    });
    expect((await managed.get("/")).json()["release"]).toBe("one");
    symlinkSync(releases[1]!.folder, `${current}.new`);
    renameSync(`${current}.new`, current);
    expect((await managed.cli("reload")).code).toBe(0);
    expect((await managed.get("/")).json()["release"]).toBe("two");
    expect((await factsOf(address)).cwd).toBe(releases[1]!.folder);
  });

  it("reads the configuration again: other workers, another address, a pool more, a pool less", async () => {
    const configured = new Configured();
    const { app } = deploy();
    const pool = (name: string, workers: number) => ({ app, bind: configured.at(name), workers });
    configured.write({ pools: { main: pool("main", 2), old: pool("old", 1) } });
    const managed = await configured.serve("main");
    const open = await managed.openRequest();
    const gone = (await managed.workers("old")).map(({ pid }) => pid);

    configured.write({ pools: { main: pool("moved", 3), fresh: pool("fresh", 1) } });
    const { code, stdout } = await managed.cli("reload");
    expect(`${code} ${stdout}`).toMatch(/^0 reloaded/);
    const { pools } = await managed.until("the old pool to be gone", (now) => now.pools.length === 2 && now);
    expect(pools.map(({ name, addresses }) => [name, addresses])).toEqual([
      ["main", [configured.at("moved")]],
      ["fresh", [configured.at("fresh")]],
    ]);
    await untilGone(gone, managed.log);
    for (const name of ["moved", "fresh"]) expect((await get(configured.at(name), "/")).status).toBe(200);
    expect((await managed.workers("main")).filter(({ stage }) => stage === "ready").length).toBe(3);
    // Nobody listens where nobody is to listen any more; what was begun there is finished.
    await waitFor(() => !existsSync(join(configured.folder, "main.sock")), PATIENT);
    expect(existsSync(join(configured.folder, "old.sock"))).toBe(false);
    open.finish();
    expect(await open.answer).toMatch(/^200/);
  });

  it("keeps a pool that has lost its name until what comes instead serves, and takes over its output settings", async () => {
    const configured = new Configured();
    const { app } = deploy();
    const main = { app, bind: configured.at("main"), workers: 1 };
    configured.write({ pools: { main } });
    const managed = await configured.serve("main");
    configured.write({ pools: { renamed: { ...main, app: deploy("throws").app } } });
    const refused = await managed.cli("reload");
    expect(refused.stderr).toMatch(/pool renamed: .*no database/s);
    expect(refused.code).toBe(1);
    expect((await managed.get("/")).status).toBe(200);
    configured.write({ pools: { main: { ...main, decorateWorkersOutput: false } } });
    expect((await managed.cli("reload")).code).toBe(0);
    await managed.get("/print?to=stdout&text=undecorated");
    await managed.line(/^undecorated$/);
  });

  it("refuses a configuration that is wrong, says what is wrong, and changes nothing", async () => {
    const configured = new Configured();
    const { app } = deploy();
    const main = { app, bind: configured.at("main"), workers: 1 };
    configured.write({ pools: { main } });
    const managed = await configured.serve("main");
    const before = (await managed.workers()).map(({ pid }) => pid);
    const refusals: readonly [wrong: () => void, says: RegExp][] = [
      [() => configured.write({ pools: { main: { ...main, worker: 2 } } }), /worker.*(?:mean|workers)/],
      [() => configured.write({ pools: { main: { ...main, workers: "many" } } }), /workers.*many/],
      [
        () => configured.write({ pools: { main: { ...main, bind: "unix:/no/such/folder/x.sock" } } }),
        /\/no\/such\/folder/,
      ],
      [() => writeFileSync(configured.file, "{ pools: "), /postern\.config\.json/],
    ];
    for (const [wrong, says] of refusals) {
      wrong();
      const refused = await managed.cli("reload");
      expect(refused.stderr).toMatch(says);
      expect(refused.stderr).toMatch(/^postern: /);
      expect(refused.stderr).not.toMatch(/^ {4}at /m);
      expect(refused.code).toBe(1);
      expect((await managed.get("/")).status).toBe(200);
    }
    expect((await managed.workers()).map(({ pid }) => pid)).toEqual(before);
    // Also after all that, a right one is taken.
    configured.write({ pools: { main: { ...main, workers: 2 } } });
    expect((await managed.cli("reload")).code).toBe(0);
    expect((await managed.status()).lastReloadError).toBeUndefined();
  });

  it("is asked for by touching tmp/restart.txt", async () => {
    const deployment = deploy();
    const managed = await serveApp(deployment, "--workers", "1");
    mkdirSync(join(deployment.folder, "tmp"));
    const file = join(deployment.folder, "tmp", "restart.txt");
    // Until it is noticed: it must have been looked for once before.
    const touch = (): void => {
      writeFileSync(file, "");
      utimesSync(file, new Date(), new Date());
    };
    for (const release of ["two", "three"]) {
      deployment.release(release);
      await waitFor(async () => {
        const { release: now } = (await managed.get("/")).json();
        if (now === release) return true;
        if (!(await managed.pool()).isReloading) touch();
        return false;
      }, PATIENT);
    }
    expect(managed.log()).toMatch(/the restart file was touched/);
  });

  it("that is phased replaces one worker after the other, and stops at the first that fails", async () => {
    const deployment = deploy();
    const managed = await serveApp(deployment, "--workers", "3");
    const counts: number[] = [];
    let isOver = false;
    const watch = (async () => {
      while (!isOver) counts.push((await managed.workers()).length);
    })();
    deployment.release("two");
    expect((await managed.cli("reload", "--phased")).code).toBe(0);
    isOver = true;
    await watch;
    // One beside the others at a time; all at once would have been six.
    expect(Math.max(...counts)).toBeLessThanOrEqual(4);
    await managed.until("three new workers", ({ pools }) => {
      const workers = pools[0]?.workers ?? [];
      return workers.length === 3 && workers.every(({ generation }) => generation === 2);
    });
    deployment.release("throws");
    const refused = await managed.cli("reload", "--phased");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/no database/);
    const answers = await Promise.all([1, 2, 3, 4].map(() => outcome(managed.get("/"))));
    for (const answer of answers) expect(answer).toMatch(/^200 .*"release":"two"/);
    expect((await managed.workers()).length).toBe(3);
  });
});

describe("a manager that cannot do what it should", () => {
  it("tells so in one sentence, and leaves nothing", async () => {
    const folder = temporaryFolder("m");
    const { app } = deploy();
    const address = `unix:${join(folder, "a.sock")}`;
    const first = await serveManaged({ args: ["serve", app, "--bind", address], address });
    const closed = join(folder, "closed");
    mkdirSync(closed);
    writeFileSync(join(closed, "file"), "");
    chmodSync(folder, 0o755);
    const mistakes: readonly [args: readonly string[], says: RegExp][] = [
      [[app, "--bind", address], /^postern: .*a\.sock.*(?:in use|already|somebody|another)/],
      [[app, "--bind", `unix:${join(closed, "file")}`], /^postern: .*closed\/file/],
      [[app, "--bind", "unix:/no/such/folder/a.sock"], /^postern: .*\/no\/such\/folder/],
      [[app, "--bind", "0.0.0.0:0"], /^postern: .*--allowed-clients/],
      [
        [app, "--bind", `${address}3`, "--log-file", "/no/such/folder/x.log"],
        /^postern: .*\/no\/such\/folder/,
      ],
      [
        [app, "--bind", `${address}4`, "--pid-file", "/no/such/folder/x.pid"],
        /^postern: .*\/no\/such\/folder/,
      ],
      [
        [
          app,
          "--bind",
          `${address}5`,
          "--min-spare-servers",
          "9",
          "--max-spare-servers",
          "3",
          "--pm",
          "dynamic",
        ],
        /^postern: .*spare/,
      ],
      [[app, "--bind", `${address}6`, "--max-memory", "lots"], /^postern: --max-memory/],
      [["--config", join(folder, "gone.json")], /^postern: .*gone\.json/],
    ];
    for (const [args, says] of mistakes) {
      const managed = startManager({ args: ["serve", ...args], address });
      const { code } = await managed.process.exited;
      expect(
        managed
          .log()
          .split("\n")
          .filter((line) => !/ warn /.test(line))
          .join("\n"),
      ).toMatch(says);
      expect(managed.log()).not.toMatch(/^ {4}at /m);
      expect(`${args.join(" ")}: ${code}`).toBe(`${args.join(" ")}: 2`);
      expect(existsSync(managed.control)).toBe(false);
    }
    for (const end of ["3", "4", "5", "6"]) expect(existsSync(`${address.slice(5)}${end}`)).toBe(false);
    expect((await first.get("/")).status).toBe(200);
  });

  it("refuses to be a second one of the same name", async () => {
    const first = await serveApp(deploy());
    const address = `unix:${join(temporaryFolder("s"), "b.sock")}`;
    const flags = ["--bind", address, "--control-socket", first.control];
    const second = startManager({ args: ["serve", deploy().app, ...flags], address });
    expect((await second.process.exited).code).toBe(2);
    expect(second.log()).toMatch(new RegExp(`^postern: .*${first.process.pid}`, "m"));
    expect(existsSync(address.slice(5))).toBe(false);
    expect((await first.cli("status")).code).toBe(0);
  });
});
