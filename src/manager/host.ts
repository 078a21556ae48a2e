/**
 * What stands around the manager: the log, the pid file, the control socket, the guardian, signals, and systemd. The
 * only file that installs signal handlers for the manager.
 */
import { type Logger, type LogLevelName, lineLogger } from "../base/log.ts";
import type { Configuration } from "../config/types.ts";
import type { Commands } from "./commands.ts";
import { type ControlSocket, openControl } from "./control.ts";
import { Guardian } from "./guardian.ts";
import { meaningOf, StopSignals } from "./lifecycle.ts";
import { type LogFile, openLogFile } from "./log-file.ts";
import { createNotifier, type Notifier } from "./notify.ts";
import { type PidFile, writePidFile } from "./pid-file.ts";

/** What a worker gets beyond its drain timeout when the manager is gone, ms. */
const GUARD_MS = 5000;

const SIGNALS = [
  "SIGTERM",
  "SIGINT",
  "SIGQUIT",
  "SIGHUP",
  "SIGUSR1",
  "SIGUSR2",
  "SIGTTIN",
  "SIGTTOU",
] as const;

/** The manager as signals see it. */
export interface Signalled extends Commands {
  readonly isStopping: boolean;
  scaleAll(change: 1 | -1): void;
}

export class Host {
  readonly logger: Logger;
  readonly logLevel: LogLevelName;
  /** Writes finished lines to the log. */
  readonly write: (line: string) => void;
  readonly guardian: Guardian;
  readonly now = (): number => performance.now();
  readonly #configuration: Configuration;
  readonly #log: LogFile;
  readonly #notifier: Notifier;
  readonly #stopSignals = new StopSignals();
  #control: ControlSocket | undefined = undefined;
  #pidFile: PidFile | undefined = undefined;
  #onSignal: ((signal: NodeJS.Signals) => void) | undefined = undefined;
  readonly #onExit = (): void => this.#pidFile?.remove();

  /** @throws {SettingError} the log file cannot be opened */
  constructor(configuration: Configuration, env: NodeJS.ProcessEnv) {
    const { manager, pools } = configuration;
    this.#configuration = configuration;
    this.#log = openLogFile(manager.logFile);
    this.write = this.#log.write;
    this.logLevel = manager.logLevel;
    this.logger = lineLogger(this.write, manager.logLevel);
    this.#notifier = createNotifier(env, this.logger);
    const drainMs = Math.max(
      ...pools.map(({ drainDelayMs, drainTimeoutMs }) => drainDelayMs + drainTimeoutMs),
    );
    this.guardian = new Guardian(drainMs + GUARD_MS, this.logger);
  }

  /** @throws {SettingError} the control socket or the pid file cannot be had */
  async begin(manager: Signalled): Promise<void> {
    const { controlSocket, pidFile, name } = this.#configuration.manager;
    process.title = `postern: manager ${name}`;
    process.on("exit", this.#onExit);
    this.#control = await openControl(controlSocket, manager, this.logger);
    if (pidFile !== undefined) this.#pidFile = writePidFile(pidFile);
    this.#onSignal = (signal) => this.#obey(signal, manager);
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  onReady(status: string): void {
    this.#notifier.ready(status);
  }

  onReloading(): void {
    this.#notifier.reloading();
  }

  onStopping(): void {
    this.#notifier.stopping();
  }

  reopenLogs(): void {
    this.#log.reopen();
    this.logger.info({}, "log reopened");
  }

  /** Takes everything back. Safe to call without `begin`. */
  async end(): Promise<void> {
    if (this.#onSignal !== undefined) for (const signal of SIGNALS) process.off(signal, this.#onSignal);
    this.guardian.close();
    await this.#control?.close();
    this.#notifier.close();
    await this.#notifier.flush();
    this.#pidFile?.remove();
    process.off("exit", this.#onExit);
    this.#log.close();
  }

  #obey(signal: NodeJS.Signals, manager: Signalled): void {
    const meaning = meaningOf(signal);
    this.logger.debug({ signal, meaning }, "signal");
    switch (meaning) {
      case "stop":
        // Whoever sends a second one does not want to wait.
        if (!this.#stopSignals.isEcho(signal, this.now()))
          manager.stop(manager.isStopping ? "now" : "graceful");
        return;
      case "reload":
        void manager.reload(undefined, undefined);
        return;
      case "reopenLogs":
        manager.reopenLogs();
        return;
      case "more":
        manager.scaleAll(1);
        return;
      case "less":
        manager.scaleAll(-1);
        return;
      case undefined:
        return;
    }
  }
}
