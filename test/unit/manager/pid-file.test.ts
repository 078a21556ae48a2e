/** The file with the manager's pid. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writePidFile } from "../../../src/manager/pid-file.ts";
import { run, start } from "../../support/process.ts";
import { temporaryFolder } from "../../support/temp.ts";

const own = `${process.pid}\n`;

function place(content?: string): string {
  const path = join(temporaryFolder(), "app.pid");
  if (content !== undefined) writeFileSync(path, content);
  return path;
}

describe("a pid file", () => {
  it("holds the pid and a newline, for everybody to read, and nothing is left beside it", () => {
    const path = place();
    const umask = process.umask(0o077);
    writePidFile(path);
    process.umask(umask);
    expect(readFileSync(path, "utf8")).toBe(own);
    expect(statSync(path).mode & 0o777).toBe(0o644);
    expect(readdirSync(join(path, ".."))).toEqual(["app.pid"]);
  });

  it("is removed at the end, twice is fine", () => {
    const path = place();
    const file = writePidFile(path);
    file.remove();
    expect(existsSync(path)).toBe(false);
    file.remove();
  });

  it("stays when it names somebody else by then", () => {
    const path = place();
    const file = writePidFile(path);
    writeFileSync(path, "1\n");
    file.remove();
    expect(readFileSync(path, "utf8")).toBe("1\n");
  });

  it("of a process that is gone is replaced, as are an empty one and our own", async () => {
    const gone = start("true");
    await gone.exited;
    for (const content of [`${gone.pid}\n`, "", own, `${process.pid}`]) {
      const path = place(content);
      writePidFile(path);
      expect(readFileSync(path, "utf8")).toBe(own);
    }
  });

  it.runIf(process.platform === "linux")("of a process that cannot be a manager is replaced", async () => {
    await using other = start("sleep", ["60"]);
    const path = place(`${other.pid}\n`);
    writePidFile(path);
    expect(readFileSync(path, "utf8")).toBe(own);
  });

  it("of a manager that lives is not, and the pid is told", async () => {
    await using other = start(process.execPath, ["-e", "setInterval(() => {}, 1000); console.log('up')"]);
    await other.waitForLine(/up/);
    const path = place(`${other.pid}\n`);
    expect(() => writePidFile(path)).toThrow(
      `setting pidFile: ${path}: a manager with pid ${other.pid} is running; stop it`,
    );
    expect(readFileSync(path, "utf8")).toBe(`${other.pid}\n`);
  });
});

describe("a path that cannot be one", () => {
  it("is refused with the remedy, and nothing is changed", async () => {
    const folder = temporaryFolder();
    const config = join(folder, "nginx.conf");
    writeFileSync(config, "worker_processes 2;\n");
    mkdirSync(join(folder, "sub"));
    symlinkSync(config, join(folder, "link"));
    await run("mkfifo", [join(folder, "pipe")]);
    const attempt = (path: string): (() => unknown) => {
      return () => writePidFile(path);
    };
    expect(attempt("app.pid")).toThrow(
      expect.objectContaining({ name: "SettingError", code: "ERR_POSTERN_BAD_SETTING" }),
    );
    expect(attempt("app.pid")).toThrow("setting pidFile: app.pid: the path must be absolute");
    expect(attempt(config)).toThrow("holds something else than a pid; nothing was changed");
    expect(attempt(join(folder, "sub"))).toThrow("this is not a file");
    expect(attempt(join(folder, "link"))).toThrow("this is a link");
    expect(attempt(join(folder, "pipe"))).toThrow("this is not a file");
    expect(attempt(join(folder, "none/app.pid"))).toThrow(`create it: mkdir -p ${folder}/none`);
    expect(attempt(join(config, "app.pid"))).toThrow(`a part of ${config} is a file, not a folder`);
    expect(readFileSync(config, "utf8")).toBe("worker_processes 2;\n");
    expect(readdirSync(folder).sort()).toEqual(["link", "nginx.conf", "pipe", "sub"]);
  });
});
