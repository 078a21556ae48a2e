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
  const told = new Set<string>();
  const tell = (all: readonly string[]): void => {
    for (const note of all) if (!told.has(note)) host.logger.warn({}, note);
    for (const note of all) told.add(note);
  };
  tell(notes);
  const manager = new Manager({
    configuration,
    reread: async () => {
      const again = await loadConfiguration(request);
      tell(again.notes);
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
