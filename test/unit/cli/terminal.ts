/** A terminal that is an object: keeps what is written, and lets a test press keys. */
import { EventEmitter } from "node:events";
import { Command, CommanderError } from "commander";
import { PosternError } from "../../../src/base/errors.ts";
import { controlCommands } from "../../../src/cli/commands/control.ts";
import type { Terminal } from "../../../src/cli/terminal.ts";

class FakeOutput extends EventEmitter {
  text = "";
  isTTY = false;
  columns = 100;
  rows = 24;

  write(text: string): boolean {
    this.text += text;
    return true;
  }
}

class FakeInput extends EventEmitter {
  isTTY = false;
  isRaw = false;
  isReading = false;

  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw;
  }

  resume(): void {
    this.isReading = true;
  }

  pause(): void {
    this.isReading = false;
  }
}

export class FakeTerminal implements Terminal {
  readonly stdout: FakeOutput = new FakeOutput();
  readonly stderr: FakeOutput = new FakeOutput();
  readonly stdin: FakeInput = new FakeInput();
  readonly env: Record<string, string>;
  readonly uid: number = process.getuid?.() ?? 0;
  exitCode = 0;
  readonly #ends = new Set<() => void>();

  constructor(runFolder: string) {
    this.env = { POSTERN_RUN_DIR: runFolder };
  }

  setExitCode(code: number): void {
    this.exitCode = code;
  }

  onEnd(listener: () => void): () => void {
    this.#ends.add(listener);
    return () => this.#ends.delete(listener);
  }

  /** How many want to know of the end. */
  get enders(): number {
    return this.#ends.size;
  }

  /** A signal comes. */
  end(): void {
    for (const listener of this.#ends) listener();
  }

  asTty(): this {
    this.stdout.isTTY = true;
    this.stdin.isTTY = true;
    return this;
  }
}

/** Runs a command line; what it prints, and with which exit code `main.ts` would end. */
export async function runCommand(
  terminal: FakeTerminal,
  ...words: string[]
): Promise<{ code: number; error: string }> {
  const program = new Command("postern").exitOverride();
  let usage = "";
  program.configureOutput({
    writeErr: (text) => {
      usage += text;
    },
  });
  for (const command of controlCommands(terminal)) program.addCommand(command.copyInheritedSettings(program));
  try {
    await program.parseAsync(words, { from: "user" });
    return { code: terminal.exitCode, error: terminal.stderr.text };
  } catch (error) {
    if (error instanceof CommanderError) return { code: 2, error: usage };
    if (error instanceof PosternError) return { code: 2, error: error.message };
    throw error;
  }
}
