/**
 * Where Postern's own messages go. Anything with pino's shape fits; nothing here formats for machines
 * beyond one line per message, and nothing is ever written to stdout (under plain CGI that is the response).
 */
import { escapeControls } from "./text.ts";

/** Structured facts beside a message. */
export type LogFields = Readonly<Record<string, unknown>>;

/** pino's calling convention: fields first, then one sentence. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export const LogLevel = { debug: 10, info: 20, warn: 30, error: 40, silent: 99 } as const;
export type LogLevelName = keyof typeof LogLevel;

/** Discards everything. */
export const silentLogger: Logger = {
  debug(): void {},
  info(): void {},
  warn(): void {},
  error(): void {},
};

/** A logger that never throws: what goes wrong in somebody's logger must not take requests with it. */
export function safeLogger(logger: Logger): Logger {
  const at =
    (level: "debug" | "info" | "warn" | "error") =>
    (fields: LogFields, message: string): void => {
      try {
        logger[level](fields, message);
      } catch {
        // There is no place left to say so.
      }
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/**
 * One line per message: `2026-11-22T10:00:00.000Z warn  message key=value`.
 * Control characters are escaped, so a client cannot forge a line.
 * @param write receives each finished line, newline included
 * @param level least severe level that is written; default `info`
 */
export function lineLogger(write: (line: string) => void, level: LogLevelName = "info"): Logger {
  const least = LogLevel[level];
  const at = (name: LogLevelName) => {
    if (LogLevel[name] < least) return (): void => {};
    const tag = name.padEnd(5);
    return (fields: LogFields, message: string): void => {
      let line = `${new Date().toISOString()} ${tag} ${escapeControls(message)}`;
      for (const [key, value] of Object.entries(fields)) {
        if (value !== undefined) line += ` ${key}=${printField(value)}`;
      }
      write(`${line}\n`);
    };
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** The default: lines on the process's standard error, whatever becomes of that descriptor. */
export function stderrLogger(level: LogLevelName = "info"): Logger {
  return lineLogger((line) => process.stderr.write(line), level);
}

function printField(value: unknown): string {
  if (value instanceof Error) return printField(value.stack ?? String(value));
  if (typeof value === "string" && /^[\w./:@%+,-]+$/.test(value)) return value;
  // JSON leaves DEL and C1 alone, and U+009B begins a terminal's escape sequence as ESC [ does.
  return escapeControls(JSON.stringify(value) ?? String(value));
}
