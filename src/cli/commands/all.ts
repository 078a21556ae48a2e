/**
 * Every command of `postern`, in the order of its help. Only the one that is asked for is loaded: a web server that
 * starts `postern serve` for a visitor must not wait for the tools.
 */
import type { Command } from "commander";

const LOADERS: Readonly<Record<string, () => Promise<Command | Command[]>>> = {
  serve: async () => (await import("./serve.ts")).serveCommand(),
  dev: async () => (await import("./dev.ts")).devCommand(),
  spawn: async () => (await import("./spawn.ts")).spawnCommand(),
  // status, reload, stop, scale, workers, logs
  control: async () => (await import("./control.ts")).controlCommands(),
  config: async () => (await import("./config.ts")).configCommand(),
  init: async () => (await import("./init.ts")).initCommand(),
  curl: async () => (await import("./curl.ts")).curlCommand(),
  ping: async () => (await import("./ping.ts")).pingCommand(),
  inspect: async () => (await import("./inspect.ts")).inspectCommand(),
  decode: async () => (await import("./decode.ts")).decodeCommand(),
  replay: async () => (await import("./replay.ts")).replayCommand(),
  doctor: async () => (await import("./doctor.ts")).doctorCommand(),
  explain: async () => (await import("./explain.ts")).explainCommand(),
  bench: async () => (await import("./bench.ts")).benchCommand(),
  conform: async () => (await import("./conform.ts")).conformCommand(),
};

/** The command of that name alone; all of them when there is none, for help and for what was probably meant. */
export async function commandsFor(name: string | undefined): Promise<Command[]> {
  const one = name !== undefined && Object.hasOwn(LOADERS, name) ? LOADERS[name] : undefined;
  return (
    await Promise.all((one === undefined ? Object.values(LOADERS) : [one]).map((load) => load()))
  ).flat();
}
