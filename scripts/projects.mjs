/**
 * The small projects beside the package: every folder of examples/ and test/compat/ with a package-lock.json of its
 * own. Each is installed and built as its users would do it, and finds this very repository as `postern`.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { main, node, quietly, root, step } from "./steps.mjs";

const PLACES = ["examples", "test/compat"];
/** What installing and building leave behind; the rest is what a project is made of. */
const MADE = new Set([
  "node_modules",
  ".next",
  ".nuxt",
  ".output",
  ".svelte-kit",
  ".astro",
  ".react-router",
  "build",
  "dist",
]);
const MOST_AT_ONCE = 2;

/** Installs and builds what is not as its files say. `only`: paths such as `examples/koa`. */
export async function projects(only = all()) {
  const stale = only.filter((folder) => isStale(folder));
  if (stale.length === 0) return;
  const waiting = [...stale];
  const workers = Array.from({ length: MOST_AT_ONCE }, async () => {
    for (let folder = waiting.shift(); folder !== undefined; folder = waiting.shift()) {
      const name = folder;
      await step(`install ${name}`, () => make(name));
    }
  });
  const failed = (await Promise.allSettled(workers)).find(({ status }) => status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function all() {
  return PLACES.flatMap((place) =>
    readdirSync(join(root, place))
      .map((name) => join(place, name))
      .filter((folder) => existsSync(join(root, folder, "package-lock.json"))),
  );
}

async function make(folder) {
  const cwd = join(root, folder);
  await npm(["ci", "--no-audit", "--no-fund"], cwd);
  const link = join(cwd, "node_modules", "postern");
  mkdirSync(dirname(link), { recursive: true });
  rmSync(link, { recursive: true, force: true });
  symlinkSync(relative(dirname(link), root), link, "dir");
  const { scripts } = JSON.parse(readFileSync(join(cwd, "package.json"), "utf8"));
  if (scripts?.build) await npm(["run", "build"], cwd);
  writeFileSync(stampOf(folder), digest(folder));
}

// npm itself tells where it is when it runs us; a shell script on Windows cannot be spawned without it.
function npm(args, cwd) {
  const env = { ...process.env, CI: "1", NEXT_TELEMETRY_DISABLED: "1", ASTRO_TELEMETRY_DISABLED: "1" };
  delete env.NODE_ENV; // with production, npm leaves out what builds need
  const program = process.env.npm_execpath;
  return program ? node([program, ...args], { cwd, env }) : quietly("npm", args, { cwd, env });
}

function isStale(folder) {
  const stamp = stampOf(folder);
  return !existsSync(stamp) || readFileSync(stamp, "utf8") !== digest(folder);
}

function stampOf(folder) {
  return join(root, folder, "node_modules", ".postern-made");
}

/** Of everything a project is made of. Without a build, of what is installed. */
function digest(folder) {
  const hash = createHash("sha256").update(process.versions.modules);
  const { scripts } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
  const files = scripts?.build ? filesOf(join(root, folder)) : ["package.json", "package-lock.json"];
  for (const file of files.sort()) hash.update(file).update(readFileSync(join(root, folder, file)));
  return hash.digest("hex");
}

function filesOf(folder, below = "") {
  return readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) => {
    const path = join(below, entry.name);
    if (entry.isDirectory()) return MADE.has(entry.name) ? [] : filesOf(folder, path);
    return entry.isFile() ? [path] : [];
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const only = process.argv.slice(2);
  await main(async () => {
    await projects(only.length > 0 ? only.map((folder) => folder.replace(/\/$/, "")) : all());
    return 0;
  });
}
