/** php-fpm: somebody else's FastCGI application, for our client and gateway. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, isListening } from "../ports.ts";
import { type Exit, type Running, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";
import { programOf } from "./available.ts";
import { type FastCgiAddress, serverUser, versionOf } from "./web-server.ts";

export interface PhpFpmOptions {
  /** File name → PHP source, written to {@link PhpFpm.documentRoot}. */
  readonly scripts?: Readonly<Record<string, string>>;
  /** Listen on TCP instead of a unix socket. */
  readonly tcp?: boolean;
  /** @default 2 */
  readonly children?: number;
  /** More lines for the pool. */
  readonly directives?: string;
}

export interface PhpFpm {
  readonly version: string;
  readonly address: FastCgiAddress;
  readonly documentRoot: string;
  readonly process: Running;
  /** The full path of a script: its SCRIPT_FILENAME. */
  script(name: string): string;
  log(): string;
  stop(): Promise<Exit>;
}

export async function startPhpFpm(options: PhpFpmOptions = {}): Promise<PhpFpm> {
  const program = programOf("php-fpm");
  const folder = temporaryFolder("php");
  const logFile = join(folder, "error.log");
  const documentRoot = join(folder, "public");
  mkdirSync(documentRoot);
  for (const [name, source] of Object.entries(options.scripts ?? {})) {
    writeFileSync(join(documentRoot, name), source);
  }
  const port = options.tcp ? await freePort() : 0;
  const address = options.tcp ? { host: "127.0.0.1", port } : { unix: join(folder, "php.sock") };
  const user = serverUser();
  const config = `
[global]
error_log = ${logFile}
daemonize = no
[www]
${user ? `user = ${user.user}\ngroup = ${user.group}\nlisten.group = ${user.group}` : ""}
listen = ${"unix" in address ? address.unix : `127.0.0.1:${port}`}
pm = static
pm.max_children = ${options.children ?? 2}
catch_workers_output = yes
decorate_workers_output = no
${options.directives ?? ""}
`;
  writeFileSync(join(folder, "php-fpm.conf"), config);
  // -n: no php.ini, so that the distribution's settings and extensions do not decide what a test sees.
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, "utf8") : "") + running.output();
  const running = start(program, ["-n", "-F", "-y", join(folder, "php-fpm.conf")], { cwd: folder });
  const target = "unix" in address ? { path: address.unix } : address;
  await waitFor(async () => running.exit ?? (await isListening(target)), {
    timeoutMs: 15_000,
    what: "php-fpm to accept connections",
    evidence: log,
  });
  if (running.exit) throw new Error(`php-fpm ended at once:\n${log()}`);
  return {
    version: versionOf(program, ["-v"], /PHP (\S+)/),
    address,
    documentRoot,
    process: running,
    script: (name) => join(documentRoot, name),
    log,
    stop: () => running.stop(),
  };
}
