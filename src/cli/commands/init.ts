/**
 * `postern init <kind>`: the files with which a service manager runs an application, printed or written. It starts and
 * changes nothing else; the commands for that are printed.
 */
import { Argument, Command } from "commander";
import { generateService, SERVICE_KINDS, type ServiceKind } from "../../generate/services.ts";
import { type InitFlags, serviceModel } from "../service-model.ts";
import { printOrWrite } from "../written-files.ts";

export function initCommand(): Command {
  return new Command("init")
    .description("Print or write the files with which systemd, supervisor and others run an application.")
    .usage("[options] <kind> [file] [-- flags of postern serve]")
    .addArgument(new Argument("<kind>", "what is to run it").choices([...SERVICE_KINDS]))
    .argument("[file]", "the application; or a configuration, with --config")
    .argument("[serve-flags...]", "after --: more flags for postern serve")
    .option("-c, --config <file>", "serve what this configuration file says")
    .option("--name <name>", "name of the service (default: that of the application's folder)")
    .option("--user <user>", "who it runs as (default: you; for root, the owner of the application)")
    .option("--group <group>", "the group it runs as (default: the web server's, such as www-data)")
    .option(
      "-b, --bind <address>",
      "listen there, repeatable (default: unix:/run/NAME/app.sock)",
      (address: string, all: readonly string[] | undefined) => [...(all ?? []), address],
    )
    .option("-w, --workers <count>", "how many workers, or auto (default: 2)")
    .option("--drain-timeout <time>", "how long open requests have when it stops (default: 30s)")
    .option("--socket-activation", "systemd: let it open the socket, so that a restart refuses nobody")
    .option("--mount <path>", "shared hosting: the URL of the public folder, where it is an alias")
    .option("--output <folder>", "write the files into this folder")
    .option("--write", "write the files where they belong")
    .option("--force", "replace files that are there")
    .action(init);
}

function init(kind: ServiceKind, file: string | undefined, more: readonly string[], flags: InitFlags): void {
  // `postern init systemd --config x -- --http :8080`: the first word after -- is no file.
  const isFlag = file?.startsWith("-") === true;
  const serveFlags = isFlag && file !== undefined ? [file, ...more] : more;
  const { model, notes } = serviceModel(kind, isFlag ? undefined : file, flags, serveFlags);
  const service = generateService(kind, model);
  for (const note of [...notes, ...service.notes]) process.stderr.write(`postern: ${note}\n`);
  printOrWrite(service, flags);
}
