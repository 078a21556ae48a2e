/**
 * What `npm start`, `npm test` and `npm run check` have in common: running a program quietly, one line per step,
 * installing dependencies, building. Plain Node without a single package, since there may be none yet.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** A step that failed; `output` is what the person needs to see. */
export class StepError extends Error {
  constructor(message, output = "") {
    super(message);
    this.output = output;
  }
}

/** Runs one step and prints its line: `✔ build 1.4 s`, or `✘ build 1.4 s` and what went wrong. */
export async function step(name, work) {
  const startMs = performance.now();
  const line = (mark, note) => {
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    console.log(`${mark} ${name} ${seconds} s${note ? ` (${note})` : ""}`);
  };
  try {
    line("✔", await work());
  } catch (error) {
    line("✘");
    if (!(error instanceof StepError)) throw error;
    console.log(`${error.message}\n${error.output}`.trimEnd());
    throw error;
  }
}

/** Runs a program to its end without showing its output. @throws StepError with that output when it fails. */
export async function quietly(command, args, options = {}) {
  let output = "";
  const child = spawn(command, args, { cwd: root, ...options, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.on("data", (piece) => (output += piece));
  child.stderr.on("data", (piece) => (output += piece));
  const code = await ended(child, command);
  if (code !== 0) throw new StepError(`${command} ${args.join(" ")} ended with ${code}`, output);
  return output;
}

/** Runs a program with our own terminal. Gives its exit code. */
export function loudly(command, args, options = {}) {
  return ended(spawn(command, args, { cwd: root, stdio: "inherit", ...options }), command);
}

/** Exit code of a child, in the shell's way (128 + number) for a signal. */
export function ended(child, command) {
  return new Promise((resolve, reject) => {
    child.once("error", (error) => reject(new StepError(`cannot run ${command}: ${error.message}`)));
    child.once("close", (code, signal) => resolve(code ?? 128 + (constants.signals[signal] ?? 0)));
  });
}

/** A JavaScript program from node_modules, as arguments for this Node. */
export function tool(packageName, program = packageName) {
  const manifest = JSON.parse(readFileSync(join(root, "node_modules", packageName, "package.json"), "utf8"));
  const bin = typeof manifest.bin === "string" ? manifest.bin : manifest.bin[program];
  return join(root, "node_modules", packageName, bin);
}

export function node(args, options) {
  return quietly(process.execPath, args, options);
}

/** Refuses a Node that is too old, before it fails on something less clear. */
export function requireNode() {
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const [wantMajor, wantMinor] = engines.node.replace(">=", "").split(".").map(Number);
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > wantMajor || (major === wantMajor && minor >= wantMinor)) return;
  console.error(`Postern needs Node ${engines.node}; this is ${process.version} (${process.execPath})`);
  process.exit(1);
}

/** `npm ci`, when node_modules is not what package-lock.json says. */
export async function dependencies() {
  if (areDependenciesCurrent()) return;
  await step("dependencies", async () => {
    // npm itself tells where it is when it runs us; a shell script on Windows cannot be spawned without it.
    const npm = process.env.npm_execpath;
    const args = ["ci", "--no-audit", "--no-fund"];
    await (npm ? node([npm, ...args]) : quietly("npm", args, { shell: process.platform === "win32" }));
  });
}

/**
 * Compares what npm recorded with the lockfile, package by package. Times of files would do for a fresh clone, but
 * every `git checkout` makes the lockfile newer, and an install that was not needed takes a minute.
 */
function areDependenciesCurrent() {
  const installedFile = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const installed = JSON.parse(readFileSync(installedFile, "utf8")).packages;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "") continue;
    const present = installed[path];
    // Optional ones are those of other systems.
    if (present ? present.version !== entry.version : !entry.optional) return false;
  }
  return Object.keys(installed).every((path) => wanted[path]);
}

/** Makes dist of src; empty before: a file that was deleted in src must not live on in what is tested and packed. */
export async function build() {
  await step("build", async () => {
    rmSync(join(root, "dist"), { recursive: true, force: true });
    await node([tool("typescript", "tsc"), "-p", "tsconfig.build.json"]);
    await node(["scripts/bundle.mjs"]);
  });
}

/** {@link build}, unless dist is newer than everything it is made of. */
export async function buildIfStale() {
  const made = join(root, "dist", "index.js");
  const madeMs = existsSync(made) ? statSync(made).mtimeMs : 0;
  const sources = [
    "tsconfig.json",
    "tsconfig.build.json",
    join("scripts", "bundle.mjs"),
    ...filesBelow("src"),
  ];
  if (sources.some((file) => statSync(join(root, file)).mtimeMs > madeMs)) await build();
}

function filesBelow(folder) {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return entries.map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length));
}

/** The checks that read the code without running it, by the name their step has. */
export const staticChecks = {
  types: () => node([tool("typescript", "tsc"), "-p", "tsconfig.json"]).then(() => {}),
  lint: () => node([tool("@biomejs/biome", "biome"), "check", "--error-on-warnings"]).then(() => {}),
};

/** Ends this script: 1 after a failed step, which has already said what was wrong. */
export async function main(work) {
  requireNode();
  try {
    process.exitCode = await work();
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    process.exitCode = 1;
  }
}
