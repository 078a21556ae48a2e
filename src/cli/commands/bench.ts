/** `postern bench`: load on a FastCGI socket or a URL, every answer checked. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { parseAddress } from "../../base/address.ts";
import { SettingError } from "../../base/errors.ts";
import { MOST_MS, readCount, readDuration, readSize } from "../../config/values.ts";
import { ExitCode } from "../../manager/exit-codes.ts";
import { printable } from "../../status/text.ts";
import { jsonResults, printResults } from "../../tools/bench/report.ts";
import { BenchFailure, type BenchOptions, type Progress, runBench } from "../../tools/bench/run.ts";
import { shotOf } from "../../tools/bench/shot.ts";
import { type Place, type Target, targetOf } from "../../tools/bench/target.ts";
import { CurlFailure } from "../../tools/curl/exit.ts";
import { columnsOf, processTerminal, type Terminal } from "../terminal.ts";
import { endWhenUnread } from "../tool-io.ts";
import { packageVersion } from "../version.ts";

interface BenchFlags {
  readonly connect?: string;
  readonly compare?: readonly string[];
  readonly connections: string;
  readonly multiplex: string;
  readonly keepAlive: boolean;
  readonly rate?: string;
  readonly duration?: string;
  readonly requests?: string;
  readonly warmUp: string;
  readonly rounds?: string;
  readonly timeout: string;
  readonly request?: string;
  readonly header?: readonly string[];
  readonly data?: string;
  readonly bodySize?: string;
  readonly user?: string;
  readonly param?: readonly string[];
  readonly scriptFilename?: string;
  readonly root?: string;
  readonly mount?: string;
  readonly expectStatus?: string;
  readonly expectBody?: string;
  readonly pid?: string;
  readonly insecure?: boolean;
  readonly json?: boolean;
}

/** Flags that are lists, added up. */
const each = (value: string, all: readonly string[] | undefined): readonly string[] => [
  ...(all ?? []),
  value,
];

export function benchCommand(): Command {
  return new Command("bench")
    .description("Put load on a FastCGI socket, or on a URL; every answer is checked.")
    .argument("[url]", "URL; with --connect also a path (default: /)")
    .option("--connect <address>", "the socket of a FastCGI application; without it the URL is asked by HTTP")
    .option(
      "--compare <address>",
      "another socket or http URL, asked in turn with the first; repeatable",
      each,
    )
    .option("-c, --connections <count>", "connections", "16")
    .option("--multiplex <count>", "requests at once on each connection (FastCGI)", "1")
    .option("--no-keep-alive", "a new connection for each request")
    .option("--rate <count>", "requests a second, whatever happens (default: as fast as they are answered)")
    .option("--duration <time>", "how long (default: 10s, or until --requests)")
    .option("--requests <count>", "how many")
    .option("--warm-up <time>", "load before that, not counted", "2s")
    .option("--rounds <count>", "parts the load is done in (default: 1; 5 with --compare)")
    .option("--timeout <time>", "for one request", "10s")
    .option("-X, --request <method>", "the method")
    .option("-H, --header <line>", "a header field, repeatable", each)
    .option("-d, --data <text>", "the body; @file reads it from a file")
    .option("--body-size <size>", "a body of this size instead, such as 64K")
    .option("-u, --user <name:password>", "Basic authorization")
    .option("--param <name=value>", "a FastCGI parameter, repeatable", each)
    .option("--script-filename <file>", "php-fpm: the script")
    .option("--root <folder>", "php-fpm: the document root")
    .option("--mount <path>", "URL path of the application")
    .option(
      "--expect-status <status>",
      "the status (default: that of the first answer, which must be below 400)",
    )
    .option(
      "--expect-body <text>",
      "the body; @file reads it from a file (default: that of the first answer)",
    )
    .option("--pid <pid>", "the server's process, to measure CPU time (default: who listens on --connect)")
    .option("-k, --insecure", "accept any certificate of an https URL")
    .option("--json", "as JSON")
    .action(bench);
}

async function bench(url: string | undefined, flags: BenchFlags): Promise<void> {
  const terminal = processTerminal();
  endWhenUnread(terminal);
  const interrupted = new AbortController();
  const forget = terminal.onEnd(() => interrupted.abort());
  const show = flags.json === true ? undefined : progressLine(terminal);
  const options = optionsOf(flags, interrupted.signal, show?.tell);
  try {
    const results = await runBench(await targetsOf(url, flags), options);
    show?.clear();
    const style = { columns: columnsOf(terminal), hasBlocks: showsBlocks(terminal) };
    const text =
      flags.json === true
        ? `${JSON.stringify(jsonResults(results, options), undefined, 2)}\n`
        : printResults(results, options, style);
    terminal.stdout.write(text);
    const isWrong = results.some(
      ({ tally }) => tally.faultCount > 0 || tally.unsent > 0 || tally.answers === 0,
    );
    if (interrupted.signal.aborted) terminal.setExitCode(130);
    else if (isWrong) terminal.setExitCode(ExitCode.Failure);
  } catch (error) {
    show?.clear();
    if (error instanceof CurlFailure) throw wrong(error.message);
    if (!(error instanceof BenchFailure)) throw error;
    terminal.stderr.write(`postern: nothing was measured: ${printable(error.message)}\n`);
    terminal.setExitCode(interrupted.signal.aborted ? 130 : ExitCode.Boot);
  } finally {
    forget();
  }
}

