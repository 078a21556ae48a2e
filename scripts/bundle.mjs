/**
 * `node scripts/bundle.mjs`: src/ → dist/ as few files. Node takes about a millisecond for each module that it loads,
 * and keeps memory for it, and a worker needs a hundred of ours. What starts together is one file; what is imported
 * late stays a file of its own.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Files of dist that package.json names, for programs to import. */
const LIBRARIES = ["index", "protocol/index", "client/index", "gateway/index"];
/** Files of dist that do something when they are loaded: they are by themselves. */
const PROGRAMS = ["register", "cli/main", "manager/worker-main"];
/** Files of dist that hold nothing, by which bench/ comes at what is no export of the package. */
const PEEPHOLES = ["adapters/app", "server/server", "server/held-socket", "manager/scoreboard"];
const ENTRIES = [...LIBRARIES, ...PROGRAMS, ...PEEPHOLES];

/**
 * What is put together: modules that each of these programs loads at its start. The first that fits takes a module, so
 * each needs only those above it; whatever fits none and is shared is `tools`, which no server loads.
 */
const CHUNKS = [
  { name: "protocol", programs: ["index", "protocol/index"] },
  { name: "common", programs: ["index", "client/index"] },
  { name: "http", programs: ["index", "gateway/index"] },
  { name: "server", programs: ["index"] },
  { name: "http", programs: ["gateway/index", "manager/worker-main"] },
  { name: "listen", programs: ["register", "manager/worker-main"] },
  { name: "worker", programs: ["manager/worker-main"] },
  { name: "cli", programs: ["cli/main"] },
  { name: "cli", programs: ["cli/commands/serve"] },
  { name: "worker", programs: ["cli/serve-here"] },
  { name: "manager", programs: ["cli/run-manager"] },
  { name: "dev", programs: ["manager/dev-side"] },
  { name: "web-side", programs: ["protocol/index", "client/index"] },
  { name: "client", programs: ["client/index"] },
  { name: "gateway", programs: ["gateway/index"] },
  { name: "sites", programs: ["sites/index"] },
];
const SHARED = "tools";

/** What npm installs beside us, and Node itself. */
const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const OUTSIDE = [/^node:/, ...Object.keys(dependencies)];

async function bundle() {
  const chunks = new Map();
  const bundled = await rolldown({
    cwd: root,
    input: Object.fromEntries(ENTRIES.map((name) => [name, source(name)])),
    external: OUTSIDE,
    platform: "node",
    tsconfig: false,
    transform: { target: "es2023" },
    // package.json says it of dist.
    treeshake: { moduleSideEffects: true },
    plugins: [
      {
        name: "chunks",
        buildEnd() {
          for (const [id, name] of chunksOf((id) => this.getModuleInfo(id))) chunks.set(id, name);
        },
      },
    ],
  });
  try {
    const { output } = await bundled.write({
      dir: join(root, "dist"),
      format: "esm",
      entryFileNames: "[name].js",
      // As deep below the package as src/base/own-files.ts is.
      chunkFileNames: "chunks/[name].js",
      codeSplitting: {
        groups: [...new Set(CHUNKS.map(({ name }) => name)), SHARED].map((name) => ({
          name,
          test: (id) => chunks.get(id) === name,
        })),
      },
      minify: false,
      minifyInternalExports: false,
      comments: { legal: true, annotation: true, jsdoc: false },
      sourcemap: true,
    });
    checkPlaces(output);
  } finally {
    await bundled.close();
  }
}

function source(name) {
  return join(root, "src", `${name}.ts`);
}

/** What goes by its own place must be where it expects to be. */
function checkPlaces(output) {
  for (const { fileName, moduleIds = [] } of output) {
    const isWrong = moduleIds.includes(source("base/own-files")) && !/^chunks\/[^/]+$/.test(fileName);
    if (isWrong) throw new Error(`${fileName} holds src/base/own-files.ts, which must be in dist/chunks`);
  }
}

/** The chunk of each module that has one; the others the bundler puts where they are used. */
function chunksOf(info) {
  const loadedBy = (name) => closure(source(name), info);
  const result = new Map();
  for (const { name, programs } of CHUNKS) {
    const [first, ...others] = programs.map(loadedBy);
    for (const id of first) {
      if (!result.has(id) && others.every((other) => other.has(id))) result.set(id, name);
    }
  }
  const counts = new Map();
  for (const start of starts(info)) {
    for (const id of closure(start, info)) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  for (const [id, count] of counts) if (count > 1 && !result.has(id)) result.set(id, SHARED);
  for (const name of PROGRAMS) result.delete(source(name));
  return result;
}

/** The entries, and all that is imported late. */
function starts(info) {
  const found = new Set(ENTRIES.map(source));
  const seen = new Set();
  for (const start of found) {
    for (const id of closure(start, info)) {
      if (seen.has(id)) continue;
      seen.add(id);
      for (const late of info(id).dynamicallyImportedIds) if (isOurs(late)) found.add(late);
    }
  }
  return found;
}

/** A module and all that is loaded with it. */
function closure(start, info) {
  const found = new Set([start]);
  for (const id of found) {
    for (const next of info(id).importedIds) if (isOurs(next)) found.add(next);
  }
  return found;
}

function isOurs(id) {
  return id.startsWith(join(root, "src"));
}

await bundle();
