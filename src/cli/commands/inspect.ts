/**
 * `postern inspect`: a tap between a web server and an application that speaks FastCGI. The tap itself is in
 * tools/inspect; here are its flags, its output and its end.
 */
import { Command } from "commander";
import { parseAddress, printAddress } from "../../base/address.ts";
import { SettingError } from "../../base/errors.ts";
import { readCount, readDuration, readOctal, readSize } from "../../config/values.ts";
import { counted, printable } from "../../status/text.ts";
import { Recorder } from "../../tools/capture/recorder.ts";
import { filterOf } from "../../tools/inspect/filter.ts";
import { liveFrame } from "../../tools/inspect/live.ts";
import { Outlet } from "../../tools/inspect/outlet.ts";
import { planTakeOver, type TakeOver } from "../../tools/inspect/take-over.ts";
import { refuseItself, Tap, type TapOptions } from "../../tools/inspect/tap.ts";
import { jsonLine, titleLine } from "../../tools/inspect/view.ts";
import { Watcher } from "../../tools/inspect/watcher.ts";
import { columnsOf, processTerminal, type Terminal } from "../terminal.ts";
import { packageVersion } from "../version.ts";
import { takeScreen } from "../watch.ts";

const STDOUT = 1;
/** How often the screen is drawn, ms. */
const FRAME_MS = 200;
/** How often the tap looks whether its socket is still in its place, ms. */
const LOOK_MS = 1000;
/** How long the last lines may take to be read, ms. */
const FLUSH_MS = 2000;
const LOST = 1;

interface Flags {
  readonly listen?: string;
  readonly connect: string;
  readonly takeOver?: boolean;
  readonly listenMode?: string;
  readonly listenOwner?: string;
  readonly listenGroup?: string;
  readonly allowedClients?: string[];
  readonly records?: boolean;
  readonly hex?: boolean;
  readonly params?: boolean;
  readonly stderr?: boolean;
  readonly json?: boolean;
  readonly live?: boolean;
  readonly only?: string[];
  readonly url?: string;
  readonly secrets?: boolean;
  readonly record?: string;
  readonly recordMax: string;
  readonly recordFiles: string;
  readonly drain: string;
}

export function inspectCommand(terminal: Terminal = processTerminal()): Command {
  return new Command("inspect")
    .description("Look at what a web server and a FastCGI application say to each other: a tap between them.")
    .requiredOption("--connect <address>", "where the application listens: unix:/path or host:port")
    .option("--listen <address>", "where the web server is to connect: unix:/path or host:port")
    .option("--take-over", "put the tap into the place of the unix socket of --connect, and back at the end")
    .option("--listen-mode <octal>", "permissions of the tap's unix socket (default: 0660)")
    .option("--listen-owner <user>", "its owner")
    .option("--listen-group <group>", "its group: usually the web server's")
    .option(
      "--allowed-clients <addresses...>",
      "who may connect over TCP, when that is not this machine alone",
    )
    .option("--records", "show every record, both ways")
    .option("--hex", "with --records: their content in hex")
    .option("--params", "show the parameters of every request")
    .option("--stderr", "show what the application writes on FCGI_STDERR (the default)")
    .option("--no-stderr", "do not show it")
    .option("--json", "one object a line, for programs")
    .option("--live", "a list redrawn in place, open requests on top; q ends it")
    .option("--only <what...>", "requests of this kind: 5xx, 404, aborted, failed, stderr, slow:500ms")
    .option("--url <glob>", "requests whose URL is like this; * stands for anything")
    .option("--secrets", "show, and record, passwords and cookies")
    .option("--record <folder>", "write every connection to files in this folder")
    .option("--record-max <size>", "most bytes of recordings; the oldest make room", "100M")
    .option("--record-files <count>", "most connections kept there; the oldest make room", "1000")
    .option("--drain <duration>", "at the end: how long open requests may take", "30s")
    .action((flags: Flags) => inspect(terminal, flags));
}

