/** What scripts/bundle.mjs makes of src: few files, each for those that need it. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { built } from "./support/e2e/built.ts";
import { repositoryRoot } from "./support/paths.ts";
import { run } from "./support/process.ts";

const DIST = join(repositoryRoot, "dist");

/** All that Node loads with a file of dist: our files, below dist, and what is not ours. */
function loadedWith(entry: string): { files: string[]; others: string[] } {
  const files = new Set([entry]);
  const others = new Set<string>();
  for (const file of files) {
    const code = readFileSync(join(DIST, file), "utf8");
    for (const [, specifier = ""] of code.matchAll(/^(?:import|export)\b[^;"]*"([^"]+)";/gm)) {
      if (specifier.startsWith(".")) files.add(join(dirname(file), specifier));
      else others.add(specifier);
    }
  }
  return { files: [...files], others: [...others] };
}

describe("the built package", () => {
  beforeAll(built, 120_000);

  it("starts a worker from a handful of files, without what only the command needs", () => {
    const { files, others } = loadedWith("manager/worker-main.js");
    expect(files).toContain("chunks/server.js"); // it is read rightly
    expect(files.length).toBeLessThanOrEqual(8);
    expect(files).not.toContain("chunks/cli.js");
    expect(others.filter((name) => !name.startsWith("node:"))).toEqual([]);
  });

  it.each(["index.js", "register.js", "client/index.js", "gateway/index.js", "protocol/index.js"])(
    "gives %s no package of npm, and nothing of the command",
    (entry) => {
      const { files, others } = loadedWith(entry);
      expect(others.filter((name) => !name.startsWith("node:"))).toEqual([]);
      expect(files.filter((file) => /\/(?:cli|manager|tools)\.js$/.test(file))).toEqual([]);
    },
  );

  it("keeps the protocol free of the system", () => {
    expect(loadedWith("protocol/index.js").others.filter((name) => name !== "node:buffer")).toEqual([]);
  });

  it("lets the client and the gateway go without the server", () => {
    for (const entry of ["client/index.js", "gateway/index.js"]) {
      expect(loadedWith(entry).files).not.toContain("chunks/server.js");
    }
  });

  it("calls classes and functions in the open by their own names", async () => {
    const program = `
      const exports = {};
      for (const entry of ["index", "client/index", "gateway/index", "protocol/index"]) {
        Object.assign(exports, await import(${JSON.stringify(DIST)} + "/" + entry + ".js"));
      }
      exports.Server = exports.createServer(() => {}).constructor;
      for (const [name, value] of Object.entries(exports)) {
        if (/^class/.test(String(value)) && value.name !== name) console.log(name, value.name);
      }`;
    const { code, stdout } = await run(process.execPath, ["--input-type=module", "-e", program], {});
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
  });
});
