/**
 * `postern init <kind>`: the files with which a service manager runs an application, printed or written. It starts and
 * changes nothing else; the commands for that are printed.
 */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Argument, Command } from "commander";
import { SettingError } from "../../base/errors.ts";
import { shWord } from "../../generate/quoting.ts";
import {
  type GeneratedFile,
  type GeneratedService,
  generateService,
  SERVICE_KINDS,
  type ServiceKind,
} from "../../generate/services.ts";
import { type InitFlags, serviceModel } from "../service-model.ts";

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
  if (flags.output === undefined && flags.write !== true) {
    process.stdout.write(service.files.map(withHead).join("\n"));
    return;
  }
  const folder = flags.output === undefined ? service.folder : resolve(flags.output);
  write(service, folder, flags.force === true);
  process.stdout.write(report(service, folder));
}

/** The text with a line that says where it goes: first, or after the line that a script must begin with. */
function withHead({ path, mode, text }: GeneratedFile): string {
  const head = `# File: ${path} (mode ${mode.toString(8).padStart(4, "0")})\n`;
  const first = text.startsWith("#!") ? text.indexOf("\n") + 1 : 0;
  return text.slice(0, first) + head + text.slice(first);
}

/** Where a file goes when all go below `folder`. */
function placeOf(service: GeneratedService, { path }: GeneratedFile, folder: string): string {
  return join(folder, path.slice(service.folder.length + 1));
}

/** All files or, when one of them is there already, none. */
function write(service: GeneratedService, folder: string, isForced: boolean): void {
  const places = service.files.map((file) => [placeOf(service, file, folder), file] as const);
  const taken = places.find(([place]) => existsSync(place));
  if (taken !== undefined && !isForced) {
    throw new SettingError("ERR_POSTERN_BAD_SETTING", `${taken[0]} is there already; --force replaces it`);
  }
  for (const [place, { mode, text }] of places) {
    try {
      mkdirSync(dirname(place), { recursive: true });
      writeFileSync(place, text, { mode });
      // The mode above is less the umask, and not used for a file that is there.
      chmodSync(place, mode);
    } catch (error) {
      throw cannotWrite(place, error as NodeJS.ErrnoException);
    }
  }
}

function cannotWrite(path: string, error: NodeJS.ErrnoException): SettingError {
  const isForbidden = error.code === "EACCES" || error.code === "EPERM" || error.code === "EROFS";
  const remedy = isForbidden ? "; use sudo, or write into a folder of your own with --output" : "";
  const reason = isForbidden ? "permission denied" : error.message;
  return new SettingError("ERR_POSTERN_BAD_SETTING", `cannot write ${path}: ${reason}${remedy}`, {
    cause: error,
  });
}

/** What was written, and what to do with it. */
function report(service: GeneratedService, folder: string): string {
  const written = service.files.map((file) => `wrote ${placeOf(service, file, folder)}\n`).join("");
  const copy = folder === service.folder ? [] : [{ what: "copy", command: copyCommand(service, folder) }];
  const steps = [...copy, ...service.steps];
  const width = Math.max(...steps.map(({ what }) => what.length));
  const lines = steps.map(({ what, command }) => `  ${what.padEnd(width)}  ${command}\n`);
  return `${written}\n${lines.join("")}`;
}

function copyCommand(service: GeneratedService, folder: string): string {
  const tops = service.files.map(({ path }) => path.slice(service.folder.length + 1).split("/")[0] ?? "");
  return `cp -R ${[...new Set(tops)].map((top) => shWord("folder", join(folder, top))).join(" ")} ${shWord("folder", service.folder)}/`;
}
