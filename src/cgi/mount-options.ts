/** The options about the mount, checked once at start-up. What they do is in mount.ts. */
import { SettingError } from "../base/errors.ts";

/** How the mount and the path inside it are found. At most one of these may be set. */
export interface MountOptions {
  /**
   * `"auto"` works it out; `"keep"` takes SCRIPT_NAME and PATH_INFO as they are; `""` or `"/x"` states the mount,
   * as `base` does.
   * @default "auto"
   */
  readonly scriptName?: string | undefined;
  /** The mount as the public URL has it: `""` for the root, or `"/x"`. Needed behind h2o below a path. */
  readonly base?: string | undefined;
  /** Werkzeug's middleware of that name: the mount is the root, the path is SCRIPT_NAME + PATH_INFO. @default false */
  readonly LighttpdCGIRootFix?: boolean | undefined;
  /** flup's middleware of that name: SCRIPT_NAME is dropped, the path is PATH_INFO. @default false */
  readonly ScriptNameStripper?: boolean | undefined;
}

/** Checked {@link MountOptions}. */
export interface MountRule {
  readonly kind: "auto" | "keep" | "base" | "root-fix" | "strip";
  /** For kind "base": "" or "/x"; else "". */
  readonly base: string;
}

/** The rule when nothing is set. */
export const AUTO: MountRule = Object.freeze({ kind: "auto", base: "" });

/**
 * Checks the options.
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`: names the option, its value and what is allowed
 */
export function resolveMountOptions(options: MountOptions = {}): MountRule {
  const set: string[] = [];
  let rule = AUTO;
  const choose = (name: string, kind: MountRule["kind"], base = ""): void => {
    set.push(name);
    rule = Object.freeze({ kind, base });
  };
  const { scriptName, base } = options;
  if (scriptName === "keep") choose("scriptName", "keep");
  else if (scriptName !== undefined && scriptName !== "auto") {
    choose(
      "scriptName",
      "base",
      checkBase("scriptName", scriptName, '"auto", "keep", "" or a path such as "/x"'),
    );
  }
  if (base !== undefined) choose("base", "base", checkBase("base", base, '"" or a path such as "/x"'));
  if (isSet(options, "LighttpdCGIRootFix")) choose("LighttpdCGIRootFix", "root-fix");
  if (isSet(options, "ScriptNameStripper")) choose("ScriptNameStripper", "strip");
  if (set.length > 1) {
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      `${set.join(" and ")} contradict each other: set one of them`,
    );
  }
  return rule;
}

function isSet(options: MountOptions, name: "LighttpdCGIRootFix" | "ScriptNameStripper"): boolean {
  const value: unknown = options[name];
  if (value === undefined || typeof value === "boolean") return value === true;
  throw new SettingError("ERR_POSTERN_BAD_SETTING", `${name} is ${show(value)}: it must be true or false`);
}

/** "" or "/x/y" in URL characters, a slash at the end forgiven. No query, no doubled slash, no dot segments. */
function checkBase(name: string, value: unknown, allowed: string): string {
  if (typeof value === "string") {
    const path = value.endsWith("/") ? value.slice(0, -1) : value;
    if (/^(?:\/(?!\.{1,2}(?:\/|$))(?:[\w.~!$&'()*+,;=:@-]|%[\da-f]{2})+)*$/i.test(path)) return path;
  }
  throw new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `${name} is ${show(value)}: it must be ${allowed} (percent-encoded, without query)`,
  );
}

function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
