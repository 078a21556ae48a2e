#!/usr/bin/env node
/** The `postern` command: parses, runs one command, prints what went wrong in one sentence, sets the exit code. */
import { Command, CommanderError } from "commander";
import { PosternError, SettingError } from "../base/errors.ts";
import { ExitCode } from "../manager/exit-codes.ts";
import { showPlace } from "../manager/show-place.ts";
import { exitSoon } from "../server/process.ts";
import { commandsFor } from "./commands/all.ts";
import { inFlagNames } from "./flag-names.ts";
import { packageVersion } from "./version.ts";

const program = new Command("postern")
  .description("FastCGI for JavaScript: run an application behind the web server you have.")
  .version(packageVersion(), "-V, --version", "print the version")
  .helpOption("-h, --help", "print this help")
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "postern: ")) })
  .showHelpAfterError("(postern --help lists what there is)")
  .exitOverride();

for (const command of await commandsFor(process.argv[2])) {
  program.addCommand(withSettings(command, program));
}

try {
  await program.parseAsync();
} catch (error) {
  // Whatever an application opened while it was loaded must not keep a failed start alive.
  exitSoon(report(error));
}

/** Commands of commands fail as commands do. */
function withSettings(command: Command, above: Command, path = "postern"): Command {
  const name = `${path} ${command.name()}`;
  command.copyInheritedSettings(above);
  for (const below of command.commands) withSettings(below, command, name);
  return command.showHelpAfterError(`(${name} --help lists what there is)`);
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage;
  if (error instanceof PosternError) {
    process.stderr.write(`postern: ${inFlagNames(error.message)}\n`);
    if (error.cause instanceof SyntaxError) showPlace(error.cause, ExitCode.App);
    if (error.code === "ERR_POSTERN_APP_LOAD" || error.code === "ERR_POSTERN_BAD_APP") return ExitCode.App;
    return error instanceof SettingError ? ExitCode.Usage : ExitCode.Failure;
  }
  // Not an operator's mistake but ours: the stack is what a bug report needs.
  process.stderr.write(
    `postern: a bug in Postern\n${error instanceof Error ? error.stack : String(error)}\n`,
  );
  return ExitCode.Failure;
}
