/**
 * The commands that speak to a running manager through its control socket: status, reload, stop, scale, workers, logs.
 * Each finds the manager, asks one thing, prints the answer, and sets the exit code: 1 when the manager said no, and
 * through the errors thrown 2 when it could not be asked.
 */
import { readFileSync } from "node:fs";
import { Argument, Command, InvalidArgumentError } from "commander";
import { SettingError } from "../../base/errors.ts";
import type { Outcome } from "../../manager/commands.ts";
import { managerMetrics } from "../../status/metrics.ts";
import { renderStatus, renderWorkers } from "../../status/render.ts";
import { printable, printableLines } from "../../status/text.ts";
import { listWorkers } from "../../status/workers.ts";
import { askControl, type ControlCall } from "../control-client.ts";
import { ask, askStatus, findManager } from "../find-manager.ts";
import { columnsOf, hasColour, processTerminal, type Terminal } from "../terminal.ts";
import { watchStatus } from "../watch.ts";

/** For what the manager answers at once, ms. */
const AT_ONCE_MS = 10_000;
/** A reload takes as long as new workers take to start and, a phased one, old ones to drain, ms. */
const RELOAD_MS = 3_600_000;
/** How often `stop` looks whether the manager is gone, ms. */
const LOOK_AGAIN_MS = 100;
/** How long the process of a manager may take to end after its control socket has closed, ms. */
const EXIT_MS = 30_000;

const FAILURE = 1;
const USAGE = 2;

interface Where {
  readonly control?: string;
}

/** All of them, for `main.ts`. */
export function controlCommands(terminal: Terminal = processTerminal()): Command[] {
  return [
    statusCommand(terminal),
    reloadCommand(terminal),
    stopCommand(terminal),
    scaleCommand(terminal),
    workersCommand(terminal),
    logsCommand(terminal),
  ];
}

function statusCommand(terminal: Terminal): Command {
  return base("status", "Show the manager, its pools, their workers, and what these work on.")
    .argument("[name]", "name of the manager (default: the only one that runs)")
    .option("--json", "print everything as JSON")
    .option("--openmetrics", "print the metrics of all pools, as Prometheus reads them")
    .option("--watch", "show it anew every second, until q")
    .option("--interval <seconds>", "with --watch: how often", secondsOf)
    .action(async (name: string | undefined, flags: StatusFlags) => {
      if (flags.interval !== undefined && flags.watch !== true) {
        throw new SettingError("ERR_POSTERN_BAD_SETTING", "--interval needs --watch");
      }
      if (flags.openmetrics === true && (flags.json === true || flags.watch === true)) {
        throw new SettingError(
          "ERR_POSTERN_BAD_SETTING",
          "--openmetrics goes with neither --json nor --watch",
        );
      }
      const file = await findManager(terminal, name, flags.control);
      const snapshot = await askStatus(file);
      if (flags.watch === true) {
        const intervalMs = (flags.interval ?? 1) * 1000;
        await watchStatus(terminal, snapshot, {
          intervalMs,
          isJson: flags.json === true,
          ask: () => askStatus(file),
        });
        return;
      }
      if (flags.openmetrics === true) {
        terminal.stdout.write(managerMetrics(snapshot));
        return;
      }
      const text = flags.json === true ? jsonText(snapshot) : renderStatus(snapshot, layout(terminal));
      terminal.stdout.write(text);
    });
}

interface StatusFlags extends Where {
  readonly json?: boolean;
  readonly openmetrics?: boolean;
  readonly watch?: boolean;
  readonly interval?: number;
}

function reloadCommand(terminal: Terminal): Command {
  return base(
    "reload",
    "Start the application anew: new workers first, then the old ones go. Waits for the result.",
  )
    .argument("[name]", "name of the manager (default: the only one that runs)")
    .option("--pool <pool>", "this pool alone")
    .option("--phased", "one worker after the other")
    .action(async (name: string | undefined, flags: Where & { pool?: string; phased?: boolean }) => {
      const body = {
        ...(flags.pool !== undefined && { pool: flags.pool }),
        ...(flags.phased === true && { mode: "phased" }),
      };
      await command(terminal, name, flags, { path: "/reload", body, timeoutMs: RELOAD_MS });
    });
}

function stopCommand(terminal: Terminal): Command {
  return base("stop", "Let open requests end, then stop the manager. Waits until it is gone.")
    .argument("[name]", "name of the manager (default: the only one that runs)")
    .option("--now", "cut open requests")
    .option("--wait", "wait until the manager is gone (the default)")
    .option("--no-wait", "return when the stop has begun")
    .action(async (name: string | undefined, flags: Where & { now?: boolean; wait?: boolean }) => {
      const file = await findManager(terminal, name, flags.control);
      const { pid, name: called } = await askStatus(file);
      const how = flags.now === true ? "now" : "graceful";
      const isStopping = await askFor(terminal, file, {
        path: "/stop",
        body: { how },
        timeoutMs: AT_ONCE_MS,
      });
      if (!isStopping || flags.wait === false) return;
      if (await untilGone(file, pid)) {
        terminal.stdout.write(`${printable(called)} has stopped\n`);
        return;
      }
      terminal.stderr.write(
        `postern: ${printable(called)} answers no more, but process ${pid} has not ended for ${EXIT_MS / 1000} s\n`,
      );
      terminal.setExitCode(FAILURE);
    });
}

