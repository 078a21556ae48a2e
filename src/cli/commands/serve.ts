/**
 * `postern serve app.js`: an application on FastCGI sockets, in supervised workers; or in this process, when whoever
 * started it is its manager already (a web server) or with `--workers 0`.
 */
import { Command } from "commander";
import { SettingError } from "../../base/errors.ts";
import { loadConfiguration } from "../../config/load.ts";
import { isListeningSocket, isPlainCgi, LISTEN_FD } from "../../server/inherited.ts";
import { exitSoon } from "../../server/process.ts";
import { runManager } from "../run-manager.ts";
import { serveHere } from "../serve-here.ts";
import { addSettings, type Flags, loadRequest } from "../settings-flags.ts";

export function serveCommand(): Command {
  const command = new Command("serve")
    .description("Serve an application (ESM, CommonJS or TypeScript) over FastCGI, in supervised workers.")
    .argument(
      "[file]",
      "file that exports the application: (req, res) => …, { fetch }, an http.Server, … (default: what postern.config.* says)",
    );
  return addSettings(command).action(serve);
}

async function serve(file: string | undefined, flags: Flags): Promise<void> {
  const workers = flags["workers"] ?? process.env["POSTERN_WORKERS"];
  const isHere = workers === "0" || (isStartedByWebServer() && !hasPool(flags));
  if (!isHere) {
    exitSoon(await runManager(loadRequest(flags, { app: file })));
    return;
  }
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
  await serveHere(pool, configuration.manager.logLevel, notes);
}

/** mod_fcgid, lighttpd, spawn-fcgi and others start and count their workers themselves, with the socket as fd 0. */
function isStartedByWebServer(): boolean {
  return isListeningSocket(LISTEN_FD, process.env) || isPlainCgi(process.env);
}

/** Whether the command line asks for workers of our own, or for a socket of our own. */
function hasPool(flags: Flags): boolean {
  return ["workers", "pm", "maxChildren", "bind", "config"].some((name) => flags[name] !== undefined);
}
