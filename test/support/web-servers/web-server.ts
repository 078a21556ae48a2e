/** What the web servers of the end-to-end tests have in common: where they listen, as whom, how they are started. */
import { execFileSync } from "node:child_process";
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, isListening } from "../ports.ts";
import { type Exit, type Running, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";

/** Where a FastCGI application listens. */
export type FastCgiAddress = { readonly unix: string } | { readonly host: string; readonly port: number };

export interface WebServerOptions {
  readonly application: FastCgiAddress;
  /** Where the application is mounted: `""` for the root, or `/yourapplication`. @default "" */
  readonly mount?: string;
  /** Reuse connections to the application (FCGI_KEEP_CONN). lighttpd cannot. @default false */
  readonly keepConn?: boolean;
  /** Pass request and response on as they come, unbuffered. @default false */
  readonly streaming?: boolean;
  /** The web server itself answers `/static/…` from this folder. @default an empty folder */
  readonly documentRoot?: string;
  /** More lines for the application's location or virtual host, in the server's own language. */
  readonly directives?: string;
  /** nginx: more lines for the virtual host, beside the application's location. */
  readonly hostDirectives?: string;
  /** More lines for the top level of the configuration (nginx: inside `http`). */
  readonly globalDirectives?: string;
}

/** A real web server, running. */
export interface WebServer {
  readonly name: string;
  /** As the program itself prints it. */
  readonly version: string;
  readonly port: number;
  /** `http://127.0.0.1:PORT`, without a slash at the end. */
  readonly origin: string;
  /** Origin and mount: where the application is, without a slash at the end. */
  readonly url: string;
  /** Its configuration, logs and temporary files. */
  readonly folder: string;
  readonly process: Running;
  /** The error log so far, and whatever the program printed. */
  errorLog(): string;
  /** What {@link errorLog} says after this moment: the log and the printed text each from where they are now. */
  errorLogFromNow(): () => string;
  /** Waits until the error log matches. */
  waitForErrorLog(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** The configuration read again, without losing a connection; settles when the new workers are there. */
  reload(): Promise<void>;
  stop(): Promise<Exit>;
}

/** Who the web server's workers are. As root they are www-data, as they would be in production. */
export interface ServerUser {
  readonly user: string;
  readonly group: string;
  readonly uid: number;
  readonly gid: number;
}

/** Undefined when we are not root: then the workers are ourselves. */
export function serverUser(): ServerUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const ask = (what: string): string =>
    execFileSync("id", [what, "www-data"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    return { user: "www-data", group: ask("-gn"), uid: Number(ask("-u")), gid: Number(ask("-g")) };
  } catch {
    throw new Error("running as root, and there is no user www-data for the web server's workers");
  }
}

/** Gives a file to the web server's group, as an operator would with a socket of mode 0660. */
export function giveToServerGroup(path: string): void {
  const user = serverUser();
  if (user) chownSync(path, -1, user.gid);
}

export interface Preparation {
  readonly port: number;
  readonly folder: string;
  readonly documentRoot: string;
  readonly user: ServerUser | undefined;
}

export interface Recipe {
  readonly name: string;
  readonly program: string;
  readonly version: string;
  readonly mount: string;
  readonly documentRoot?: string | undefined;
  /** Files to write below the server's folder, and how to start it. */
  readonly prepare: (with_: Preparation) => {
    readonly files: Readonly<Record<string, string>>;
    readonly args: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    /** A program that does not become another user by itself is started as this one. */
    readonly runAs?: ServerUser | undefined;
  };
  readonly reloadSignal: NodeJS.Signals;
  /** A line of the error log that appears once for the start and once more for every reload. */
  readonly readyLine: RegExp;
}

/** Every recipe writes its log here. */
export const ERROR_LOG = "error.log";

/** Writes the configuration, starts the program in the foreground, and waits until it accepts. */
export async function startWebServer(recipe: Recipe): Promise<WebServer> {
  const folder = temporaryFolder(recipe.name);
  const documentRoot = recipe.documentRoot ?? join(folder, "public");
  mkdirSync(documentRoot, { recursive: true });
  const user = serverUser();
  // lighttpd and php-fpm open their logs only after they have become www-data.
  if (user) chownSync(folder, user.uid, user.gid);
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const { files, args, env, runAs } = recipe.prepare({ port, folder, documentRoot, user });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const running = start(recipe.program, args, {
      cwd: folder,
      ...(env ? { env: { ...process.env, ...env } } : {}),
      ...(runAs ? { uid: runAs.uid, gid: runAs.gid } : {}),
    });
    const server = describeServer(recipe, folder, port, running);
    await waitFor(async () => running.exit ?? (await isListening({ host: "127.0.0.1", port })), {
      timeoutMs: 15_000,
      what: `${recipe.name} to accept connections`,
      evidence: server.errorLog,
    });
    if (!running.exit) return server;
    // Somebody took the port between our look and the server's.
    if (attempt < 3 && /address already in use/i.test(server.errorLog())) continue;
    throw new Error(`${recipe.name} ended at once:\n${server.errorLog()}`);
  }
}

function describeServer(recipe: Recipe, folder: string, port: number, running: Running): WebServer {
  const logFile = join(folder, ERROR_LOG);
  const written = (): string => (existsSync(logFile) ? readFileSync(logFile, "utf8") : "");
  const errorLog = (): string => written() + running.output();
  const readyCount = (): number => errorLog().match(new RegExp(recipe.readyLine, "g"))?.length ?? 0;
  const origin = `http://127.0.0.1:${port}`;
  return {
    name: recipe.name,
    version: recipe.version,
    port,
    origin,
    url: origin + recipe.mount,
    folder,
    process: running,
    errorLog,
    errorLogFromNow() {
      // Both grow: a position in the two together would move with what is printed meanwhile.
      const [lines, printed] = [written().length, running.output().length];
      return () => written().slice(lines) + running.output().slice(printed);
    },
    waitForErrorLog: (pattern, timeoutMs = 5000) =>
      waitFor(() => pattern.exec(errorLog()), {
        timeoutMs,
        what: `${pattern} in the error log of ${recipe.name}`,
        evidence: errorLog,
      }) as Promise<RegExpExecArray>,
    async reload() {
      await waitFor(readyCount, {
        timeoutMs: 10_000,
        what: `${recipe.name} to have started`,
        evidence: errorLog,
      });
      const before = readyCount();
      running.signal(recipe.reloadSignal);
      await waitFor(() => readyCount() > before, {
        timeoutMs: 10_000,
        what: `${recipe.name} to reload`,
        evidence: errorLog,
      });
    },
    stop: () => running.stop(),
  };
}

/** `-v` of a server, which prints to either stream and ends with any code. */
export function versionOf(program: string, args: readonly string[], pattern: RegExp): string {
  const output = execFileSync("sh", ["-c", '"$0" "$@" 2>&1', program, ...args], { encoding: "utf8" });
  const found = pattern.exec(output);
  if (!found) throw new Error(`${program} ${args.join(" ")} says no version:\n${output}`);
  return found[1] ?? found[0];
}