function scaleCommand(terminal: Terminal): Command {
  return base("scale", "Change the number of workers, until the next reload of the configuration.")
    .usage("[options] [name] <workers>")
    .addArgument(new Argument("<name-or-workers>", "name of the manager (default: the only one that runs)"))
    .argument("[workers]", "how many workers there are to be, or +1 and -1 for more and fewer")
    .option("--pool <pool>", "this pool (needed when there are several)")
    .action(async (first: string, second: string | undefined, flags: Where & { pool?: string }) => {
      const name = second === undefined ? undefined : first;
      const workers = second ?? first;
      if (!/^[+-]?\d{1,6}$/.test(workers)) {
        throw new SettingError(
          "ERR_POSTERN_BAD_SETTING",
          `${printable(workers)} is no number of workers; write postern scale ${printable(name ?? workers)} 4, or +1, or -1`,
        );
      }
      const body = { workers, ...(flags.pool !== undefined && { pool: flags.pool }) };
      await command(terminal, name, flags, { path: "/scale", body, timeoutMs: AT_ONCE_MS });
    });
}

function workersCommand(terminal: Terminal): Command {
  return base("workers", "List the workers, or replace one.")
    .argument("[name]", "name of the manager (default: the only one that runs)")
    .option("--json", "print the list as JSON")
    .option("--replace <pid>", "start a new worker, then let this one go", pidOf)
    .action(async (name: string | undefined, flags: Where & { json?: boolean; replace?: number }) => {
      if (flags.replace !== undefined) {
        const body = { worker: flags.replace };
        await command(terminal, name, flags, { path: "/workers/replace", body, timeoutMs: AT_ONCE_MS });
        return;
      }
      const snapshot = await askStatus(await findManager(terminal, name, flags.control));
      const workers = listWorkers(snapshot);
      const text =
        flags.json === true ? jsonText(workers) : renderWorkers(workers, snapshot.now, layout(terminal));
      terminal.stdout.write(text);
    });
}

function logsCommand(terminal: Terminal): Command {
  return base("logs", "Open the log files anew, after they were moved away.")
    .addArgument(new Argument("<what>", "what to do with them").choices(["reopen"]))
    .argument("[name]", "name of the manager (default: the only one that runs)")
    .action(async (_what: string, name: string | undefined, flags: Where) => {
      await command(terminal, name, flags, { path: "/logs/reopen", body: {}, timeoutMs: AT_ONCE_MS });
    });
}

function base(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option("--control <path>", "control socket of the manager, when it is not in the usual folder");
}

type Post = Omit<ControlCall, "method">;

async function command(
  terminal: Terminal,
  name: string | undefined,
  where: Where,
  call: Post,
): Promise<void> {
  await askFor(terminal, await findManager(terminal, name, where.control), call);
}

/** Prints the manager's sentence. @returns whether it said yes */
async function askFor(terminal: Terminal, file: string, call: Post): Promise<boolean> {
  const { status, body } = await ask(file, { ...call, method: "POST" });
  const { ok, message } = Object(body) as Partial<Outcome>;
  const text = printableLines(
    typeof message === "string" ? message : `the manager answered with status ${status}`,
  );
  if (status === 200 && ok === true) {
    terminal.stdout.write(`${text}\n`);
    return true;
  }
  terminal.stderr.write(`postern: ${text}\n`);
  terminal.setExitCode(status === 400 ? USAGE : FAILURE);
  return false;
}

/**
 * Until nobody answers at the socket, and the process is no more either.
 * @returns false when the process stays: or another one has its pid here, if the manager is in another container
 */
async function untilGone(file: string, pid: number): Promise<boolean> {
  while (await isAnswering(file, pid)) await soon();
  for (const until = performance.now() + EXIT_MS; isAlive(pid); await soon()) {
    if (performance.now() > until) return false;
  }
  return true;
}

function soon(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
}

async function isAnswering(file: string, pid: number): Promise<boolean> {
  try {
    const { body } = await askControl(file, { path: "/status", timeoutMs: AT_ONCE_MS });
    // Another one may have been started there meanwhile.
    return (Object(body) as { pid?: unknown }).pid === pid;
  } catch {
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return !isZombie(pid);
}

/** Ended, and not yet asked for by the process that started it. */
function isZombie(pid: number): boolean {
  try {
    return /^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false; // no /proc here
  }
}

function layout(terminal: Terminal): { width: number; colour: boolean } {
  return { width: columnsOf(terminal), colour: hasColour(terminal) };
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function secondsOf(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== "" && seconds >= 0.1 && seconds <= 86_400) return seconds;
  throw new InvalidArgumentError("It is a number of seconds, at least 0.1.");
}

function pidOf(text: string): number {
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It is the pid of a worker, as postern workers lists it.");
}
