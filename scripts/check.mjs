/**
 * `npm run check [-- --coverage]`: everything a change must pass that needs no web server, in under two minutes.
 * Stops at the first failure and shows its output.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, dependencies, main, node, root, staticChecks, step, tool } from "./steps.mjs";

const wantsCoverage = process.argv.includes("--coverage");

await main(async () => {
  await dependencies();
  for (const [name, check] of Object.entries(staticChecks)) await step(name, check);
  // The package tests run what is in dist.
  await build();
  await step("tests", async () => {
    const output = await node([
      tool("vitest"),
      "run",
      "--project",
      "fast",
      ...(wantsCoverage ? ["--coverage"] : []),
    ]);
    if (wantsCoverage) console.log(output.slice(output.indexOf("Coverage summary")));
    return /Tests.*?(\d+ passed)/.exec(output)?.[1];
  });
  await withPackage(async (tarball) => {
    await step("publint", async () => void (await node([tool("publint"), "--strict", tarball])));
    await step("attw", async () => {
      await node([tool("@arethetypeswrong/cli", "attw"), "--profile", "esm-only", tarball]);
    });
  });
  await step("knip", async () => void (await node([tool("knip")])));
  return 0;
});

/** The package as npm would publish it. */
async function withPackage(work) {
  const folder = mkdtempSync(join(tmpdir(), "postern-package-"));
  try {
    await step("pack", async () => {
      const npm = process.env.npm_execpath;
      if (!npm || !existsSync(npm)) throw new Error("run this as npm run check");
      await node([npm, "pack", "--pack-destination", folder, "--ignore-scripts"], { cwd: root });
    });
    await work(join(folder, readdirSync(folder)[0]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
