/** `postern doctor`: why a deployment fails, what shows it, and what mends it. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { Command, Option } from "commander";
import { parseAddress } from "../../base/address.ts";
import { SettingError } from "../../base/errors.ts";
import { ownFile } from "../../base/own-files.ts";
import { MOST_MS, readDuration } from "../../config/values.ts";
import { WEB_SERVERS, type WebServerName } from "../../sites/index.ts";
import { deadline } from "../../tools/doctor/deadline.ts";
import { examine } from "../../tools/doctor/examine.ts";
import { gatherFacts } from "../../tools/doctor/facts.ts";
import { identityOf } from "../../tools/doctor/identity.ts";
import type { DoctorOptions, Verdict } from "../../tools/doctor/model.ts";
import { jsonReport, printReport } from "../../tools/doctor/report.ts";
import { hasColour, processTerminal } from "../terminal.ts";

interface DoctorFlags {
  readonly server?: WebServerName;
  readonly configFile?: string;
  readonly connect?: string;
  readonly url?: string;
  readonly user?: string;
  readonly log?: string;
  readonly folder?: string;
  readonly config?: string;
  readonly deadline: string;
  readonly run?: boolean;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("Find out why a deployment fails: the cause, the evidence, and what mends it.")
    .argument(
      "[application]",
      "the application or program (default: what postern.config.* or a web server names)",
    )
    .addOption(
      new Option("--server <name>", "the web server (default: all that are found)").choices([...WEB_SERVERS]),
    )
    .option("--config-file <file>", "the web server's configuration (default: that of the running one)")
    .option("--connect <address>", "the socket of the application")
    .option("--url <url>", "the address of the site: asked through the web server")
    .option("--user <name>", "whose permissions count (default: the web server's user)")
    .option("--log <file>", "the web server's error log (default: what its configuration says)")
    .option("--folder <folder>", "the folder that a service starts the application in (default: its own)")
    .option("-c, --config <file>", "read Postern's settings from this file (default: postern.config.* here)")
    .option("--run", "start the application, also one that only a configuration names")
    .option("--no-run", "do not start the application")
    .option("--deadline <time>", "for the whole examination", "30s")
    .option("--json", "as JSON")
    .option("--verbose", "also what is good")
    .action(doctor);
}

/** Documented in docs/tools/doctor.md. */
const EXIT: Readonly<Record<Verdict, number>> = { good: 0, doubtful: 0, bad: 1, unknown: 3 };

async function doctor(application: string | undefined, flags: DoctorFlags): Promise<void> {
  const terminal = processTerminal();
  const options = await optionsOf(application, flags);
  const ended = new AbortController();
  const forget = terminal.onEnd(() => ended.abort(new Error("interrupted")));
  const signal = deadline(options.deadlineMs, ended.signal);
  const examination = await examine(await gatherFacts(options, signal), signal);
  forget();
  if (flags.json === true) {
    terminal.stdout.write(`${JSON.stringify(jsonReport(examination), undefined, 2)}\n`);
  } else {
    const report = printReport(examination, {
      isVerbose: flags.verbose === true,
      hasColour: hasColour(terminal),
    });
    terminal.stdout.write(report);
    if (examination.asked.length === 0) {
      terminal.stderr.write(
        "postern: nothing to examine here: no application, no postern.config.*, no web server was found; name one of them (postern doctor app.js --server nginx)\n",
      );
    }
  }
  terminal.setExitCode(EXIT[examination.verdict]);
}

async function optionsOf(application: string | undefined, flags: DoctorFlags): Promise<DoctorOptions> {
  const cwd = process.cwd();
  const { server, user, run } = flags;
  if (user !== undefined) await identityOf(user);
  const deadlineMs = readDuration(flags.deadline);
  if (deadlineMs === undefined || deadlineMs === 0 || deadlineMs > MOST_MS) {
    throw wrong(`--deadline ${JSON.stringify(flags.deadline)}: write a time above 0, such as 30s or 2m`);
  }
  return {
    cwd,
    deadlineMs,
    postern: [process.execPath, commandFile()],
    environment: process.env,
    ...(application !== undefined && { application }),
    ...(server !== undefined && { server }),
    ...(user !== undefined && { user }),
    ...(run !== undefined && { run }),
    ...(flags.configFile !== undefined && { configFile: existing("--config-file", flags.configFile) }),
    ...(flags.connect !== undefined && { connect: parseAddress(flags.connect, "--connect") }),
    ...(flags.url !== undefined && { url: urlOf(flags.url) }),
    ...(flags.log !== undefined && { log: existing("--log", flags.log) }),
    ...(flags.folder !== undefined && { folder: existing("--folder", flags.folder) }),
    ...(flags.config !== undefined && { config: existing("--config", flags.config) }),
  };
}

function existing(flag: string, file: string): string {
  const path = resolve(file);
  if (existsSync(path)) return path;
  throw wrong(`${flag} ${file}: there is no ${path}`);
}

function urlOf(text: string): URL {
  if (URL.canParse(text) && /^https?:/i.test(text)) return new URL(text);
  throw wrong(`--url ${JSON.stringify(text)}: write it whole, as a visitor does: http://example.com/`);
}

function wrong(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}

/** The file of the `postern` command, of which this is a part. */
function commandFile(): string {
  return ownFile("dist/cli/main.js");
}