async function targetsOf(url: string | undefined, flags: BenchFlags): Promise<Target[]> {
  const pid = flags.pid === undefined ? undefined : whole("--pid", flags.pid, 1);
  const isUrl = url !== undefined && /^https?:\/\//i.test(url);
  if (flags.connect === undefined && !isUrl) {
    throw wrong(
      `${url === undefined ? "nothing to ask" : `${JSON.stringify(url)} is no http URL`}: give --connect ADDRESS, or a whole URL such as http://127.0.0.1:8080/`,
    );
  }
  const place: Place =
    flags.connect === undefined
      ? { url: new URL(url!) }
      : { address: parseAddress(flags.connect, "--connect") };
  const others = (flags.compare ?? []).map((text): Place => {
    return /^https?:\/\//i.test(text) ? { url: new URL(text) } : { address: parseAddress(text, "--compare") };
  });
  const targets: Target[] = [];
  for (const [index, one] of [place, ...others].entries()) {
    if ("address" in one && (one.address.kind === "fd" || one.address.kind === "systemd")) {
      throw wrong(`${flags.connect}: only unix and TCP can be connected to`);
    }
    if ("url" in one && flags.multiplex !== "1") {
      throw wrong(
        `--multiplex ${flags.multiplex}: HTTP/1.1 has one request at a time on a connection; leave it out for URLs`,
      );
    }
    const asked = "url" in one ? (index === 0 ? url! : one.url.href) : (url ?? "/");
    const shot = await shotOf(
      {
        url: asked,
        method: flags.request,
        headers: flags.header ?? [],
        data: flags.data,
        bodyBytes: flags.bodySize === undefined ? undefined : sizeOf("--body-size", flags.bodySize),
        user: flags.user,
        params: flags.param ?? [],
        scriptFilename: flags.scriptFilename,
        root: flags.root,
        mount: flags.mount,
        software: `postern/${packageVersion()}`,
      },
      flags.keepAlive,
    );
    targets.push(targetOf(one, shot, index === 0 ? pid : undefined));
  }
  return targets;
}

function optionsOf(
  flags: BenchFlags,
  signal: AbortSignal,
  onProgress: ((progress: Progress) => void) | undefined,
): BenchOptions {
  const requests = flags.requests === undefined ? Infinity : whole("--requests", flags.requests, 1);
  const standard = requests === Infinity ? 10_000 : Infinity;
  return {
    connections: whole("--connections", flags.connections, 1, 20_000),
    multiplex: whole("--multiplex", flags.multiplex, 1, 1000),
    keepAlive: flags.keepAlive,
    isInsecure: flags.insecure ?? false,
    rate: flags.rate === undefined ? undefined : whole("--rate", flags.rate, 1, 1_000_000),
    durationMs: flags.duration === undefined ? standard : timeOf("--duration", flags.duration, 1),
    requests,
    warmUpMs: timeOf("--warm-up", flags.warmUp, 0),
    timeoutMs: timeOf("--timeout", flags.timeout, 1),
    rounds: whole("--rounds", flags.rounds ?? (flags.compare === undefined ? "1" : "5"), 1, 1000),
    expectedStatus:
      flags.expectStatus === undefined ? undefined : whole("--expect-status", flags.expectStatus, 100, 599),
    expectedBody: flags.expectBody === undefined ? undefined : bodyOf(flags.expectBody),
    signal,
    ...(onProgress !== undefined && { onProgress }),
  };
}

/** On a terminal one line, redrawn; elsewhere nothing: progress in a log helps nobody. */
function progressLine({
  stderr,
  stdout,
}: Terminal): { tell: (progress: Progress) => void; clear: () => void } | undefined {
  if (stdout.isTTY !== true) return undefined;
  return {
    tell: ({ target, phase, round, elapsedMs, answers, faults }) => {
      const place = phase === "load" && round > 0 ? ` (round ${round + 1})` : "";
      const wrongs = faults === 0 ? "" : `, ${faults} wrong`;
      const text = `${target.name}: ${phase}${place} ${Math.round(elapsedMs / 1000)} s, ${answers} answers${wrongs}`;
      stderr.write(`\r\x1b[K${printable(text)}`);
    },
    clear: () => stderr.write("\r\x1b[K"),
  };
}

function showsBlocks({ env }: Terminal): boolean {
  return /utf-?8/i.test(env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "");
}

function whole(flag: string, text: string, least: number, most: number = Number.MAX_SAFE_INTEGER): number {
  const value = readCount(text);
  if (value !== undefined && value >= least && value <= most) return value;
  const limit = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  throw wrong(`${flag} ${JSON.stringify(text)}: write a whole number ${limit}`);
}

function timeOf(flag: string, text: string, least: number): number {
  const ms = readDuration(text);
  if (ms !== undefined && ms >= least && ms <= MOST_MS) return ms;
  throw wrong(`${flag} ${JSON.stringify(text)}: write a time such as 500ms, 10s or 2m`);
}

/** Bodies are kept in memory, once. */
const MOST_BODY_BYTES = 1024 ** 3;

function sizeOf(flag: string, text: string): number {
  const size = readSize(text);
  if (size !== undefined && size <= MOST_BODY_BYTES) return size;
  throw wrong(`${flag} ${JSON.stringify(text)}: write a size such as 64K or 1M, at most 1G`);
}

function bodyOf(text: string): Buffer {
  if (!text.startsWith("@")) return Buffer.from(text);
  try {
    return readFileSync(text.slice(1));
  } catch (error) {
    throw wrong(`--expect-body ${text}: ${(error as Error).message}`);
  }
}

function wrong(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}