async function inspect(terminal: Terminal, flags: Flags): Promise<void> {
  refuseContradictions(terminal, flags);
  const isJson = flags.json === true;
  const isLive = flags.live === true;
  const drainMs = readFlag("--drain", flags.drain, readDuration, "a duration such as 30s");
  const filter = filterOf(flags.only ?? [], flags.url);
  const takeOver = flags.takeOver === true ? await planTakeOver(flags.connect) : undefined;
  const end = new AbortController();
  const outlet = new Outlet(STDOUT, () => end.abort());
  const tell = (text: string): void => {
    if (!isLive) terminal.stderr.write(`postern: ${printable(text)}\n`);
  };
  const watcher = new Watcher({
    filter,
    isFiltered: flags.only !== undefined || flags.url !== undefined,
    how: isJson ? "json" : isLive ? "live" : "lines",
    withParams: flags.params === true,
    withStderr: flags.stderr !== false, // with both flags defined, neither given is undefined
    withSecrets: flags.secrets === true,
    hex: flags.hex === true,
    width: columnsOf(terminal),
    line: (text) => outlet.line(text),
    trouble: tell,
  });
  const recorder = recorderOf(flags, (text) => watcher.onTrouble(text));
  const tap = new Tap(tapOptions(flags, takeOver, recorder), watcher);
  await tap.listen();
  let isLost = false;
  try {
    takeOver?.begin();
  } catch (error) {
    await tap.close(0);
    throw error;
  }
  const place = takeOver === undefined ? tap.address : `unix:${takeOver.path}`;
  const target = takeOver?.connect ?? printAddress(parseAddress(flags.connect, "--connect"));
  const forget = terminal.onEnd(() => {
    // At once: the process may be about to exit. What still comes to the tap finds the application in its old place.
    void takeOver?.end().then((trouble) => {
      if (trouble === undefined) tap.moveTo(place);
    });
    if (end.signal.aborted) tap.cut(); // the second time
    end.abort();
  });
  const look = setInterval(() => {
    if (takeOver === undefined || takeOver.isInPlace()) return;
    isLost = true;
    end.abort();
  }, LOOK_MS);
  const leave = isLive
    ? draw(terminal, outlet, watcher, `${place} → ${target}`, () => end.abort())
    : async (): Promise<void> => {};
  tell(`a tap at ${place}, connected to ${target}; ctrl-C ends it`);
  if (isJson)
    outlet.line(jsonLine({ event: "start", time: new Date().toISOString(), listen: place, connect: target }));
  else if (!isLive) outlet.line(titleLine());
  await aborted(end.signal);
  clearInterval(look);
  await leave();
  const trouble = await takeOver?.end();
  if (takeOver !== undefined && trouble === undefined) tap.moveTo(place);
  if (tap.openRequests > 0 && !isLive) tell(`${counted(tap.openRequests, "request")} still open: waiting`);
  await tap.close(drainMs);
  await recorder?.close();
  forget();
  finish(outlet, watcher, tap.connections, isJson);
  await outlet.flush(FLUSH_MS);
  if (trouble !== undefined) terminal.stderr.write(`postern: ${printable(trouble)}\n`);
  if (!isLost) return;
  terminal.stderr.write("postern: the tap's socket was replaced or removed, so it saw no more connections\n");
  terminal.setExitCode(LOST);
}

