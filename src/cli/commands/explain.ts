/** `postern explain`: what came with a request, what was made of it and why, and what the application sees. */
import { Readable } from "node:stream";
import { Command } from "commander";
import { SettingError } from "../../base/errors.ts";
import type { MountOptions } from "../../cgi/mount-options.ts";
import { resolveMountOptions } from "../../cgi/mount-options.ts";
import { findConfigurationFile, loadConfiguration } from "../../config/load.ts";
import type { PoolSettings } from "../../config/types.ts";
import { readCount } from "../../config/values.ts";
import { ExitCode } from "../../manager/exit-codes.ts";
import { resolveTrustProxy } from "../../server/trusted-hops.ts";
import { printable } from "../../status/text.ts";
import { decode } from "../../tools/capture/decode.ts";
import { readRecordings } from "../../tools/capture/read.ts";
import type { Rules } from "../../tools/explain/decisions.ts";
import { type Explanation, explain } from "../../tools/explain/explanation.ts";
import { explainLive } from "../../tools/explain/live.ts";
import { isText, type Pairs, readParams } from "../../tools/explain/read-params.ts";
import { explanationJson, explanationText } from "../../tools/explain/text.ts";
import { readInputBytes } from "../input.ts";
import { loadRequest } from "../settings-flags.ts";
import { processTerminal } from "../terminal.ts";
import { endWhenUnread } from "../tool-io.ts";

interface ExplainFlags {
  readonly listen?: string;
  readonly listenMode?: string;
  readonly listenGroup?: string;
  readonly request?: string;
  readonly base?: string;
  readonly scriptName?: string;
  readonly lighttpdCgiRootFix?: boolean;
  readonly scriptNameStripper?: boolean;
  readonly trustProxy?: readonly string[];
  readonly config?: string;
  readonly pool?: string;
  readonly anyClient?: boolean;
  readonly secrets?: boolean;
  readonly json?: boolean;
}

const each = (value: string, all: readonly string[] | undefined): readonly string[] => [
  ...(all ?? []),
  ...value.split(","),
];

export function explainCommand(): Command {
  return new Command("explain")
    .description("Explain a request: every parameter, the rules that were chosen, what the application sees.")
    .argument(
      "[file]",
      "a recording (.bin, .json), or parameters as NAME=value lines or JSON; - is standard input",
    )
    .option("--listen <address>", "answer requests with their explanation, as a FastCGI application")
    .option("--listen-mode <octal>", "permissions of that socket", "0660")
    .option("--listen-group <group>", "group of that socket: the web server's")
    .option("--any-client", "with --listen: tell visitors of any address (default: of this machine)")
    .option("--request <number>", "of several requests in the file, this one (default: all)")
    .option("--base <path>", "the mount, as the application's setting base")
    .option("--script-name <how>", "as the setting scriptName: auto, keep, or the mount")
    .option("--lighttpd-cgi-root-fix", "as the setting LighttpdCGIRootFix")
    .option("--script-name-stripper", "as the setting ScriptNameStripper")
    .option("--trust-proxy <addresses>", "as the setting trustProxy, repeatable", each)
    .option("-c, --config <file>", "take those settings from this file (default: postern.config.* here)")
    .option("--pool <name>", "of several pools in it, this one")
    .option("--secrets", "show passwords and cookies")
    .option("--json", "as JSON")
    .action(run);
}

async function run(file: string | undefined, flags: ExplainFlags): Promise<void> {
  if ((file === undefined) === (flags.listen === undefined)) {
    throw wrong("name a file to explain, or --listen ADDRESS to explain requests as they come");
  }
  const rules = await rulesOf(flags);
  const withSecrets = flags.secrets === true;
  const terminal = processTerminal();
  endWhenUnread(terminal);
  const print = (explanation: Explanation): string =>
    flags.json === true
      ? `${JSON.stringify(explanationJson(explanation, { withSecrets }))}\n`
      : explanationText(explanation, { withSecrets });
  if (file === undefined) {
    await listen(flags, rules, (explanation) => terminal.stdout.write(`${print(explanation)}\n`));
    return;
  }
  const requests = await requestsOf(file);
  const wanted = flags.request === undefined ? undefined : readCount(flags.request);
  if (flags.request !== undefined && (wanted === undefined || wanted < 1 || wanted > requests.length)) {
    throw wrong(
      `--request ${JSON.stringify(flags.request)}: ${printable(file)} has ${requests.length}; write 1 to ${requests.length}`,
    );
  }
  const chosen = wanted === undefined ? requests : [requests[wanted - 1]!];
  for (const [index, { name, pairs }] of chosen.entries()) {
    const heading =
      requests.length > 1 && flags.json !== true ? `${index > 0 ? "\n" : ""}== ${printable(name)}\n\n` : "";
    terminal.stdout.write(heading + print(explain(pairs, rules)));
  }
}

