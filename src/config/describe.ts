/** The effective configuration for people and programs: `postern config show`. */
import type { LoadedConfiguration } from "./load.ts";
import { fieldName, type Origins } from "./resolve.ts";
import { type Scope, settingsOf } from "./settings.ts";

export interface DescribedSetting {
  readonly setting: string;
  /** As one would write it in a configuration file; values of environment variables are left out. */
  readonly value: unknown;
  /** `default`, or the file, variable or flag it came from. */
  readonly origin: string;
}

/** Every setting of the manager and of each pool. Serialised as JSON it is the machine's form. */
export interface Description {
  /** The configuration file. */
  readonly file: string | null;
  readonly manager: readonly DescribedSetting[];
  readonly pools: Readonly<Record<string, readonly DescribedSetting[]>>;
  readonly notes: readonly string[];
}

export function describeConfiguration({ configuration, origins, notes }: LoadedConfiguration): Description {
  const { manager, pools, file } = configuration;
  return {
    file: file ?? null,
    manager: describe("manager", Object.entries(manager), origins.manager),
    pools: Object.fromEntries(
      pools.map((pool) => {
        const { program } = pool;
        const own: [string, unknown] =
          program.kind === "app" ? ["app", program.file] : ["command", program.command];
        return [pool.name, describe("pool", [...Object.entries(pool), own], origins.pools[pool.name] ?? {})];
      }),
    ),
    notes,
  };
}

function describe(
  scope: Scope,
  fields: readonly (readonly [string, unknown])[],
  origins: Origins,
): DescribedSetting[] {
  const values = new Map(fields);
  return Object.entries(settingsOf(scope)).flatMap(([setting, { kind }]) => {
    const field = fieldName(setting, kind);
    if (!values.has(field)) return [];
    const value = values.get(field);
    const written = value === undefined ? null : kind.write(value as never);
    return [{ setting, value: written, origin: origins[setting] ?? "default" }];
  });
}

/** The same as aligned lines. */
export function printDescription(description: Description): string {
  const lines = [`file: ${description.file ?? "none"}`];
  const section = (title: string, settings: readonly DescribedSetting[]): void => {
    const name = Math.max(...settings.map(({ setting }) => setting.length));
    const value = Math.min(40, Math.max(...settings.map((one) => printed(one.value).length)));
    lines.push("", title);
    for (const one of settings) {
      lines.push(`  ${one.setting.padEnd(name)}  ${printed(one.value).padEnd(value)}  ${one.origin}`);
    }
  };
  section("manager", description.manager);
  for (const [pool, settings] of Object.entries(description.pools)) section(`pool ${pool}`, settings);
  if (description.notes.length > 0) lines.push("", ...description.notes.map((note) => `note: ${note}`));
  return `${lines.join("\n")}\n`;
}

function printed(value: unknown): string {
  if (value === null) return "-";
  if (typeof value === "string") return value === "" ? '""' : value;
  if (Array.isArray(value)) return value.length === 0 ? "-" : value.join(", ");
  if (typeof value !== "object") return String(value);
  const pairs = Object.entries(value).map(([name, one]) => `${name}=${String(one)}`);
  return pairs.length === 0 ? "-" : pairs.join(", ");
}
