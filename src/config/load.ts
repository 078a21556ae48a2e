/** The configuration of this start: found, read from all its sources, checked as a whole. Pure but for the files. */
import { existsSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { SettingError } from "../base/errors.ts";
import { show } from "../base/settings.ts";
import { checkAll, checkPool, notesOn, notesOnAll, settleRivals } from "./check.ts";

import { absolute } from "./places.ts";
import {
  labelOf,
  type Origins,
  programOf,
  resolveManager,
  resolvePool,
  type Surroundings,
} from "./resolve.ts";
import {
  type FilePlace,
  type Given,
  type Layer,
  overlay,
  Problems,
  Rank,
  readEnvLayer,
  readFileLayer,
  readFlagLayer,
  strayVariables,
} from "./sources.ts";
import { nameKind } from "./table-manager.ts";
import type { Configuration, PoolSettings } from "./types.ts";

/** What the configuration is made of. Pass the same again to reload. */
export interface LoadRequest extends Surroundings {
  /** `--config`. Without it, and without a program, the file is looked for in `cwd`. */
  readonly file?: string | undefined;
  /** The application file on the command line. */
  readonly app?: string | undefined;
  /** The command on the command line. */
  readonly command?: readonly string[] | undefined;
  /** Values of flags by the name of their setting, as commander gives them. Others are ignored. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** The name of the user of the process, who may be named as `user`. */
  readonly userName?: string | undefined;
}

/** A configuration and where each of its settings came from. */
export interface LoadedConfiguration {
  readonly configuration: Configuration;
  readonly origins: {
    readonly manager: Origins;
    /** By the pool's name. */
    readonly pools: Readonly<Record<string, Origins>>;
  };
  /** What is allowed and probably not meant: for the log, as warnings. */
  readonly notes: readonly string[];
}

/** In this order, but there may be only one. */
const FILE_NAMES: readonly string[] = ["ts", "mts", "js", "mjs", "cjs", "json"].map(
  (ending) => `postern.config.${ending}`,
);

/**
 * The configuration file of a folder, absolute; undefined when there is none.
 * @throws {SettingError} `ERR_POSTERN_CONFIG_LOAD` when there are several
 */
export function findConfigurationFile(folder: string): string | undefined {
  const [first, second] = FILE_NAMES.filter((name) => existsSync(join(folder, name)));
  if (first !== undefined && second !== undefined) {
    throw new SettingError(
      "ERR_POSTERN_CONFIG_LOAD",
      `there are ${first} and ${second} in ${folder}: remove one, or choose with --config`,
    );
  }
  return first === undefined ? undefined : join(folder, first);
}

/**
 * Reads everything. A file is read anew at each call, and so is what it imports.
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING` with everything that is wrong, or `ERR_POSTERN_CONFIG_LOAD`
 */
export async function loadConfiguration(request: LoadRequest): Promise<LoadedConfiguration> {
  const { cwd, env } = request;
  const hasProgram = request.app !== undefined || request.command !== undefined;
  const file =
    request.file !== undefined
      ? resolve(cwd, request.file)
      : hasProgram
        ? undefined
        : findConfigurationFile(cwd);
  const problems = new Problems();
  const written = file === undefined ? NOTHING : readFile(file, await evaluate(file, env), problems);
  const above = [readEnvLayer(env, cwd, problems), readFlagLayer(request.flags, cwd, problems)];
  const argument = readArgument(request);
  if (argument.size > 0 && written.pools.size > 1) {
    const names = [...written.pools.keys()].join(" and ");
    problems.add(
      `the command line names a program, and ${written.label} has the pools ${names}: leave out the one or the other`,
    );
  }
  problems.throwIfAny();

  const shared = overlay(written.shared, ...above, argument);
  const managerProgram = programOf(argument) ?? (written.pools.size === 0 ? programOf(shared) : undefined);
  const folder = file === undefined ? undefined : dirname(file);
  const manager = resolveManager(shared, folder, managerProgram, request);
  const entries: readonly (readonly [string, Layer])[] =
    written.pools.size === 0 ? [[manager.settings.name, new Map()]] : [...written.pools];
  const pools: PoolSettings[] = [];
  const poolOrigins: Record<string, Origins> = {};
  const notes = strayVariables(env);
  for (const [name, own] of entries) {
    const where = `pool ${name}`;
    const base = written.pools.size === 0 ? asOwn(written.shared) : written.shared;
    const given = overlay(base, own, ...above, argument);
    settleRivals(given, where, problems);
    const program = programOf(given);
    if (program === undefined) {
      problems.add(nothingToRun(file, written.pools.size === 0 ? undefined : name));
      continue;
    }
    const { settings, origins } = resolvePool(name, given, program, request);
    checkPool(settings, origins, where, request, problems);
    notes.push(...notesOn(settings, given, request.uid));
    pools.push(settings);
    poolOrigins[name] = origins;
  }
  const configuration: Configuration = Object.freeze({ manager: manager.settings, pools, file });
  checkAll(configuration, written.label, problems);
  problems.throwIfAny();
  notes.push(...notesOnAll(configuration));
  return { configuration, origins: { manager: manager.origins, pools: poolOrigins }, notes };
}

/** What a file says: for every pool and the manager, and by pool. */
interface Written {
  readonly label: string;
  readonly shared: Layer;
  readonly pools: ReadonlyMap<string, Layer>;
}

const NOTHING: Written = { label: "configuration", shared: new Map(), pools: new Map() };

function readFile(file: string, value: unknown, problems: Problems): Written {
  const label = labelOf(file);
  const place: FilePlace = {
    label,
    folder: dirname(file),
    isJson: extname(file) === ".json",
    pool: undefined,
    rank: Rank.SharedFile,
  };
  const pools = new Map<string, Layer>();
  if (!isObject(value)) {
    problems.add(`${label}: ${show(value)} is no configuration; export an object of settings`);
    return { label, shared: new Map(), pools };
  }
  const shared = readFileLayer(value, place, problems);
  const given = value["pools"];
  if (given === undefined) return { label, shared, pools };
  if (!isObject(given) || Object.keys(given).length === 0) {
    problems.add(
      `${label}: pools: ${show(given)} cannot be used, it must be an object of pools by name, such as { blog: { app: "blog.js" } }`,
    );
    return { label, shared, pools };
  }
  for (const [name, settings] of Object.entries(given)) {
    problems.collect(() =>
      nameKind.read(name, { place: `${label}: pools`, folder: "", isText: false, isJson: false }),
    );
    if (isObject(settings)) {
      pools.set(name, readFileLayer(settings, { ...place, pool: name, rank: Rank.File }, problems));
    } else {
      problems.add(
        `${label}: pools.${name}: ${show(settings)} cannot be used, it must be an object of settings`,
      );
    }
  }
  return { label, shared, pools };
}

/** Of a file without `pools`, everything is about its one pool. */
function asOwn(layer: Layer): Layer {
  return new Map([...layer].map(([name, given]) => [name, { ...given, rank: Rank.File }]));
}

function readArgument({ app, command, cwd }: LoadRequest): Layer {
  const from = { origin: "command line", rank: Rank.Argument };
  const layer = new Map<string, Given>();
  if (app !== undefined) layer.set("app", { ...from, written: app, value: absolute(app, cwd) });
  if (command !== undefined) {
    const [program = "", ...args] = command;
    layer.set("command", {
      ...from,
      written: command,
      value: [program.includes("/") ? absolute(program, cwd) : program, ...args],
    });
  }
  return layer;
}

function nothingToRun(file: string | undefined, pool: string | undefined): string {
  if (file === undefined) {
    return "nothing to run: name an application (postern serve app.js), or write a postern.config.ts in this folder";
  }
  const place = pool === undefined ? labelOf(file) : `${labelOf(file)}: pools.${pool}`;
  return `${place}: nothing to run: set app to the file of an application, or command to a program and its arguments`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Most starts have no configuration file, and then nothing of this is loaded. */
async function evaluate(file: string, env: Readonly<NodeJS.ProcessEnv>): Promise<unknown> {
  const { evaluateFile } = await import("./evaluate.ts");
  return evaluateFile(file, env);
}
