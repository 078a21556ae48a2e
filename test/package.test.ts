/** What is in the package; and that the lockfile is good for every machine, not only for the one it was written on. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repositoryRoot } from "./support/paths.ts";
import { run } from "./support/process.ts";
import { temporaryFolder } from "./support/temp.ts";

interface LockEntry {
  readonly version: string;
  readonly resolved?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock = JSON.parse(readFileSync(join(repositoryRoot, "package-lock.json"), "utf8")) as {
  readonly packages: Readonly<Record<string, LockEntry>>;
};

describe("the package", () => {
  // Of a folder with nothing else in it: packing all of the package takes its time.
  it("holds the Python worker and what stands in for flup, and nothing that Python has left beside them", async () => {
    const folder = temporaryFolder("pk");
    cpSync(join(repositoryRoot, "python"), join(folder, "python"), { recursive: true });
    cpSync(join(repositoryRoot, "package.json"), join(folder, "package.json"));
    mkdirSync(join(folder, "python", "__pycache__"), { recursive: true });
    writeFileSync(join(folder, "python", "__pycache__", "postern_wsgi.cpython-311.pyc"), "");
    const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
    const { stdout } = await run("npm", args, { cwd: folder, timeoutMs: 25_000 });
    const [{ files }] = JSON.parse(stdout) as [{ readonly files: readonly { readonly path: string }[] }];
    expect(files.map(({ path }) => path).sort()).toEqual([
      "package.json",
      "python/flup/__init__.py",
      "python/flup/server/__init__.py",
      "python/flup/server/fcgi.py",
      "python/postern_access_log.py",
      "python/postern_forwarded.py",
      "python/postern_wsgi.py",
    ]);
  });
});

describe("package-lock.json", () => {
  // npm leaves out what its registry does not have, such as binaries for other systems, and `npm ci` then refuses
  // the whole file. To mend it, copy the entry of a sibling package and change name, os, cpu and libc.
  it("has an entry for every optional dependency, also those of other systems", () => {
    const missing = Object.entries(lock.packages).flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {})
        .filter((name) => !isInstalledFor(path, name))
        .map((name) => `${path} needs ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it("names no registry host", () => {
    expect(Object.values(lock.packages).flatMap((entry) => entry.resolved ?? [])).toEqual([]);
  });
});

/** Node's look-up: beside the package's own folder, then further up. */
function isInstalledFor(path: string, name: string): boolean {
  for (let base = path; ; base = base.replace(/(^|\/)node_modules\/(?:@[^/]+\/)?[^/]+$/, "")) {
    if (lock.packages[`${base === "" ? "" : `${base}/`}node_modules/${name}`]) return true;
    if (base === "") return false;
  }
}
