/** Every command of `postern`, in the order of its help. */
import type { Command } from "commander";
import { configCommand } from "./config.ts";
import { controlCommands } from "./control.ts";
import { initCommand } from "./init.ts";
import { serveCommand } from "./serve.ts";
import { spawnCommand } from "./spawn.ts";

export function allCommands(): Command[] {
  return [serveCommand(), spawnCommand(), ...controlCommands(), configCommand(), initCommand()];
}
