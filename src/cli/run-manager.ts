/** Runs the manager for a command line: the configuration now, and again at each reload. */

import { type LoadRequest, loadConfiguration } from "../config/load.ts";
import type { ExitCode } from "../manager/exit-codes.ts";
import { Host } from "../manager/host.ts";
import { Manager } from "../manager/manager.ts";
import { packageVersion } from "./version.ts";

/**
 * @returns the exit code
 * @throws {SettingError} a setting, address or file cannot be used; nothing is left behind
 */
export async function runManager(request: LoadRequest): Promise<ExitCode> {
  const { configuration, notes } = await loadConfiguration(request);
  const host = new Host(configuration, process.env);
  for (const note of notes) host.logger.warn({}, note);
  const manager = new Manager({
    configuration,
    reread: async () => {
      const again = await loadConfiguration(request);
      for (const note of again.notes) host.logger.warn({}, note);
      return again.configuration;
    },
    host,
    version: packageVersion(),
    env: process.env,
  });
  const code = await manager.run();
  if (manager.failure !== undefined) process.stderr.write(`postern: ${manager.failure}\n`);
  return code;
}
