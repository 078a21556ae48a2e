/** The flags of `postern serve`, `spawn` and `config show`: all of them come from the settings table. */
import { availableParallelism, userInfo } from "node:os";
import { type Command, Option } from "commander";
import type { LoadRequest } from "../config/load.ts";
import { flagsOf, SECTIONS } from "../config/settings.ts";

/** Values of flags as commander gives them, by the name of their setting; and the command's own. */
export type Flags = Readonly<Record<string, unknown>>;

/** Adds `--config` and a flag for every setting, grouped as the reference is. */
export function addSettings(command: Command): Command {
  command.option("-c, --config <file>", "read settings from this file (default: postern.config.* here)");
  for (const { setting, flags, description, isRepeatable } of [...flagsOf("manager"), ...flagsOf("pool")]) {
    const section = SECTIONS.find(({ settings }) => Object.hasOwn(settings, setting));
    const option = new Option(flags, description).helpGroup(`${section?.title ?? "Settings"}:`);
    if (isRepeatable) {
      option.argParser((value: string, all: readonly string[] | undefined) => [...(all ?? []), value]);
    }
    command.addOption(option);
  }
  return command;
}

/** What a command line asks for, in the form that can be read again for a reload. */
export function loadRequest(flags: Flags, program: Pick<LoadRequest, "app" | "command">): LoadRequest {
  const { config } = flags;
  return {
    ...program,
    flags,
    file: typeof config === "string" ? config : undefined,
    cwd: process.cwd(),
    env: process.env,
    uid: process.getuid?.() ?? 0,
    cores: availableParallelism(),
    userName: userName(),
  };
}

function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined; // a user that the system does not know, as in some containers
  }
}
