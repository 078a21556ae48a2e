/**
 * `postern config show`: the settings in force, and where each came from. `postern config <server>`: the configuration
 * of a web server for an application, printed or written; with `--check`, what is wrong with an existing one.
 */
import { statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { Command } from "commander";
import { SettingError } from "../../base/errors.ts";
import { clip, escapeControls } from "../../base/text.ts";
import { describeConfiguration, printDescription } from "../../config/describe.ts";
import { findConfigurationFile, loadConfiguration } from "../../config/load.ts";
import { isPythonApp, pythonSource } from "../../config/python-app.ts";
import type { Configuration, PoolSettings } from "../../config/types.ts";
import { shWord } from "../../generate/quoting.ts";
import { ExitCode } from "../../manager/exit-codes.ts";
import {
  checkConfiguration,
  type Expected,
  type Finding,
  generateSite,
  WEB_SERVERS,
  type WebServerName,
} from "../../sites/index.ts";
import { readInput } from "../input.ts";
import { addSettings, type Flags, loadRequest } from "../settings-flags.ts";
import { expectedOf, type SiteFlags, type SiteSources, siteModel } from "../site-model.ts";
import { type Made, printOrWrite, type WriteFlags } from "../written-files.ts";

export function configCommand(): Command {
  const command = new Command("config")
    .description("Look at the configuration, or write that of a web server.")
    .addCommand(showCommand());
  for (const server of WEB_SERVERS) command.addCommand(serverCommand(server));
  return command;
}

function showCommand(): Command {
  const show = new Command("show")
    .description("Print the effective settings and where each came from; exits with 2 if one is wrong.")
    .argument("[file]", "the application, as for serve (default: what postern.config.* names)")
    .option("--json", "as JSON");
  return addSettings(show).action(async (file: string | undefined, flags: Flags) => {
    const loaded = await loadConfiguration(loadRequest(flags, { app: file }));
    const description = describeConfiguration(loaded);
    const text =
      flags["json"] === true
        ? `${JSON.stringify(description, undefined, 2)}\n`
        : printDescription(description);
    process.stdout.write(text);
  });
}

interface ServerFlags extends SiteFlags, WriteFlags {
  readonly config?: string;
  readonly pool?: string;
  readonly check?: string;
  readonly json?: boolean;
}

/** Flags that are lists, added up. */
const each = (value: string, all: readonly string[] | undefined): readonly string[] => [
  ...(all ?? []),
  value,
];

function serverCommand(server: WebServerName): Command {
  const command = new Command(server)
    .description(`Print or write the configuration of ${server} for an application; --check reads one.`)
    .argument("[file]", "the application, as for serve (default: what postern.config.* names)")
    .option("-c, --config <file>", "read Postern's settings from this file (default: postern.config.* here)")
    .option("--pool <name>", "of several pools in it, this one")
    .option("--name <name>", "name of the site (default: the application's folder, or the pool)")
    .option(
      "-b, --bind <address>",
      "where the application listens, repeatable (default: the setting bind, else unix:/run/NAME/app.sock)",
      each,
    )
    .option("--mount <path>", "URL path of the application (default: the setting base, else the root)")
    .option("--server-name <host>", "host name of the site, repeatable (default: example.com)", each)
    .option("--listen <address>", "port, or host:port, of the web server (default: 80; 443 with TLS)")
    .option("--root <folder>", "document root (default: public beside the application, if it is there)")
    .option("--no-root", "no files from a document root")
    .option(
      "--static <url>",
      "URL=FOLDER: files that the web server sends itself, repeatable; URL alone is in the document root",
      each,
    )
    .option("--max-body <size>", "largest request body; 0 is no limit (default: 100m)")
    .option(
      "--timeout <time>",
      "how long the application may be silent (default: requestTerminateTimeout, else 60s)",
    )
    .option(
      "--keep-alive",
      "keep connections to the application open (default: where that loses no request: nginx)",
    )
    .option("--no-keep-alive", "a connection for each request")
    .option("--stream", "pass bodies on as they come, in both directions")
    .option("--certificate <file>", "TLS: the certificate and its chain, PEM")
    .option("--key <file>", "TLS: its key, PEM")
    .option("--client-ca <file>", "TLS: ask visitors for certificates of these authorities, PEM")
    .option("--passwords <file>", "ask visitors for a password of this file")
    .option(
      "--send-file <entry>",
      "the web server sends files of this folder for the application, repeatable (default: the setting sendFile)",
      each,
    )
    .option("--ws-http <address>", "WebSocket by HTTP to the side listener (default: the setting wsHttp)")
    .option("--websocket <url>", "URL path of the WebSockets (default: anywhere in the application)")
    .option("--spawn <program>", "the web server starts this .fcgi file")
    .option("--processes <count>", "with --spawn: how many (default: 2)")
    .option("--dynamic", "with --spawn and mod_fastcgi: started with the first request")
    .option("--socket <path>", "with --spawn: the unix socket, where the web server names one")
    .option("--env <name=value>", "with --spawn: environment variable, repeatable", each);
  if (server === "apache") {
    command.option(
      "--module <module>",
      "proxy_fcgi, fcgid or fastcgi (default: proxy_fcgi; fcgid with --spawn)",
    );
  }
  if (server === "haproxy") command.option("--multiplex", "several requests at once on a connection");
  return command
    .option(
      "--standalone <folder>",
      "a whole configuration, for a server that needs nothing outside of this folder",
    )
    .option("--output <folder>", "write the files into this folder")
    .option("--write", "write the files where they belong")
    .option("--force", "replace files that are there and differ")
    .option("--check <file>", "say what this existing configuration gets wrong; - is standard input")
    .option("--json", "with --check: as JSON")
    .action((file: string | undefined, flags: ServerFlags) => configureServer(server, file, flags));
}

async function configureServer(
  server: WebServerName,
  file: string | undefined,
  flags: ServerFlags,
): Promise<void> {
  const sources: SiteSources = {
    server,
    pool: await poolOf(file, flags),
    cwd: process.cwd(),
    uid: process.getuid?.() ?? 0,
  };
  if (flags.check !== undefined) {
    await check(server, flags.check, flags, sources);
    return;
  }
  if (flags.json === true) throw wrong("--json without --check: it is about what --check finds");
  const { site, notes } = siteModel(flags, sources);
  const generated = generateSite(server, site);
  for (const note of [...notes, ...generated.notes]) process.stderr.write(`postern: ${note}\n`);
  const paths = generated.files.map(({ path }) => path);
  const made: Made = {
    folder: site.standalone?.folder ?? commonFolder(paths),
    files: generated.files,
    steps:
      generated.run === undefined
        ? generated.steps
        : [
            ...generated.steps,
            { what: "check", command: commandLine(generated.check) },
            { what: "run", command: commandLine(generated.run) },
          ],
  };
  printOrWrite(made, flags);
}

function commandLine(words: readonly string[]): string {
  return words.map((word) => shWord("argument", word)).join(" ");
}

/** The folder that all paths are in. */
function commonFolder(paths: readonly string[]): string {
  const [first = "", ...others] = paths.map((path) => path.split("/").slice(0, -1));
  let length = first.length;
  for (const names of others) {
    for (let at = 0; at < length; at++) if (names[at] !== first[at]) length = at;
  }
  return (first as readonly string[]).slice(0, length).join("/");
}

/** What Postern's own configuration says of the application; undefined when there is none, and no application either. */
async function poolOf(
  file: string | undefined,
  { config, pool }: ServerFlags,
): Promise<PoolSettings | undefined> {
  if (file !== undefined) checkThere(resolve(file));
  const hasSource =
    file !== undefined || config !== undefined || findConfigurationFile(process.cwd()) !== undefined;
  if (!hasSource) {
    if (pool === undefined) return undefined;
    throw wrong(`--pool ${pool}: there is no postern.config.* here; name it with --config`);
  }
  const flags = config === undefined ? {} : { config };
  const { configuration } = await loadConfiguration(loadRequest(flags, { app: file }));
  return chosenPool(configuration, pool);
}

/** A file, or a module of Python. @throws {SettingError} */
function checkThere(path: string): void {
  const isPython = isPythonApp(path);
  const source = isPython ? pythonSource(path) : path;
  if (source !== undefined && statSync(source, { throwIfNoEntry: false })?.isFile() === true) return;
  const [module] = basename(path).split(":");
  const what = isPython ? `module ${module} in ${dirname(path)}` : `file ${path}`;
  throw wrong(`there is no ${what}; name the application, or leave it out and give --bind`);
}

function chosenPool({ pools }: Configuration, wanted: string | undefined): PoolSettings {
  const names = pools.map(({ name }) => name).join(", ");
  const [only] = pools;
  if (wanted === undefined) {
    if (only !== undefined && pools.length === 1) return only;
    throw wrong(`there are the pools ${names}: say with --pool which one this site is for`);
  }
  const found = pools.find(({ name }) => name === wanted);
  if (found !== undefined) return found;
  throw wrong(`--pool ${JSON.stringify(wanted)}: there is no such pool; there are ${names}`);
}

/** Prints the findings; the exit code tells whether one is an error. */
async function check(
  server: WebServerName,
  file: string,
  flags: ServerFlags,
  sources: SiteSources,
): Promise<void> {
  const expected = expectedOf(flags, sources);
  const findings = findingsOf(server, file, await textOf(file), expected);
  if (findings.length === 0) {
    // Those name no address: the web server starts the program.
    const hasAddress = !/\.(?:htaccess|f?cgi)$/.test(basename(file));
    const more =
      hasAddress && expected.addresses === undefined
        ? "; its address was compared with nothing: add --bind"
        : "";
    process.stderr.write(`postern: ${file}: nothing found${more}\n`);
  }
  process.stdout.write(
    flags.json === true
      ? `${JSON.stringify(findings, undefined, 2)}\n`
      : findings.map((finding) => printed(file, finding)).join(""),
  );
  if (findings.some(({ severity }) => severity === "error")) process.exitCode = ExitCode.Failure;
}

function findingsOf(server: WebServerName, file: string, text: string, expected: Expected): Finding[] {
  try {
    return checkConfiguration(server, text, expected);
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    throw new SettingError(error.code, `--check ${file}: ${printable(error.message)}`, { cause: error });
  }
}

/** Of a line of a finding, which may quote the file. */
const MOST_PRINTED = 2000;
const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a folder; name a file in it",
  EACCES: "this user may not read it; use sudo",
};
/** Larger than any configuration. Some rules compare each place with each other. */
const MOST_BYTES = 4 * 1024 * 1024;

async function textOf(file: string): Promise<string> {
  try {
    return await readInput(file, MOST_BYTES);
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    const reason = UNREADABLE[code] ?? message;
    throw new SettingError("ERR_POSTERN_BAD_SETTING", `--check ${file}: ${reason}`, { cause: error });
  }
}

/** The file may be a stranger's: nothing in it commands the terminal. */
function printed(file: string, { line, severity, rule, what, remedy }: Finding): string {
  const place = line === 0 ? file : `${file}:${line}`;
  const indented = remedy.split("\n").map((one) => `    ${printable(one)}\n`);
  return `${place}: ${severity} ${rule}: ${printable(what)}\n${indented.join("")}`;
}

function printable(text: string): string {
  return escapeControls(clip(text, MOST_PRINTED));
}

function wrong(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}
