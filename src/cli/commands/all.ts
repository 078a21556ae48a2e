/** Every command of `postern`, in the order of its help. */
import type { Command } from "commander";
import { benchCommand } from "./bench.ts";
import { configCommand } from "./config.ts";
import { conformCommand } from "./conform.ts";
import { controlCommands } from "./control.ts";
import { curlCommand } from "./curl.ts";
import { decodeCommand } from "./decode.ts";
import { devCommand } from "./dev.ts";
import { doctorCommand } from "./doctor.ts";
import { explainCommand } from "./explain.ts";
import { initCommand } from "./init.ts";
import { inspectCommand } from "./inspect.ts";
import { pingCommand } from "./ping.ts";
import { replayCommand } from "./replay.ts";
import { serveCommand } from "./serve.ts";
import { spawnCommand } from "./spawn.ts";

export function allCommands(): Command[] {
  return [
    serveCommand(),
    devCommand(),
    spawnCommand(),
    ...controlCommands(),
    configCommand(),
    initCommand(),
    curlCommand(),
    pingCommand(),
    inspectCommand(),
    decodeCommand(),
    replayCommand(),
    doctorCommand(),
    explainCommand(),
    benchCommand(),
    conformCommand(),
  ];
}
