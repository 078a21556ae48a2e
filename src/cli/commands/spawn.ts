/** `postern spawn -- PROGRAM`: the manager for a FastCGI program in any language. */
import { Command } from "commander";
import { exitSoon } from "../../server/process.ts";
import { runManager } from "../run-manager.ts";
import { addSettings, type Flags, loadRequest } from "../settings-flags.ts";

export function spawnCommand(): Command {
  const command = new Command("spawn")
    .description("Run a FastCGI program in any language in supervised workers (php-cgi, Python, Perl, C …).")
    .usage("[options] -- <program> [arguments...]")
    .argument(
      "<program...>",
      "after --: the program and its arguments; it finds the listening socket as fd 0",
    );
  return addSettings(command).action(async (program: string[], flags: Flags) => {
    exitSoon(await runManager(loadRequest(flags, { command: program })));
  });
}
