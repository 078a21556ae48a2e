/** Where the log ends up, also when it cannot. */
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openLogFile } from "../../../src/manager/log-file.ts";
import { findUser } from "../../../src/server/accounts.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { scriptArguments, startScript } from "../../support/typescript.ts";
import { patience } from "../../support/wait.ts";

/** For tests that start a Node, on a machine that does other things too. */
const PATIENTLY = { timeout: patience(60_000) };
const isRoot = process.geteuid?.() === 0;

describe("a log file", () => {
  it("is made for its owner and group only, whatever the umask, and gets whole lines", () => {
    const path = join(temporaryFolder(), "app.log");
    const umask = process.umask(0o777);
    const log = openLogFile(path);
    process.umask(umask);
    log.write("one\n");
    log.write("two");
    log.close();
    expect(readFileSync(path, "utf8")).toBe("one\ntwo\n");
    expect(statSync(path).mode & 0o7777).toBe(0o640);
  });

  it("that exists is continued and keeps its mode", () => {
    const path = join(temporaryFolder(), "app.log");
    writeFileSync(path, "before\n", { mode: 0o600 });
    const log = openLogFile(path);
    log.write("after");
    log.close();
    expect(readFileSync(path, "utf8")).toBe("before\nafter\n");
    expect(statSync(path).mode & 0o7777).toBe(0o600);
  });

  it.runIf(isRoot)("is given to its owner when it is made, and only then", () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "old.log"), "");
    for (const name of ["new.log", "old.log"]) openLogFile(join(folder, name), "nobody").close();
    expect(statSync(join(folder, "new.log")).uid).toBe(findUser("nobody"));
    expect(statSync(join(folder, "old.log")).uid).toBe(0);
  });

  it("is opened again after rotation, and lines are in the file of their time", () => {
    const path = join(temporaryFolder(), "app.log");
    const log = openLogFile(path);
    log.write("first");
    renameSync(path, `${path}.1`);
    log.write("second");
    log.reopen();
    log.write("third");
    log.close();
    expect(readFileSync(`${path}.1`, "utf8")).toBe("first\nsecond\n");
    expect(readFileSync(path, "utf8")).toBe("third\n");
  });

  it("that cannot be opened again goes on, and says so", () => {
    const folder = join(temporaryFolder(), "log");
    mkdirSync(folder);
    const path = join(folder, "app.log");
    const log = openLogFile(path);
    renameSync(folder, `${folder}.old`);
    log.reopen();
    log.write("still here");
    log.close();
    const text = readFileSync(`${folder}.old/app.log`, "utf8");
    expect(text).toMatch(
      /cannot reopen the log, the old file goes on: log file .*mkdir -p .*\nstill here\n$/,
    );
  });

  it("keeps the lines of several writers apart", () => {
    const path = join(temporaryFolder(), "app.log");
    const logs = [openLogFile(path), openLogFile(path)];
    for (let count = 0; count < 100; count++)
      for (const [n, log] of logs.entries()) log.write(`${n} ${count}`);
    for (const log of logs) log.close();
    expect(readFileSync(path, "utf8").split("\n").slice(0, 4)).toEqual(["0 0", "1 0", "0 1", "1 1"]);
  });
});

describe("a path that cannot be a log", () => {
  const attempt = (path: string): (() => unknown) => {
    return () => openLogFile(path);
  };

  it("is refused with the remedy", () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "file"), "");
    const refused = expect.objectContaining({ name: "SettingError", code: "ERR_POSTERN_BAD_SETTING" });
    expect(attempt("app.log")).toThrow(refused);
    expect(attempt("app.log")).toThrow("log file app.log: the path must be absolute");
    expect(attempt(`${folder}/none/app.log`)).toThrow(`create it: mkdir -p ${folder}/none`);
    expect(attempt(folder)).toThrow(`log file ${folder}: this is a folder; name a file in it`);
    expect(attempt(`${folder}/file/app.log`)).toThrow(`a part of ${folder}/file is a file, not a folder`);
  });

  it("does not make a file through a link", () => {
    const folder = temporaryFolder();
    symlinkSync(join(folder, "target"), join(folder, "app.log"));
    expect(attempt(join(folder, "app.log"))).toThrow("link to nowhere");
  });

  it("does not wait for the reader of a named pipe", () => {
    const path = join(temporaryFolder(), "pipe");
    execFileSync("mkfifo", [path]);
    expect(attempt(path)).toThrow("a named pipe that nobody reads");
  });
});

describe.runIf(process.platform === "linux")("a full disk", PATIENTLY, () => {
  it("sends the lines to standard error, with one warning, and never throws", async () => {
    const script = startScript(`
      const { openLogFile } = await load("manager/log-file.ts");
      const log = openLogFile("/dev/full");
      for (const line of ["one", "two", "three"]) log.write(line);
      log.close();
      log.write("four");
    `);
    expect(await script.exited).toMatchObject({ code: 0 });
    const [warning, ...lines] = script.stderr().split("\n");
    expect(warning).toMatch(/warn {2}cannot write the log \/dev\/full: ENOSPC.*goes on here until it can$/);
    expect(lines).toEqual(["one", "two", "three", "four"]);
  });
});

describe("standard error", PATIENTLY, () => {
  for (const path of [undefined, "/dev/stderr", "/proc/self/fd/2"]) {
    it(`is where ${path ?? "no path"} leads, also when it is a socket`, async () => {
      const code = `
        const { openLogFile } = await load("manager/log-file.ts");
        openLogFile(${JSON.stringify(path)}).write("said");
        console.log("done");
      `;
      // Node gives a child a socket, which cannot be opened by its path.
      const script = startScript(code);
      expect(await script.exited).toMatchObject({ code: 0 });
      expect([script.stdout(), script.stderr()]).toEqual(["done", "said"]);
    });
  }

  it("that nobody reads holds up nothing; what was lost is counted", async () => {
    // A pipe that is full and does not block, read only after everything was written.
    const code = `
      const { openLogFile } = await load("manager/log-file.ts");
      import { writeSync, existsSync } from "node:fs";
      const log = openLogFile(undefined);
      for (let count = 0; count < 10000; count++) log.write(String(count).padEnd(99, "."));
      console.log("written");
      process.stdin.once("data", () => {
        const timer = setInterval(() => log.write("more"), 20);
        process.stdin.once("end", () => clearInterval(timer));
      });
    `;
    const args = scriptArguments(code);
    const child = spawn(process.execPath, args);
    try {
      child.stderr.pause();
      await new Promise((resolve) => child.stdout.once("data", resolve));
      let text = "";
      const lost = new Promise<void>((resolve) => {
        child.stderr.on("data", (piece) => {
          text += piece;
          // What follows is written again: the first of it has to be there before the program is told to end.
          if (/ lines of the log were lost here.*\n(?:.*\n)*more\n/.test(text)) resolve();
        });
      });
      child.stderr.resume();
      child.stdin.write("go\n");
      await lost;
      child.stdin.end();
      await new Promise((resolve) => child.once("close", resolve));
      const lines = text.trimEnd().split("\n");
      const numbered = lines.filter((line) => /^\d+\.+$/.test(line));
      const [, count] = /warn {2}(\d+) lines of the log were lost/.exec(text) ?? [];
      expect(numbered.length).toBeGreaterThan(1000);
      expect(numbered.every((line, at) => line === String(at).padEnd(99, "."))).toBe(true);
      expect(numbered.length + Number(count)).toBeGreaterThanOrEqual(10_000);
      expect(lines.at(-1)).toBe("more");
    } finally {
      child.kill("SIGKILL");
    }
  });
});
