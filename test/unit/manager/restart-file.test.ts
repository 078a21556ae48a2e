import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { RestartFile } from "../../../src/manager/restart-file.ts";
import { temporaryFolder } from "../../support/temp.ts";

it("a restart file has changed when it is touched or appears, not when it was there or goes", async () => {
  const folder = temporaryFolder("restart");
  mkdirSync(join(folder, "tmp"));
  const path = join(folder, "tmp", "restart.txt");
  const file = new RestartFile("tmp/restart.txt", folder);
  expect(await file.hasChanged()).toBe(false);
  writeFileSync(path, "");
  expect(await file.hasChanged()).toBe(true);
  expect(await file.hasChanged()).toBe(false);
  utimesSync(path, 1000, 1000);
  expect(await file.hasChanged()).toBe(true);
  rmSync(path);
  expect(await file.hasChanged()).toBe(false);
  const known = new RestartFile(path, "/");
  writeFileSync(path, "");
  expect(await known.hasChanged()).toBe(false);
});

it("a restart file is looked for where the link to the current release leads now", async () => {
  const folder = temporaryFolder("restart");
  for (const release of ["a", "b"]) mkdirSync(join(folder, release, "tmp"), { recursive: true });
  symlinkSync("a", join(folder, "current"));
  const file = new RestartFile("tmp/restart.txt", join(folder, "current"));
  expect(await file.hasChanged()).toBe(false);
  writeFileSync(join(folder, "b", "tmp", "restart.txt"), "");
  expect(await file.hasChanged()).toBe(false);
  symlinkSync("b", join(folder, "next"));
  renameSync(join(folder, "next"), join(folder, "current"));
  expect(await file.hasChanged()).toBe(true);
});
