/**
 * The map of the house, kept true: who may import whom, which built-ins a folder may touch, and that
 * docs/architecture.md knows every file. The table here is the rule; biome.jsonc repeats it for editors.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repositoryRoot } from "./support/paths.ts";
import { readSources, type SourceFile } from "./support/source.ts";

interface Row {
  /** Folders, or single files of src, it may import from besides itself. Type-only imports count. */
  readonly imports: readonly string[];
  /** Built-in modules without `node:`; `*` is any. */
  readonly builtins: readonly string[];
  /** npm packages. */
  readonly packages: readonly string[];
}

const STREAMS = ["stream", "stream/promises", "stream/web"];

/** One row per folder. A file in src itself (index.ts, register.ts) is of the folder "". */
const TABLE: Readonly<Record<string, Row>> = {
  // config/define.ts: the types of a configuration file, and the function that does nothing but name them.
  "": {
    imports: ["adapters", "base", "config/define.ts", "server"],
    // register.ts: in which kind of process it is.
    builtins: ["cluster", "worker_threads"],
    packages: [],
  },
  // http: base/node-http.ts alone, for the folders that may use it.
  base: { imports: [], builtins: ["buffer", "http", "path", "url", "util"], packages: [] },
  // Pure machines: bytes and text in, bytes and text out. No I/O, no timers, not even a socket type.
  protocol: { imports: ["base/errors.ts", "base/text.ts"], builtins: ["buffer"], packages: [] },
  cgi: { imports: ["base/errors.ts", "base/text.ts"], builtins: ["buffer"], packages: [] },
  server: {
    imports: ["base", "cgi", "protocol"],
    // fs and path: unix sockets are files, made under another name and renamed. dns: whose address a name is.
    // diagnostics_channel: events.ts.
    builtins: [
      "buffer",
      "diagnostics_channel",
      "dns/promises",
      "events",
      "fs",
      "fs/promises",
      "net",
      // os: the number of an error.
      "os",
      "path",
      "timers",
      "util",
      ...STREAMS,
    ],
    packages: [],
  },
  adapters: {
    // The vocabulary of the protocol (roles, statuses, the Params a request has), never its machines.
    imports: ["base", "cgi", "protocol/params.ts", "protocol/records.ts", "server"],
    // diagnostics_channel: what node:http's server publishes, for whoever traces.
    builtins: ["buffer", "diagnostics_channel", "events", "http", "net", "util", ...STREAMS],
    packages: [],
  },
  client: {
    imports: ["base", "cgi", "protocol"],
    // fs: whether what refuses a connection is a socket at all.
    builtins: ["buffer", "events", "fs", "net", "timers", ...STREAMS],
    packages: [],
  },
  gateway: {
    imports: ["base", "cgi", "client"],
    builtins: ["buffer", "events", "fs", "fs/promises", "http", "net", "path", ...STREAMS],
    packages: [],
  },
  config: {
    // cgi/mount-options.ts: the one place that knows what a mount may be.
    imports: ["base", "cgi/mount-options.ts"],
    // worker_threads: a configuration file is a program, and runs where it can do no harm.
    builtins: ["fs", "module", "os", "path", "url", "worker_threads"],
    packages: [],
  },
  // Pure: numbers in, text out.
  status: { imports: ["base"], builtins: [], packages: [] },
  manager: {
    // gateway: workers answer HTTP too, if they are told to.
    // Of cgi what a page of `postern dev` is made of.
    imports: [
      "adapters",
      "base",
      "cgi/error-page.ts",
      "cgi/response-head.ts",
      "config",
      "gateway",
      "protocol/params.ts",
      "server",
      "status",
    ],
    builtins: [
      "buffer",
      "child_process",
      "cluster",
      "fs",
      "fs/promises",
      "http",
      "module",
      "net",
      "os",
      "path",
      "timers/promises",
      "url",
      ...STREAMS,
    ],
    // jiti: TypeScript on Node 20. ws: the inspector of a worker that is stuck.
    packages: ["jiti", "ws"],
  },
  // Pure: a description of a service in, the text of files out.
  generate: { imports: ["base"], builtins: [], packages: [] },
  // Pure: an application and the web server in front of it in, the text of its configuration out; and the way back.
  sites: { imports: ["base", "generate/model.ts", "generate/quoting.ts"], builtins: [], packages: ["yaml"] },
  // Everything that looks at a deployment from outside; never part of one. Nothing but the command line loads it.
  tools: {
    imports: [
      "base",
      "cgi",
      "client",
      "config",
      "gateway",
      "generate/quoting.ts",
      "protocol",
      "server",
      "sites",
      "status/text.ts",
    ],
    builtins: [
      "buffer",
      "child_process",
      "crypto",
      "events",
      "fs",
      "fs/promises",
      "http",
      "https",
      "net",
      "os",
      "path",
      "perf_hooks",
      "timers/promises",
      "tls",
      "url",
      "util",
      "zlib",
      ...STREAMS,
    ],
    packages: [],
  },
  cli: {
    imports: [
      "",
      "adapters",
      "base",
      "cgi",
      "client",
      "config",
      "gateway",
      "generate",
      "manager",
      "protocol",
      "server",
      "sites",
      "status",
      "tools",
    ],
    builtins: ["*"],
    packages: ["commander"],
  },
};

