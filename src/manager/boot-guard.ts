/**
 * What would end the process while it loads an application, and leave a visitor who waits without a word: an error that
 * nobody catches, `process.exit()`, an await that nothing will ever settle, or one that takes too long. Here each of them
 * is a failure to start, like any other, so that it can be answered; and a signal waits until then. For programs that a
 * web server has started.
 */
import { SettingError } from "../base/errors.ts";
import { oneLine } from "../base/text.ts";

/** Thrown by `process.exit()`, since what follows it must not run. */
class Ended extends Error {
  override readonly name: string = "Ended";
}

export class BootGuard {
  #file = "";
  #onFailure: (error: SettingError) => void = () => {};
  #timer: NodeJS.Timeout | undefined = undefined;
  #undo: (() => void) | undefined = undefined;
  #lastLine = "";
  #signal: NodeJS.Signals | undefined = undefined; // came meanwhile

  /** From now on SIGTERM waits for {@link passSignalOn}: mod_fcgid has started this process for a visitor who waits. */
  holdSignal(): void {
    process.on("SIGTERM", this.#onSignal);
  }

  /** Whoever has waited will be answered: a signal that came meanwhile counts now. Not before somebody listens to it. */
  passSignalOn(): void {
    process.off("SIGTERM", this.#onSignal);
    if (this.#signal !== undefined) process.emit(this.#signal, this.#signal);
    this.#signal = undefined;
  }

  /**
   * From now on until {@link release}.
   * @param timeoutMs how long loading may take; 0 is for ever
   * @param onFailure may be called several times; the first is why
   */
  begin(file: string, timeoutMs: number, onFailure: (error: SettingError) => void): void {
    this.#file = file;
    this.#onFailure = onFailure;
    const { exit, stderr } = process;
    const { write } = stderr;
    process.exit = (code) => this.#onExit(code);
    stderr.write = (...args: unknown[]): boolean => {
      this.#onPrinted(args[0]);
      return Reflect.apply(write, stderr, args) as boolean;
    };
    process.on("uncaughtException", this.#onUncaught);
    process.on("beforeExit", this.#onIdle);
    if (timeoutMs > 0) this.#timer = setTimeout(() => this.#onTooLate(timeoutMs), timeoutMs).unref();
    this.#undo = () => {
      process.exit = exit;
      stderr.write = write;
    };
  }

  /** Everything is as it was. Not after a failure, before the process ends: what is left of the application goes on. */
  release(): void {
    clearTimeout(this.#timer);
    this.#undo?.();
    this.#undo = undefined;
    process.off("uncaughtException", this.#onUncaught);
    process.off("beforeExit", this.#onIdle);
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#signal = signal;
  };

  #onExit(code: number | string | null | undefined): never {
    // The usual way to say that a variable of the environment is missing: print it, and go.
    const said = this.#lastLine === "" ? "" : `: ${this.#lastLine}`;
    this.#fail(`${this.#application}: it called process.exit(${code ?? ""}) while it was loaded${said}`);
    throw new Ended("the application ended the process while it was loaded");
  }

  #onPrinted(text: unknown): void {
    const lines = typeof text === "string" ? text.split("\n").filter((line) => line.trim() !== "") : [];
    if (lines.length > 0) this.#lastLine = oneLine(lines.at(-1));
  }

  readonly #onUncaught = (error: unknown): void => {
    if (error instanceof Ended) return;
    const stack = error instanceof Error ? (error.stack ?? String(error)) : String(error);
    this.#fail(`application ${this.#file} could not be loaded:\n${stack}`, error);
  };

  readonly #onIdle = (): void => {
    this.#failLater(
      `${this.#application}: it awaits something that nothing will ever settle, while it is loaded`,
    );
  };

  #onTooLate(timeoutMs: number): void {
    this.#failLater(
      `${this.#application}: it was not ready within ${timeoutMs} ms (readyTimeout): an await that does not settle, while it is loaded, or work that takes longer`,
    );
  }

  get #application(): string {
    return `application ${this.#file}`;
  }

  /** Who loads the application may know better, at the same moment. */
  #failLater(message: string): void {
    setImmediate(() => this.#fail(message));
  }

  #fail(message: string, cause?: unknown): void {
    this.#onFailure(new SettingError("ERR_POSTERN_APP_LOAD", message, { cause }));
  }
}
