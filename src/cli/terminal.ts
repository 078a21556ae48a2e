/** What a command that prints uses of its process, so that tests can put something else in its place. */

/** Where a command writes; `process.stdout` is one. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  /** @returns false when it is full: then `drain` follows */
  write(text: string): boolean;
  on(event: "resize" | "drain" | "error", listener: (error?: Error) => void): unknown;
  off(event: "resize" | "drain" | "error", listener: (error?: Error) => void): unknown;
}

/** Where keys come from; `process.stdin` is one. */
export interface Input {
  readonly isTTY?: boolean;
  setRawMode?(isRaw: boolean): unknown;
  on(event: "data", listener: (piece: Buffer) => void): unknown;
  off(event: "data", listener: (piece: Buffer) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

export interface Terminal {
  readonly stdout: Output;
  readonly stderr: Pick<Output, "write">;
  readonly stdin: Input;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  /** Of the process, when it ends by itself. */
  setExitCode(code: number): void;
  /** Calls back when the process is asked to end or ends; returns what takes that back. */
  onEnd(listener: () => void): () => void;
}

const END_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The terminal of this process. */
export function processTerminal(): Terminal {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    // Only for who reads keys: looking at it makes descriptor 0 non-blocking, for all who hold it.
    get stdin() {
      return process.stdin;
    },
    env: process.env,
    uid: process.getuid?.() ?? 0,
    setExitCode: (code) => {
      process.exitCode = code;
    },
    onEnd: (listener) => {
      for (const signal of END_SIGNALS) process.on(signal, listener);
      process.on("exit", listener);
      return () => {
        for (const signal of END_SIGNALS) process.off(signal, listener);
        process.off("exit", listener);
      };
    },
  };
}

/** Whether escape sequences for colour may be written: to a terminal, unless NO_COLOR says no. */
export function hasColour({ stdout, env }: Terminal): boolean {
  return stdout.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
}

/** Columns of the terminal, which may say 0 when it does not know; elsewhere enough for a URL of common length. */
export function columnsOf({ stdout, env }: Terminal): number {
  return stdout.isTTY === true ? stdout.columns || 80 : Number(env["COLUMNS"]) || 120;
}
