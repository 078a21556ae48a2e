/**
 * `postern dev` at work: one worker that is started anew after each change, the gateway or a real web server in front of
 * it, and what is told in the terminal.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isLoopback } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { type Logger, lineLogger } from "../base/log.ts";
import { escapeControls } from "../base/text.ts";
import { pythonSource } from "../config/python-app.ts";
import type { PoolSettings } from "../config/types.ts";
import type { AccessEntry, Gateway } from "../gateway/index.ts";
import { bootReason } from "../manager/boot-reason.ts";
import { shortPath } from "../manager/dev-report.ts";
import { Guardian } from "../manager/guardian.ts";
import { holdSocket } from "../server/held-socket.ts";
import type { WebServerName } from "../sites/index.ts";
import { openDevFront } from "./dev-front.ts";
import { DevWatch } from "./dev-watch.ts";
import { canConnect, type DevWebServer, startDevWebServer } from "./dev-web-server.ts";
import { DevWorker } from "./dev-worker.ts";
import { hasColour, type Terminal } from "./terminal.ts";

export interface DevOptions {
  readonly pool: PoolSettings;
  readonly host: string;
  readonly port: number;
  /** Whether the port was asked for: then no other will do. */
  readonly isPortAsked: boolean;
  readonly mount: string | undefined;
  readonly server: WebServerName | undefined;
  /** More files and folders to watch. */
  readonly watch: readonly string[];
  /** Whether errors are shown with their sources. */
  readonly hasSources: boolean;
  readonly terminal: Terminal;
}

const GUARD_MS = 1000;
const RED = 31;
const GREEN = 32;
const YELLOW = 33;
const GREY = 90;

export class DevServer {
  readonly #options: DevOptions;
  readonly #folder: string;
  /** What is loaded first. */
  readonly #file: string;
  readonly #isPython: boolean;
  readonly #home: string;
  readonly #hasColour: boolean;
  readonly #watch: DevWatch;
  #worker: DevWorker | undefined = undefined;
  #gateway: Gateway | undefined = undefined;
  #web: DevWebServer | undefined = undefined;
  #guardian: Guardian | undefined = undefined;
  #release: () => void = () => {};
  #isFirst = true;
  #startedAt = 0; // ms of the epoch
  #isClosed = false;

