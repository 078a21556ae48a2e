/**
 * `postern serve app.js`: an application on FastCGI sockets, in supervised workers; or in this process, when whoever
 * started it is its manager already (a web server) or with `--workers 0`. Loads only what that needs: visitors wait.
 */
import { resolve } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Command } from "commander";
import { SettingError } from "../../base/errors.ts";
import { loadConfiguration } from "../../config/load.ts";
import { isPythonApp } from "../../config/python-app.ts";
import { BootGuard } from "../../manager/boot-guard.ts";
import { answerFailure } from "../../server/boot-failure.ts";
import { type AnswerOutput, canMoveStdout, claimStdout } from "../../server/claim-stdout.ts";
import { isCgiProgram, isListeningSocket, isPlainCgi, LISTEN_FD } from "../../server/inherited.ts";
import { exitSoon } from "../../server/process.ts";
import { bootFailureOf } from "../boot-failure.ts";
import { addSettings, type Flags, loadRequest } from "../settings-flags.ts";

export function serveCommand(): Command {
  const command = new Command("serve")
    .description(
      "Serve an application (JavaScript, TypeScript or Python) over FastCGI, in supervised workers.",
    )
    .argument(
      "[file]",
      "file that exports the application: (req, res) => …, { fetch }, an http.Server, …; of Python app.py or module:name (default: what postern.config.* says)",
    );
  return addSettings(command).action(serve);
}

async function serve(file: string | undefined, flags: Flags): Promise<void> {
  const workers = flags["workers"] ?? process.env["POSTERN_WORKERS"];
  const isPython = file !== undefined && isPythonApp(resolve(file));
  const isHere = workers === "0" || (isStartedByWebServer() && !hasPool(flags) && !isPython);
  if (!isHere) {
    const { runManager } = await import("../run-manager.ts");
    exitSoon(await runManager(loadRequest(flags, { app: file })));
    return;
  }
  if (isStartedByWebServer() && flags["bind"] === undefined) await serveSpawned(file, flags);
  else await serveOne(file, flags, undefined, undefined);
}

/** What goes wrong is answered, too, before the process ends. */
async function serveSpawned(file: string | undefined, flags: Flags): Promise<void> {
  const isCgi = isCgiProgram(process.env);
  if (isCgi && !canMoveStdout(process.env)) {
    const { rerunForStdout } = await import("../rerun.ts");
    exitSoon(await rerunForStdout());
    return;
  }
  // At once: what is printed would be taken for the answer.
  const stdout = isCgi ? claimStdout() : undefined;
  const guard = new BootGuard();
  if (!isCgi) guard.holdSignal();
  try {
    await serveOne(file, flags, stdout, guard);
  } catch (error) {
    await answerFailure(bootFailureOf(error, file), stdout);
    await nextTurn(); // what the application has rejected meanwhile is told to the guard
    throw error;
  } finally {
    guard.release();
  }
}

/** One application, in this process. */
async function serveOne(
  file: string | undefined,
  flags: Flags,
  stdout: AnswerOutput | undefined,
  guard: BootGuard | undefined,
): Promise<void> {
  const { workers: _, ...others } = flags;
  const request = loadRequest(others, { app: file });
  const { POSTERN_WORKERS: __, ...env } = process.env;
  const { configuration, notes } = await loadConfiguration({ ...request, env });
  const [pool, second] = configuration.pools;
  if (pool === undefined || second !== undefined) {
    const names = configuration.pools.map(({ name }) => name).join(", ");
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      `--workers 0 serves one application in this process, and the configuration has ${names}; leave --workers 0 out`,
    );
  }
  const { serveHere } = await import("../serve-here.ts");
  await serveHere(pool, { logLevel: configuration.manager.logLevel, notes, stdout, guard });
}

/** mod_fcgid, lighttpd, spawn-fcgi and others start and count their workers themselves, with the socket as fd 0. */
function isStartedByWebServer(): boolean {
  return isListeningSocket(LISTEN_FD, process.env) || isPlainCgi(process.env);
}

/** Whether the command line asks for workers of our own, or for a socket of our own. */
function hasPool(flags: Flags): boolean {
  return ["workers", "pm", "maxChildren", "bind", "config"].some((name) => flags[name] !== undefined);
}
