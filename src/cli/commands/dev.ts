/** `postern dev app.js`: the application on http://localhost:3000, loaded anew with every save. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { isLoopback } from "../../base/address.ts";
import { SettingError } from "../../base/errors.ts";
import { loadConfiguration } from "../../config/load.ts";
import type { PoolSettings } from "../../config/types.ts";
import { DevServer } from "../dev-server.ts";
import { readServerName } from "../dev-web-server.ts";
import { loadRequest } from "../settings-flags.ts";
import { processTerminal, type Terminal } from "../terminal.ts";

const DEFAULT_PORT = 3000;

interface DevFlags {
  readonly config?: string;
  readonly port?: string;
  readonly host?: string;
  readonly mount?: string;
  readonly python?: string;
  readonly server?: string;
  readonly watch?: readonly string[];
  readonly showSources?: boolean;
}

const each = (value: string, all: readonly string[] | undefined): readonly string[] => [
  ...(all ?? []),
  value,
];

export function devCommand(terminal: Terminal = processTerminal()): Command {
  return new Command("dev")
    .description("Serve an application on http://localhost:3000, and load it anew with every save.")
    .argument("[file]", "the application, as for serve (default: what postern.config.* says)")
    .option("-c, --config <file>", "read settings from this file (default: postern.config.* here)")
    .option("-p, --port <port>", `port (default: ${DEFAULT_PORT}, or the next one that is free)`)
    .option("--host <host>", "address to listen on (default: localhost, this machine alone)")
    .option("--mount <path>", "URL path of the application (default: the setting base, else the root)")
    .option("--python <path>", "the Python for it: a program, or the folder of a virtual environment")
    .option("--watch <path>", "a file or folder whose changes count too, repeatable", each)
    .option("--server <name>", "a real web server in front: nginx, apache, lighttpd, caddy, haproxy or h2o")
    .option("--show-sources", "show sources in errors although --host is not this machine's own")
    .action((file: string | undefined, flags: DevFlags) => dev(file, flags, terminal));
}

async function dev(file: string | undefined, flags: DevFlags, terminal: Terminal): Promise<void> {
  process.env["NODE_ENV"] ??= "development";
  const { config, python } = flags;
  const settings = { ...(config !== undefined && { config }), ...(python !== undefined && { python }) };
  const request = loadRequest(settings, { app: file });
  const { configuration } = await loadConfiguration(request);
  const [pool, second] = configuration.pools;
  if (pool === undefined || second !== undefined) {
    const names = configuration.pools.map(({ name }) => name).join(", ");
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      `postern dev serves one application, and the configuration has ${names}; name its file: postern dev app.js`,
    );
  }
  const host = flags.host ?? "localhost";
  const hasSources = host === "localhost" || isLoopback(host) || flags.showSources === true;
  const mount = flags.mount ?? pool.base;
  const server = new DevServer({
    // Web servers do not all tell what of a URL is the mount.
    pool: { ...forDevelopment(pool, hasSources), base: mount },
    host,
    port: flags.port === undefined ? DEFAULT_PORT : portOf(flags.port),
    isPortAsked: flags.port !== undefined,
    mount: mount === undefined || mount === "" ? undefined : mount,
    server: flags.server === undefined ? undefined : readServerName(flags.server),
    watch: (flags.watch ?? []).map((path) => resolve(path)),
    hasSources,
    terminal,
  });
  await new Promise<void>((done, failed) => {
    const takeBack = terminal.onEnd(() => {
      takeBack();
      server.close().then(done, failed);
    });
    server.begin().catch(failed);
  });
}

/** One worker, and nothing of what only a production needs. */
function forDevelopment(pool: PoolSettings, hasSources: boolean): PoolSettings {
  const isPython = pool.program.kind === "app" && pool.program.language === "python";
  const dotenv = join(pool.chdir, ".env");
  const envFile =
    existsSync(dotenv) && !pool.envFile.includes(dotenv) ? [dotenv, ...pool.envFile] : pool.envFile;
  return {
    ...pool,
    pm: "static",
    maxChildren: 1,
    bind: [],
    http: undefined,
    wsHttp: undefined,
    // A worker in Python knows no other way to leave sources out.
    development: isPython ? hasSources : true,
    maxRequests: 0,
    maxMemoryBytes: 0,
    maxLoopDelayMs: 0, // a debugger may stand still
    requestTerminateTimeoutMs: 0,
    drainDelayMs: 0,
    drainTimeoutMs: 1000,
    user: undefined,
    group: undefined,
    clearEnv: false,
    // What Python has compiled is known by its size and the second of its change: two saves would look the same.
    env: { ...(isPython ? { PYTHONDONTWRITEBYTECODE: "1" } : { NODE_ENV: "development" }), ...pool.env },
    envFile,
    nodeArgs: ["--enable-source-maps", ...pool.nodeArgs],
  };
}

function portOf(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65535) return port;
  throw new SettingError("ERR_POSTERN_BAD_SETTING", `--port ${JSON.stringify(text)}: a number up to 65535`);
}