async function listen(
  flags: ExplainFlags,
  rules: Rules,
  onRequest: (explanation: Explanation) => void,
): Promise<void> {
  const terminal = processTerminal();
  const server = await explainLive({
    rules,
    onRequest,
    withSecrets: flags.secrets === true,
    forAnyClient: flags.anyClient === true,
    server: {
      bind: flags.listen!,
      ...(flags.listenMode !== undefined && { mode: flags.listenMode }),
      ...(flags.listenGroup !== undefined && { group: flags.listenGroup }),
    },
  });
  terminal.stderr.write(`postern: explaining what comes to ${server.addresses.join(", ")}; ctrl-C ends it\n`);
  await new Promise<void>((resolve) => {
    const forget = terminal.onEnd(() => {
      forget();
      resolve();
    });
  });
  await server.close();
  terminal.setExitCode(ExitCode.Ok);
}

interface Named {
  readonly name: string;
  readonly pairs: Pairs;
}

async function requestsOf(file: string): Promise<Named[]> {
  const bytes = await bytesOf(file);
  if (bytes !== undefined && isText(bytes) && !isSidecar(bytes)) {
    return [{ name: file, pairs: readParams(printable(file), bytes.toString("utf8")) }];
  }
  const recordings = await readRecordings(file, { stdin: Readable.from(bytes === undefined ? [] : [bytes]) });
  const found = recordings.flatMap((recording) => {
    return decode(recording).requests.flatMap(({ params, ordinal }) => {
      return params === undefined
        ? []
        : [{ name: `${recording.name}, request ${ordinal}`, pairs: [...params] }];
    });
  });
  if (found.length > 0) return found;
  throw wrong(`${printable(file)}: there is no whole request in it; postern decode says what is`);
}

const MOST_BYTES = 1024 ** 3;

/** @returns undefined for a folder, of recordings */
async function bytesOf(file: string): Promise<Buffer | undefined> {
  try {
    return await readInputBytes(file, MOST_BYTES);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EISDIR") return undefined;
    throw wrong(`${printable(file)}: ${code === "ENOENT" ? "there is no such file" : message}`);
  }
}

function isSidecar(bytes: Buffer): boolean {
  return bytes.includes('"fcgi_connections"');
}

/** Flags, or else the settings of the application here. */
async function rulesOf(flags: ExplainFlags): Promise<Rules> {
  const { base, scriptName, lighttpdCgiRootFix, scriptNameStripper } = flags;
  const given: MountOptions = {
    ...(base !== undefined && { base }),
    ...(scriptName !== undefined && { scriptName }),
    ...(lighttpdCgiRootFix !== undefined && { LighttpdCGIRootFix: lighttpdCgiRootFix }),
    ...(scriptNameStripper !== undefined && { ScriptNameStripper: scriptNameStripper }),
  };
  const pool = await poolHere(flags);
  const { base: ownBase, scriptName: ownScriptName } = pool ?? {};
  const own: MountOptions = ownBase !== undefined ? { base: ownBase } : { scriptName: ownScriptName };
  const trusted = flags.trustProxy ?? pool?.trustProxy;
  return {
    mount: resolveMountOptions(Object.keys(given).length > 0 ? given : own),
    trust: trusted === undefined ? undefined : resolveTrustProxy(trusted),
  };
}

async function poolHere({ config, pool: wanted }: ExplainFlags): Promise<PoolSettings | undefined> {
  if (config === undefined && findConfigurationFile(process.cwd()) === undefined) return undefined;
  const { configuration } = await loadConfiguration(loadRequest({ config }, { app: undefined }));
  const { pools } = configuration;
  const found = wanted === undefined ? pools : pools.filter(({ name }) => name === wanted);
  if (found.length === 1) return found[0];
  const names = pools.map(({ name }) => name).join(", ");
  throw wrong(
    wanted === undefined
      ? `there are pools ${names}: say with --pool which is meant`
      : `--pool "${wanted}": there is no such pool, only ${names}`,
  );
}

function wrong(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}