  constructor(options: DevOptions) {
    const { program, chdir } = options.pool;
    if (program.kind !== "app") {
      throw new SettingError("ERR_POSTERN_BAD_SETTING", "postern dev runs an application, not a command");
    }
    this.#options = options;
    this.#isPython = program.language === "python";
    this.#file = (this.#isPython && pythonSource(program.file)) || program.file;
    this.#folder = chdir;
    this.#home = mkdtempSync(join(tmpdir(), "postern-dev-"));
    this.#hasColour = hasColour(options.terminal);
    this.#watch = new DevWatch({
      onFirst: () => this.#worker?.retire(),
      onChange: (files) => this.#onChange(files),
    });
  }

  /** Starts everything. Resolves when it accepts requests. @throws {SettingError} */
  async begin(): Promise<void> {
    try {
      await this.#begin();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #begin(): Promise<void> {
    const { pool, hasSources } = this.#options;
    const logger = this.#makeLogger();
    // A web server has workers of another user.
    chmodSync(this.#home, 0o755);
    const at = async (name: string): ReturnType<typeof holdSocket> =>
      holdSocket(
        { kind: "unix", path: join(this.#home, name) },
        {
          mode: this.#options.server === undefined ? 0o600 : 0o666,
          owner: undefined,
          group: undefined,
          backlog: 511,
          allowedClients: { isStated: true },
        },
        process.env,
      );
    const sockets = { fastcgi: await at("app.sock"), wsHttp: await at("ws.sock") };
    this.#release = () => {
      for (const socket of Object.values(sockets)) socket.close();
    };
    this.#guardian = new Guardian(GUARD_MS, logger);
    this.#worker = new DevWorker(pool, sockets, {
      hasSources,
      logger,
      guardian: this.#guardian,
      sink: {
        onUp: (tookMs) => this.#onUp(tookMs),
        onFailure: (text) => this.#onFailure(text),
        onFiles: (files) => {
          const own = files.filter(
            (file) => file.startsWith(`${this.#folder}/`) && !file.includes("/site-packages/"),
          );
          this.#watch.add(own, this.#startedAt);
        },
        onLine: (line) => this.#say(escapeControls(line)),
      },
    });
    this.#watch.add([this.#file, join(this.#folder, "package.json"), ...pool.envFile]);
    // Python says which modules it has loaded, but not which templates.
    const templates = join(this.#folder, "templates");
    if (this.#isPython && existsSync(templates)) this.#watch.addWhole(templates);
    for (const path of this.#options.watch) this.#watch.addWhole(path);
    const url = await this.#openFront();
    this.#start();
    this.#say(`${this.#paint(GREEN, "open")} ${url}`);
    if (!this.#isLocal) {
      this.#say(
        "everybody who reaches that address sees the application; errors are shown without sources there",
      );
    }
  }

  /** Ends everything, at once. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watch.close();
    this.#gateway?.server.closeAllConnections();
    await Promise.all([this.#worker?.close(), this.#web?.close(), this.#gateway?.close()]);
    this.#guardian?.close();
    this.#release();
    rmSync(this.#home, { recursive: true, force: true });
  }

  /** Errors of the application in lines of their own; for the rest a log's line. */
  #makeLogger(): Logger {
    const lines = lineLogger((line) => this.#say(line.trimEnd()), "warn");
    return {
      ...lines,
      error: (fields, message) => {
        const { error, method, url } = fields as Readonly<Record<string, unknown>>;
        if (typeof error !== "string") {
          lines.error(fields, message);
          return;
        }
        const request = typeof url === "string" ? ` (${String(method)} ${url})` : "";
        const stack = error.split("\n").map(escapeControls).join("\n");
        this.#say(this.#paint(RED, `${escapeControls(`${message}${request}`)}: ${stack}`));
      },
    };
  }

  get #isLocal(): boolean {
    const { host } = this.#options;
    return host === "localhost" || isLoopback(host);
  }

  /** @returns the URL */
  async #openFront(): Promise<string> {
    const { server, host, port, isPortAsked, pool, mount } = this.#options;
    const socket = join(this.#home, "app.sock");
    const wsSocket = this.#isPython ? undefined : join(this.#home, "ws.sock");
    if (server === undefined) {
      const files = pool.static;
      const front = {
        host,
        port,
        isAsked: isPortAsked,
        connect: `unix:${socket}`,
        wsPath: wsSocket,
        files,
        mount,
      };
      this.#gateway = await openDevFront({ ...front, onAccess: (entry) => this.#onAccess(entry) });
      return this.#gateway.url ?? "";
    }
    const folder = join(this.#home, server);
    mkdirSync(folder);
    const address = host === "localhost" ? "127.0.0.1" : host;
    const free = await this.#freePort(address);
    this.#web = await startDevWebServer({
      ...{ server, pool, host: address, port: free, mount, folder, socket, wsSocket },
      onLine: (line) => this.#say(`${this.#paint(GREY, `${server}:`)} ${line}`),
      onEnd: (how) => this.#say(this.#paint(RED, `${server} has ended: ${how}`)),
    });
    this.#guardian?.add(this.#web.pid, false);
    return `http://${host}:${free}${mount ?? ""}/ (${server})`;
  }

  async #freePort(host: string): Promise<number> {
    const { port, isPortAsked } = this.#options;
    for (let free = port; free < port + 20; free++) {
      if (!(await canConnect(host, free))) return free;
      if (isPortAsked) break;
    }
    throw new SettingError(
      "ERR_POSTERN_ADDRESS",
      `--port ${port}: something else listens there already; stop it, or choose another port`,
    );
  }

  #onUp(tookMs: number): void {
    const what = this.#isFirst ? "ready" : "reloaded";
    this.#isFirst = false;
    this.#watch.setWide(false);
    this.#say(this.#paint(GREEN, `${what} in ${Math.round(tookMs)} ms`));
  }

  #onFailure(text: string): void {
    this.#watch.setWide(true);
    this.#say(this.#paint(RED, text.trimEnd().split("\n").map(escapeControls).join("\n")));
    this.#say(this.#paint(YELLOW, `${bootReason(text, this.#file)}: waiting for a change`));
  }

  #onChange(files: readonly string[]): void {
    const [first = ""] = files;
    const more = files.length > 1 ? ` and ${files.length - 1} more` : "";
    this.#say(this.#paint(GREY, `changed: ${escapeControls(shortPath(first, this.#folder))}${more}`));
    this.#watch.rebase();
    if (files.some((one) => this.#options.pool.envFile.includes(one))) this.#worker?.dropSpare();
    this.#start();
  }

  #start(): void {
    this.#startedAt = Date.now();
    this.#worker?.start();
  }

  #onAccess({ method, target, status, durationMs }: AccessEntry): void {
    if (target.endsWith("/.postern/changes")) return;
    const colour = status >= 500 ? RED : status >= 400 ? YELLOW : GREEN;
    const shown = `${escapeControls(method)} ${escapeControls(target)}`;
    this.#say(
      `${this.#paint(colour, String(status))} ${shown} ${this.#paint(GREY, `${Math.round(durationMs)} ms`)}`,
    );
  }

  #paint(colour: number, text: string): string {
    return this.#hasColour ? `\x1b[${colour}m${text}\x1b[0m` : text;
  }

  #say(line: string): void {
    this.#options.terminal.stderr.write(`${line}\n`);
  }
}