/** More than this is two ideas in one file. */
const MOST_LINES = 400;

/** What users import: these load nothing from node_modules. */
const PUBLIC_ENTRIES = [
  "index.ts",
  "register.ts",
  "protocol/index.ts",
  "client/index.ts",
  "gateway/index.ts",
];

const sources = readSources();
const byPath = new Map(sources.map((source) => [source.path, source]));

function folderOf(path: string): string {
  return path.includes("/") ? (path.split("/")[0] ?? "") : "";
}

function rowOf(source: SourceFile): Row {
  const row = TABLE[source.folder];
  if (!row) throw new Error(`src/${source.folder} has no row in the import table of ${import.meta.url}`);
  return row;
}

describe("imports", () => {
  it("stay inside the folder or go where the table allows", () => {
    const wrong: string[] = [];
    for (const source of sources) {
      const { imports } = rowOf(source);
      for (const { file } of source.imports) {
        if (file === undefined || folderOf(file) === source.folder) continue;
        if (!imports.includes(folderOf(file)) && !imports.includes(file))
          wrong.push(`${source.path} → ${file}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("use only the built-in modules the folder may touch, by their node: names", () => {
    const wrong: string[] = [];
    for (const source of sources) {
      const { builtins } = rowOf(source);
      for (const { specifier } of source.imports) {
        const name = /^node:(.*)$/.exec(specifier)?.[1];
        if (name === undefined || builtins.includes("*") || builtins.includes(name)) continue;
        wrong.push(`${source.path} → ${specifier}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("use npm packages only where the table allows", () => {
    const wrong: string[] = [];
    for (const source of sources) {
      const { packages } = rowOf(source);
      for (const { specifier, file } of source.imports) {
        if (file !== undefined || specifier.startsWith("node:") || packages.includes(specifier)) continue;
        wrong.push(`${source.path} → ${specifier}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("name files that exist, with their .ts ending", () => {
    const wrong = sources.flatMap((source) =>
      source.imports
        .filter(({ file }) => file !== undefined && !byPath.has(file))
        .map(({ specifier }) => `${source.path} → ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it("never go in circles", () => {
    expect(findCycle()).toEqual([]);
  });

  it("never lead to cli/", () => {
    const wrong = sources.filter(
      (source) => source.folder !== "cli" && source.imports.some(({ file }) => file?.startsWith("cli/")),
    );
    expect(wrong.map((source) => source.path)).toEqual([]);
  });

  it.each(PUBLIC_ENTRIES)("of %s load no npm package", (entry) => {
    expect(byPath.has(entry), `src/${entry} exists`).toBe(true);
    const loaded = new Set<string>();
    const packages: string[] = [];
    const load = (path: string): void => {
      if (loaded.has(path)) return;
      loaded.add(path);
      for (const { specifier, file, isTypeOnly, isDynamic } of byPath.get(path)?.imports ?? []) {
        if (isTypeOnly || isDynamic) continue;
        if (file !== undefined) load(file);
        else if (!specifier.startsWith("node:")) packages.push(`${path} → ${specifier}`);
      }
    };
    load(entry);
    expect(packages).toEqual([]);
  });

  // An import of node:http loads undici (base/node-http.ts); the others take a good deal along as well.
  it.each([
    ["index.ts", ["http", "crypto", "cluster", "child_process", "util", "worker_threads"]],
    ["manager/worker-main.ts", ["http", "crypto", "cluster", "child_process", "util", "worker_threads"]],
    ["cli/serve-here.ts", ["http", "crypto", "cluster", "child_process", "util", "worker_threads"]],
    ["cli/commands/serve.ts", ["http", "crypto", "cluster", "child_process", "util", "worker_threads"]],
    ["cli/run-manager.ts", ["http", "crypto", "cluster", "worker_threads"]],
  ])("of %s load nothing that hardly any start needs", (entry, unwanted) => {
    expect(byPath.has(entry), `src/${entry} exists`).toBe(true);
    const loaded = new Set<string>();
    const found: string[] = [];
    const load = (path: string): void => {
      if (loaded.has(path)) return;
      loaded.add(path);
      if (path.startsWith("gateway/")) found.push(path);
      for (const { specifier, file, isTypeOnly, isDynamic } of byPath.get(path)?.imports ?? []) {
        if (isTypeOnly || isDynamic) continue;
        if (file !== undefined) load(file);
        else if (unwanted.includes(specifier.replace("node:", ""))) found.push(`${path} → ${specifier}`);
      }
    };
    load(entry);
    expect(found).toEqual([]);
  });
});

/** The first circle of imports found, as a list of paths that ends where it began. */
function findCycle(): string[] {
  const done = new Set<string>();
  const visit = (path: string, way: string[]): string[] => {
    const at = way.indexOf(path);
    if (at >= 0) return [...way.slice(at), path];
    if (done.has(path)) return [];
    for (const { file } of byPath.get(path)?.imports ?? []) {
      const cycle = file === undefined ? [] : visit(file, [...way, path]);
      if (cycle.length > 0) return cycle;
    }
    done.add(path);
    return [];
  };
  for (const { path } of sources) {
    const cycle = visit(path, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}

describe("files", () => {
  it(`have at most ${MOST_LINES} lines`, () => {
    const long = sources.filter((source) => source.lineCount > MOST_LINES);
    expect(long.map((source) => `${source.path}: ${source.lineCount}`)).toEqual([]);
  });

  it("are each in a folder the table knows", () => {
    expect(sources.length).toBeGreaterThan(10);
    for (const source of sources) rowOf(source);
  });
});

describe("docs/architecture.md", () => {
  const path = join(repositoryRoot, "docs", "architecture.md");
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";

  it("mentions every file of src/", () => {
    const escaped = (file: string): string => file.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const missing = sources.filter(
      (source) => !new RegExp(`(^|[^\\w/-])(src/)?${escaped(source.path)}\\b`, "m").test(text),
    );
    expect(missing.map((source) => source.path)).toEqual([]);
  });

  it("mentions no file that is gone", () => {
    const folders = Object.keys(TABLE).filter((folder) => folder !== "");
    const named = text.matchAll(
      new RegExp(`(?:^|[^\\w/-])(?:src/)?((?:${folders.join("|")})/[\\w/-]+\\.ts)\\b`, "gm"),
    );
    const gone = [...named].map(([, file = ""]) => file).filter((file) => !byPath.has(file));
    expect([...new Set(gone)]).toEqual([]);
  });
});

describe("biome.jsonc", () => {
  it("repeats the table, so that an editor shows a forbidden import at once", () => {
    const text = readFileSync(join(repositoryRoot, "biome.jsonc"), "utf8").replace(/^\s*\/\/.*$/gm, "");
    const config = JSON.parse(text) as {
      overrides: {
        includes: string[];
        linter: {
          rules: { style?: { noRestrictedImports?: { options: { patterns: { group: string[] }[] } } } };
        };
      }[];
    };
    const actual: Record<string, string[]> = {};
    for (const { includes, linter } of config.overrides) {
      const rule = linter.rules.style?.noRestrictedImports;
      const folder = /^src\/(\w+)\/\*\*$/.exec(includes[0] ?? "")?.[1];
      if (rule && folder) actual[folder] = rule.options.patterns[0]?.group ?? [];
    }
    const expected: Record<string, string[]> = {};
    for (const [folder, { imports }] of Object.entries(TABLE)) {
      if (folder === "" || folder === "cli") continue;
      if (folder === "tools") {
        // It has folders of its own, so the way out has two lengths: what is forbidden is named instead.
        const others = Object.keys(TABLE).filter((name) => name !== "" && name !== folder);
        const forbidden = others.filter((name) => !imports.includes(name)).sort();
        const files = imports.filter((name) => name.endsWith(".ts"));
        expected[folder] = [
          ...forbidden.map((name) => `**/${name}/**`),
          ...files.map((name) => `!**/${name}`),
        ];
        continue;
      }
      const allowed = imports.map((name) => `!../${name}${name.endsWith(".ts") ? "" : "/*"}`);
      expected[folder] = ["../*", "../*/**", ...allowed];
    }
    expect(actual).toEqual(expected);
  });
});
