/** `postern ping`: whether a FastCGI application is well, as one line and an exit code, for checks of all kinds. */
import { Command } from "commander";
import { SettingError } from "../../base/errors.ts";
import { readDuration } from "../../config/values.ts";
import { printable } from "../../status/text.ts";
import { type PingVerdict, ping } from "../../tools/ping.ts";
import { linePrinter } from "../tool-io.ts";
import { packageVersion } from "../version.ts";

/** 2 is a wrong command line, as everywhere. */
const EXIT_CODES: Readonly<Record<PingVerdict, number>> = {
  well: 0,
  unwell: 1,
  unreachable: 3,
  late: 4,
  stranger: 5,
};

const DEADLINE_MS = 3000;

interface Flags {
  readonly connect?: string;
  readonly path?: string;
  readonly scriptName?: string;
  readonly scriptFilename?: string;
  readonly deadline?: number;
  readonly expect?: string;
  readonly values?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function pingCommand(): Command {
  return new Command("ping")
    .description("Ask whether a FastCGI application is well: one line, and an exit code.")
    .usage("[options]")
    .argument("[haproxy...]", "the four arguments that HAProxy gives a check, in the place of --connect")
    .option(
      "--connect <address>",
      "where the application listens: unix:/path, host:port (or POSTERN_CONNECT)",
    )
    .option("--path <path>", "ask for this path, such as php-fpm's ping.path; without it GET_VALUES")
    .option("--script-name <path>", "SCRIPT_NAME of that request (default: the path)")
    .option("--script-filename <file>", "SCRIPT_FILENAME of that request (default: SCRIPT_NAME)")
    .option("--deadline <time>", "time for all of it (default: 3s)", deadlineOf)
    .option("--expect <what>", "a status, or a text that the body holds (default: a status below 400)")
    .option("--values", "ask for GET_VALUES")
    .option("--json", "print the result as JSON")
    .option("-q, --quiet", "print nothing")
    .action(async (haproxy: readonly string[], flags: Flags) => {
      if (flags.values === true && flags.path !== undefined)
        throw wrong("--values and --path exclude each other: one question at a time");
      if (flags.path === undefined)
        for (const name of ["scriptName", "scriptFilename", "expect"] as const)
          if (flags[name] !== undefined)
            throw wrong(`--${name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)} needs --path`);
      const result = await ping({
        connect: flags.connect ?? addressOf(haproxy) ?? process.env["POSTERN_CONNECT"] ?? missing(),
        deadlineMs: flags.deadline ?? DEADLINE_MS,
        software: `postern/${packageVersion()}`,
        ...(flags.path !== undefined && { path: flags.path }),
        ...(flags.scriptName !== undefined && { scriptName: flags.scriptName }),
        ...(flags.scriptFilename !== undefined && { scriptFilename: flags.scriptFilename }),
        ...(flags.expect !== undefined && { expect: flags.expect }),
      });
      const { verdict, says, ms } = result;
      const stdout = linePrinter(process.stdout);
      if (flags.json === true)
        stdout(JSON.stringify({ ...result, ms: Math.round(ms * 10) / 10 }, undefined, 2));
      else if (flags.quiet !== true && verdict === "well")
        stdout(`${printable(says)} in ${ms.toFixed(1)} ms`);
      else if (flags.quiet !== true) linePrinter(process.stderr)(`postern: ${printable(says)}`);
      process.exitCode = EXIT_CODES[verdict];
    });
}

/**
 * HAProxy gives a check the address and port of the proxy, then those of the server. For a server on a unix socket the
 * address is its path, and the port NOT_USED.
 */
function addressOf(args: readonly string[]): string | undefined {
  if (args.length === 0) return undefined;
  const [, , host = "", port = ""] = args;
  if (args.length !== 4)
    throw wrong(
      `${args.join(" ")}: the address goes behind --connect (four arguments are those of a check of HAProxy)`,
    );
  if (host.startsWith("/")) return `unix:${host}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function deadlineOf(text: string): number {
  const ms = readDuration(text);
  if (ms !== undefined && ms >= 1 && ms <= 86_400_000) return ms;
  throw wrong(`--deadline ${JSON.stringify(text)} cannot be used: a time up to a day, such as 3s or 500ms`);
}

function missing(): never {
  throw wrong(
    "--connect is missing: the FastCGI address of the application, such as --connect unix:/run/app.sock or --connect 127.0.0.1:9000",
  );
}

function wrong(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}
