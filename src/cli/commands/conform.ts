/** `postern conform`: tries a FastCGI application on the specification. Its exit codes are in docs/tools/conform.md. */
import { Command, Option } from "commander";
import { parseAddress } from "../../base/address.ts";
import { SettingError } from "../../base/errors.ts";
import { readDuration } from "../../config/values.ts";
import { Role } from "../../protocol/records.ts";
import { plainStyle, styleFor } from "../../status/table.ts";
import { Broken, type ConformReport } from "../../tools/conform/model.ts";
import { chosenStatements, conform } from "../../tools/conform/run.ts";
import { makeSpawner, type Spawner } from "../../tools/conform/spawner.ts";
import { reportLines, statementLines } from "../conform-report.ts";
import { columnsOf, hasColour, processTerminal, type Terminal } from "../terminal.ts";

/** As docs/tools/conform.md lists them. */
const EXIT = { conforms: 0, broken: 1, unreachable: 3, interrupted: 130 } as const;
const ROLES: Readonly<Record<string, number>> = {
  responder: Role.Responder,
  authorizer: Role.Authorizer,
  filter: Role.Filter,
};

interface ConformFlags {
  readonly connect?: string;
  readonly spawn?: string;
  readonly path: string;
  readonly uploadPath?: string;
  readonly param?: readonly string[];
  readonly scriptFilename?: string;
  readonly role: string;
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
  readonly deadline: string;
  readonly json?: boolean;
  readonly list?: boolean;
  readonly verbose?: boolean;
}

const each = (value: string, all: readonly string[] | undefined): readonly string[] => [
  ...(all ?? []),
  value,
];

export function conformCommand(): Command {
  return new Command("conform")
    .description("Try a FastCGI application, of any make, on the specification, statement by statement.")
    .option("--connect <address>", "where the application listens (default: POSTERN_CONNECT)")
    .option(
      "--spawn <command>",
      "start the program instead, with the socket as descriptor 0, as a web server does",
    )
    .option("--path <path>", "URL path of a page that is the same each time", "/")
    .option("--upload-path <path>", "URL path whose answer shows the body it got (default: --path)")
    .option("--param <name=value>", "parameter of every request, repeatable", each)
    .option("--script-filename <file>", "SCRIPT_FILENAME, as php-fpm needs it")
    .addOption(
      new Option("--role <role>", "in which the application serves")
        .choices(Object.keys(ROLES))
        .default("responder"),
    )
    .option("--only <id>", "this statement, or those of this section, repeatable", each)
    .option("--skip <id>", "not this statement or section, repeatable", each)
    .option("--deadline <time>", "how long an answer may take", "5s")
    .option("--json", "as JSON")
    .option("--list", "print the statements, and try none")
    .option("-v, --verbose", "say more of those that hold")
    .action((flags: ConformFlags) => run(flags, processTerminal()));
}

async function run(flags: ConformFlags, terminal: Terminal): Promise<void> {
  const { only = [], skip = [] } = flags;
  if (flags.list === true) {
    const statements = chosenStatements(only, skip);
    terminal.stdout.write(
      flags.json === true
        ? json(statements.map(({ id, section, level, statement }) => ({ id, section, level, statement })))
        : lines(statementLines(statements)),
    );
    return;
  }
  const { connect = flags.spawn === undefined ? terminal.env["POSTERN_CONNECT"] : undefined, spawn } = flags;
  if ((connect === undefined) === (spawn === undefined)) {
    throw wrong("say with --connect where the application listens, or with --spawn what starts it");
  }
  const options = {
    role: ROLES[flags.role]!,
    path: path("--path", flags.path),
    uploadPath: flags.uploadPath === undefined ? undefined : path("--upload-path", flags.uploadPath),
    scriptFilename: flags.scriptFilename,
    params: (flags.param ?? []).map(pair),
    deadlineMs: deadline(flags.deadline),
    only,
    skip,
  };
  chosenStatements(only, skip);
  const address = connect === undefined ? undefined : parseAddress(connect, "--connect");
  if (address?.kind === "fd" || address?.kind === "systemd") {
    throw wrong(`--connect ${connect}: that is no address to connect to`);
  }
  const spawner: Spawner | undefined = spawn === undefined ? undefined : makeSpawner(spawn);
  const ended = new AbortController();
  const forget = terminal.onEnd(() => {
    ended.abort();
    spawner?.kill();
  });
  try {
    const report = await conform({ ...options, target: address ?? spawner!, signal: ended.signal });
    if (ended.signal.aborted) terminal.setExitCode(EXIT.interrupted);
    else finish(report, flags, terminal);
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    if (ended.signal.aborted) {
      terminal.setExitCode(EXIT.interrupted);
      return;
    }
    terminal.stderr.write(lines([`postern: ${connect ?? spawn}: ${error.message}`, ...error.evidence]));
    terminal.setExitCode(EXIT.unreachable);
  } finally {
    forget();
    await spawner?.close();
  }
}

function finish(report: ConformReport, flags: ConformFlags, terminal: Terminal): void {
  const text = reportLines(report, {
    width: columnsOf(terminal),
    style: hasColour(terminal) ? styleFor : plainStyle,
    verbose: flags.verbose === true,
  });
  terminal.stdout.write(flags.json === true ? json(report) : lines(text));
  terminal.setExitCode(report.mustBroken > 0 ? EXIT.broken : EXIT.conforms);
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join("");
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function path(flag: string, text: string): string {
  if (/^\/[\x21-\x7e]*$/.test(text) && !text.includes("?")) return text;
  throw wrong(`${flag} ${JSON.stringify(text)}: a URL path begins with / and has no query`);
}

function pair(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw wrong(`--param ${JSON.stringify(text)}: write NAME=VALUE`);
}

function deadline(text: string): number {
  const ms = readDuration(text);
  if (ms !== undefined && ms >= 50 && ms <= 600_000) return ms;
  throw wrong(`--deadline ${JSON.stringify(text)}: give a time from 50ms to 10m, such as 5s`);
}

function wrong(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}
