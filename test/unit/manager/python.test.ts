import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { pythonCommand } from "../../../src/manager/python.ts";
import { pythonFrames } from "../../../src/manager/python-stack.ts";
import { temporaryFolder } from "../../support/temp.ts";

function program(path: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, "#!/bin/sh\n");
  chmodSync(path, 0o755);
  return path;
}

function found(
  folder: string,
  app: string,
  { python, chdir = folder }: { python?: string; chdir?: string } = {},
): string {
  const path = join(folder, "bin");
  return pythonCommand({ name: "shop", python, chdir }, join(folder, app), path)[0]!;
}

describe("the Python of an application", () => {
  it("is python3 of PATH, when nothing says more", () => {
    const folder = temporaryFolder("py");
    const usual = program(join(folder, "bin", "python3"));
    expect(found(folder, "shop:app")).toBe(usual);
  });

  it("is the one of the virtual environment beside the application, else of the one where it runs", () => {
    const folder = temporaryFolder("py");
    program(join(folder, "bin", "python3"));
    const elsewhere = temporaryFolder("py");
    const other = program(join(elsewhere, "venv", "bin", "python"));
    expect(found(folder, "shop:app", { chdir: elsewhere })).toBe(other);
    const own = program(join(folder, ".venv", "bin", "python"));
    expect(found(folder, "shop:app", { chdir: elsewhere })).toBe(own);
  });

  it("is the one that the first line of the file names, unless that is just the system's", () => {
    const folder = temporaryFolder("py");
    const own = program(join(folder, ".venv", "bin", "python"));
    const named = program(join(folder, "other", "bin", "python"));
    writeFileSync(join(folder, "a.fcgi"), `#!${named} -u\n`);
    writeFileSync(join(folder, "b.fcgi"), "#!/usr/bin/python3\n");
    expect(found(folder, "a.fcgi")).toBe(named);
    expect(found(folder, "b.fcgi")).toBe(own);
  });

  it("is the system's one of the first line, where there is no virtual environment", () => {
    const folder = temporaryFolder("py");
    const usual = program(join(folder, "bin", "python3"));
    writeFileSync(join(folder, "a.fcgi"), "#!/bin/sh\n"); // stands for a Python that every system has
    writeFileSync(join(folder, "b.fcgi"), "#!/usr/bin/env python3\n");
    writeFileSync(join(folder, "c.fcgi"), "#!/usr/bin/python9\n");
    expect(found(folder, "a.fcgi")).toBe("/bin/sh");
    expect(found(folder, "b.fcgi")).toBe(usual);
    expect(found(folder, "c.fcgi")).toBe(usual);
  });

  it("is what the setting says: a program, or the folder of a virtual environment", () => {
    const folder = temporaryFolder("py");
    program(join(folder, ".venv", "bin", "python"));
    const named = program(join(folder, "bin", "python3.9"));
    expect(found(folder, "shop:app", { python: "python3.9" })).toBe(named);
    expect(found(folder, "shop:app", { python: named })).toBe(named);
    const environment = join(folder, "environment");
    const inside = program(join(environment, "bin", "python"));
    expect(found(folder, "shop:app", { python: environment })).toBe(inside);
    const missing = join(folder, "nowhere");
    expect(() => found(folder, "shop:app", { python: missing })).toThrow(
      `pool shop: setting python: there is no program ${missing}, nor a virtual environment of that name`,
    );
  });
});

describe("the stacks that faulthandler writes", () => {
  const TEXT = `Thread 0x00007f01 (most recent call first):
  File "/srv/shop.py", line 12 in slow
  File "/srv/shop.py", line 20 in app
  File "/usr/lib/node_modules/postern/python/postern_wsgi.py", line 900 in run
  File "/usr/lib/python3.11/threading.py", line 975 in run

Thread 0x00007f02 (most recent call first):
  File "/srv/db.py", line 3 in wait

Current thread 0x00007f03 (most recent call first):
  File "/usr/lib/node_modules/postern/python/postern_wsgi.py", line 2000 in loop
  File "<frozen runpy>", line 88 in _run_code
`;

  it("become frames of the application, innermost first, thread by thread", () => {
    expect(pythonFrames(TEXT, 20)).toEqual([
      "slow (/srv/shop.py:12)",
      "app (/srv/shop.py:20)",
      "… another thread",
      "wait (/srv/db.py:3)",
    ]);
  });

  it("are no longer than asked for", () => {
    expect(pythonFrames(TEXT, 1).slice(0, 2)).toEqual(["slow (/srv/shop.py:12)", "… 1 more"]);
  });
});
