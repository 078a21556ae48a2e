/** What is in the package; and that the lockfile is good for every machine, not only for the one it was written on. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repositoryRoot } from "./support/paths.ts";
import { run } from "./support/process.ts";

interface LockEntry {
  readonly version: string;
  readonly resolved?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock = JSON.parse(readFileSync(join(repositoryRoot, "package-lock.json"), "utf8")) as {
  readonly packages: Readonly<Record<string, LockEntry>>;
};

describe("the package", () => {
  it("holds the Python worker and what stands in for flup, and nothing that Python has left beside them", async () => {
    const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
      cwd: repositoryRoot,
      timeoutMs: 30_000,
    });
    const [{ files }] = JSON.parse(stdout) as [{ readonly files: readonly { readonly path: string }[] }];
    const python = files.map(({ path }) => path).filter((path) => path.startsWith("python/"));
    expect(python.sort()).toEqual([
      "python/flup/__init__.py",
      "python/flup/server/__init__.py",
      "python/flup/server/fcgi.py",
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