function refuseContradictions(terminal: Terminal, flags: Flags): void {
  const { listen, takeOver, live, json, records, hex, only, url } = flags;
  const isFiltered = only !== undefined || url !== undefined;
  const refuse = (text: string): never => {
    throw new SettingError("ERR_POSTERN_BAD_SETTING", text);
  };
  if (takeOver === true && listen !== undefined)
    refuse("--take-over and --listen: one of them says where the tap listens");
  if (takeOver !== true && listen === undefined) {
    refuse(
      "--listen is missing: where the web server is to connect; or --take-over, for the place of --connect itself",
    );
  }
  const owned = [flags.listenMode, flags.listenOwner, flags.listenGroup].some((value) => value !== undefined);
  if (takeOver === true && owned)
    refuse("--take-over makes the socket as the application's is; leave --listen-* out");
  if (live === true && (json === true || records === true))
    refuse("--live is a list of requests: leave --json and --records out");
  if (live === true && terminal.stdout.isTTY !== true)
    refuse("--live needs a terminal; leave it out, or use --json");
  if (hex === true && records !== true) refuse("--hex needs --records");
  if (records === true && isFiltered) {
    refuse(
      "--records shows records as they come, --only and --url look at whole requests; leave one out, or use --record and postern decode",
    );
  }
  if (listen !== undefined) {
    refuseItself(
      printAddress(parseAddress(listen, "--listen")),
      printAddress(parseAddress(flags.connect, "--connect")),
    );
  }
}

function tapOptions(
  flags: Flags,
  takeOver: TakeOver | undefined,
  recorder: Recorder | undefined,
): TapOptions {
  const { listenOwner, listenGroup, allowedClients, listenMode } = flags;
  const mode =
    listenMode === undefined
      ? undefined
      : readFlag("--listen-mode", listenMode, readOctal, "octal permissions such as 0660");
  return {
    listen: takeOver?.listen ?? flags.listen ?? "",
    connect: takeOver?.connect ?? flags.connect,
    recordBytes: flags.records === true ? 4096 : undefined,
    withSecrets: flags.secrets === true,
    recorder,
    ...(takeOver !== undefined && { mode: takeOver.mode, owner: takeOver.owner, group: takeOver.group }),
    ...(mode !== undefined && { mode }),
    ...(listenOwner !== undefined && { owner: listenOwner }),
    ...(listenGroup !== undefined && { group: listenGroup }),
    ...(allowedClients !== undefined && { allowedClients }),
  };
}

function recorderOf(flags: Flags, onTrouble: (text: string) => void): Recorder | undefined {
  if (flags.record === undefined) return undefined;
  const atLeastOne = (text: string): number | undefined => readCount(text) || undefined;
  return new Recorder({
    folder: flags.record,
    maxBytes: readFlag("--record-max", flags.recordMax, readSize, "a size such as 100M"),
    maxConnections: readFlag("--record-files", flags.recordFiles, atLeastOne, "a whole number from 1"),
    withSecrets: flags.secrets === true,
    note: `postern inspect ${packageVersion()}`,
    onTrouble,
  });
}

function readFlag(
  flag: string,
  text: string,
  read: (text: string) => number | undefined,
  form: string,
): number {
  const value = read(text);
  if (value !== undefined) return value;
  throw new SettingError("ERR_POSTERN_BAD_SETTING", `${flag} ${JSON.stringify(text)}: it must be ${form}`);
}

/** Draws until the returned function is called. */
function draw(
  terminal: Terminal,
  outlet: Outlet,
  watcher: Watcher,
  title: string,
  quit: () => void,
): () => Promise<void> {
  const leave = takeScreen(terminal, quit);
  const startMs = performance.now();
  const frame = (): void => {
    // A terminal that cannot keep up gets fewer frames.
    if (!outlet.isEmpty) return;
    const { open, ended, summary, notice } = watcher;
    const { requests, failed } = summary;
    const state = { title, startMs, open: open.values(), ended, requests, failed, notice };
    const lines = liveFrame(state, columnsOf(terminal), terminal.stdout.rows || 24, performance.now());
    outlet.text(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J`);
  };
  const timer = setInterval(frame, FRAME_MS);
  frame();
  return async () => {
    clearInterval(timer);
    // The last frame belongs on the screen that is left.
    await outlet.flush(FRAME_MS);
    leave();
  };
}

function finish(outlet: Outlet, { summary }: Watcher, connections: number, isJson: boolean): void {
  if (isJson) outlet.line(jsonLine({ event: "summary", ...summary.object(connections) }));
  else for (const line of summary.lines(connections)) outlet.line(line);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
