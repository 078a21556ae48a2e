/** Settings as given → settings as the manager wants them, with every default filled in and its origin known. */
import { basename, dirname, join } from "node:path";
import type { Kind, ValueSource } from "./kinds.ts";
import { absolute, nameOfFolder, runFolder } from "./places.ts";
import { isPythonApp } from "./python-app.ts";
import { MANAGER_SETTINGS, POOL_SETTINGS, type Scope, settingsOf } from "./settings.ts";
import { type Given, type Layer, Rank } from "./sources.ts";
import type { ManagerSettings, PoolSettings, ProcessManagement, Program } from "./types.ts";

/** What surrounds a configuration, instead of globals. */
export interface Surroundings {
  readonly cwd: string;
  readonly env: Readonly<NodeJS.ProcessEnv>;
  /** The user id of the process. */
  readonly uid: number;
  /** Processor cores that can be used. */
  readonly cores: number;
}

/** Each setting's origin, by its name. */
export type Origins = Readonly<Record<string, string>>;

/** The values of one scope: what was given, else the default. */
class Values {
  readonly #scope: Scope;
  readonly #given: Layer;
  readonly #defaults: ReadonlyMap<string, unknown>;

  constructor(scope: Scope, given: Layer, defaults: Readonly<Record<string, unknown>> = {}) {
    this.#scope = scope;
    this.#given = given;
    this.#defaults = new Map(Object.entries(defaults));
  }

  get(name: string): unknown {
    const given = this.#given.get(name);
    if (given !== undefined) return given.value;
    if (this.#defaults.has(name)) return this.#defaults.get(name);
    const { kind, standard } = settingsOf(this.#scope)[name]!;
    return standard === undefined ? undefined : kind.read(standard, NOWHERE);
  }

  origins(): Origins {
    return Object.fromEntries(
      Object.keys(settingsOf(this.#scope)).map((name) => [name, this.#given.get(name)?.origin ?? "default"]),
    );
  }
}

const NOWHERE: ValueSource = { place: "default", folder: "/", isText: false, isJson: false };

/** The name of a field in the resolved settings: `drainTimeout` → `drainTimeoutMs`. */
export function fieldName(name: string, kind: Kind): string {
  if (kind.placeholder === "time") return `${name}Ms`;
  return kind.placeholder === "size" ? `${name}Bytes` : name;
}

/** @param folder of the configuration file; undefined when there is none */
export function resolveManager(
  given: Layer,
  folder: string | undefined,
  program: Program | undefined,
  around: Surroundings,
): { settings: ManagerSettings; origins: Origins } {
  const named = given.get("name")?.value as string | undefined;
  const name = named ?? nameOfFolder(folder ?? programFolder(program, around.cwd));
  const controlSocket = join(runFolder(around.env, around.uid), `${name}.sock`);
  const values = new Values("manager", given, { name, controlSocket });
  const settings = Object.fromEntries(
    Object.keys(MANAGER_SETTINGS)
      .filter((setting) => setting !== "pools")
      .map((setting) => [setting, values.get(setting)]),
  );
  const { pools: _, ...origins } = values.origins();
  return { settings: settings as unknown as ManagerSettings, origins };
}

/** What the workers run; undefined when nobody said. */
export function programOf(given: Layer): Program | undefined {
  const file = given.get("app")?.value as string | undefined;
  if (file !== undefined) return { kind: "app", file, ...(isPythonApp(file) && { language: "python" }) };
  const command = given.get("command")?.value as readonly string[] | undefined;
  return command === undefined ? undefined : { kind: "command", command };
}

/** The folder a program is in; for a command that is looked up in PATH, wherever we are. */
function programFolder(program: Program | undefined, cwd: string): string {
  const path = program?.kind === "app" ? program.file : program?.command[0];
  return path?.includes("/") ? dirname(path) : cwd;
}

/** Settings that only shorten or choose others, and are no field of their own. */
const NO_FIELD = new Set(["app", "command", "workers"]);

export function resolvePool(
  name: string,
  given: Layer,
  program: Program,
  around: Surroundings,
): { settings: PoolSettings; origins: Origins } {
  const all = withWorkers(given, around.cores);
  const values = new Values("pool", all, {
    bind: [],
    env: {},
    envFile: [],
    nodeArgs: [],
    chdir: programFolder(program, around.cwd),
    ...workerDefaults(all, around.cores),
  });
  const fields: Record<string, unknown> = { name, program };
  for (const [setting, { kind }] of Object.entries(POOL_SETTINGS)) {
    if (!NO_FIELD.has(setting)) fields[fieldName(setting, kind)] = values.get(setting);
  }
  const restartFile = fields["restartFile"] as string | undefined;
  if (restartFile !== undefined) {
    fields["restartFile"] = absolute(restartFile, fields["chdir"] as string);
  }
  return { settings: fields as unknown as PoolSettings, origins: values.origins() };
}

/** `workers` as the `maxChildren` it is short for. */
function withWorkers(given: Layer, cores: number): Layer {
  const workers = given.get("workers");
  if (workers === undefined) return given;
  const value = workers.value === "auto" ? cores : workers.value;
  return new Map<string, Given>([...given, ["maxChildren", { ...workers, value }]]);
}

/** The defaults that depend on each other: php-fpm's arithmetic. */
function workerDefaults(given: Layer, cores: number): Readonly<Record<string, unknown>> {
  const number = (name: string, standard: number): number =>
    (given.get(name)?.value as number | undefined) ?? standard;
  const pm = (given.get("pm")?.value ?? POOL_SETTINGS.pm.standard) as ProcessManagement;
  const maxChildren = number("maxChildren", pm === "static" ? 1 : Math.max(2, cores));
  const minSpareServers = number("minSpareServers", 1);
  const maxSpareServers = number("maxSpareServers", Math.max(minSpareServers, Math.min(3, maxChildren)));
  const halfway = minSpareServers + Math.floor((maxSpareServers - minSpareServers) / 2);
  const startServers = pm === "dynamic" ? halfway : pm === "static" ? maxChildren : 0;
  return { maxChildren, minSpareServers, maxSpareServers, startServers };
}

/** How a file is called in messages and as an origin. */
export function labelOf(file: string): string {
  return basename(file);
}

/** Whether the value was given, and not by what all pools of a file share. */
export function isOwn(given: Given | undefined): boolean {
  return given !== undefined && given.rank !== Rank.SharedFile;
}
