/**
 * What a tap shows: lines for people, one object a line for programs, or the state of a screen that somebody else draws.
 * Decides what is shown; where it goes is given.
 */
import { ascii, printable } from "../../status/text.ts";
import type { Exchange, Side } from "../capture/conversation.ts";
import type { Broken } from "../capture/cutter.ts";
import {
  type NotRecords,
  notRecordsLines,
  ParamsView,
  recordLines,
  type SeenRecord,
} from "../record-text.ts";
import type { Filter } from "./filter.ts";
import type { Listed } from "./live.ts";
import { Summary } from "./summary.ts";
import type { TapSink } from "./tap.ts";
import { jsonLine, paramLines, requestLine, requestObject, stderrLine } from "./view.ts";

export interface WatcherOptions {
  readonly filter: Filter;
  /** Whether the filter leaves anything out. */
  readonly isFiltered: boolean;
  readonly how: "lines" | "json" | "live";
  readonly withParams: boolean;
  readonly withStderr: boolean;
  readonly withSecrets: boolean;
  /** As {@link recordLines} takes it. */
  readonly hex: boolean | number;
  readonly width: number;
  line(text: string): void;
  trouble(text: string): void;
}

/** Ended requests kept for the screen. */
const MOST_LISTED = 500;
/** Lines of STDERR kept until it is known whether their request is shown. */
const MOST_STDERR = 100;
/** The same trouble is told again after this, ms: a dead application would be told for every visitor. */
const QUIET_MS = 10_000;

export class Watcher implements TapSink {
  readonly summary: Summary = new Summary();
  /** Open requests that may be shown. */
  readonly open: Map<Exchange, Listed> = new Map();
  readonly ended: Listed[] = [];
  notice: string | undefined;
  readonly #options: WatcherOptions;
  readonly #stderr = new Map<Exchange, string[]>();
  readonly #views = new Map<number, ParamsView>();
  readonly #told = new Map<string, number>();

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  onBegin(connection: number, exchange: Exchange): void {
    if (this.#options.how === "live") this.open.set(exchange, { connection, exchange });
  }

  onEnd(connection: number, exchange: Exchange): void {
    const { filter, how, withParams, withSecrets, withStderr, width, line } = this.#options;
    this.summary.add(connection, exchange);
    this.open.delete(exchange);
    const stderr = this.#stderr.get(exchange) ?? [];
    this.#stderr.delete(exchange);
    if (!filter(exchange)) return;
    if (how === "live") {
      this.ended.push({ connection, exchange });
      if (this.ended.length > MOST_LISTED) this.ended.shift();
      return;
    }
    if (how === "json") {
      const time = new Date(performance.timeOrigin + exchange.beginMs).toISOString();
      const object = requestObject(exchange, { withSecrets, withParams });
      line(jsonLine({ event: "request", time, connection, ...object, stderr: exchange.stderr }));
      return;
    }
    line(requestLine(connection, exchange, performance.now()));
    if (withParams) for (const text of paramLines(exchange, withSecrets, width)) line(text);
    if (withStderr) for (const text of stderr) line(stderrLine(connection, exchange, text));
  }

  onStderr(connection: number, exchange: Exchange, text: string): void {
    const { how, withStderr, isFiltered, line } = this.#options;
    if (how === "live") this.notice = `stderr of ${connection}/${exchange.id}: ${ascii(text)}`;
    if (how !== "lines" || !withStderr) return;
    if (!isFiltered) {
      line(stderrLine(connection, exchange, text));
      return;
    }
    const kept = this.#stderr.get(exchange) ?? [];
    this.#stderr.set(exchange, kept);
    if (kept.length < MOST_STDERR) kept.push(text);
  }

  onBroken(connection: number, side: Side, broken: Broken): void {
    const { how, line } = this.#options;
    const text = `connection ${connection}, from the ${side}: ${broken.says}; it is passed on as it is`;
    this.notice = text;
    if (how === "json") {
      const { offset, speaks = null } = broken;
      line(jsonLine({ event: "not-fastcgi", connection, from: side, offset, speaks, says: broken.says }));
    } else if (how === "lines") line(`${" ".repeat(12)} ${printable(text)}`);
  }

  onRecord(connection: number, record: SeenRecord): void {
    const { how, hex, width, line } = this.#options;
    if (how === "json") {
      const { towards, type, requestId, contentLength, paddingLength, at } = record;
      line(
        jsonLine({
          event: "record",
          connection,
          towards,
          type,
          requestId,
          contentLength,
          paddingLength,
          atMs: at,
        }),
      );
      return;
    }
    if (how !== "lines") return;
    const prefix = `${String(connection).padStart(5)} `;
    const room = width - prefix.length;
    const lines = recordLines(record, { hex, width: room, time: true });
    if (hex === false) lines.push(...this.#view(connection, record).lines(record, room));
    for (const text of lines) line(prefix + text);
  }

  onNotRecords(connection: number, seen: NotRecords): void {
    const { how, hex, width, line } = this.#options;
    if (how !== "lines") return;
    const prefix = `${String(connection).padStart(5)} `;
    for (const text of notRecordsLines(seen, { hex, width: width - prefix.length, time: true }))
      line(prefix + text);
  }

  onClose(connection: number): void {
    this.#views.delete(connection);
  }

  onTrouble(text: string): void {
    this.notice = printable(text);
    const now = performance.now();
    const last = this.#told.get(text);
    if (last !== undefined && now - last < QUIET_MS) return;
    if (this.#told.size > 100) this.#told.clear();
    this.#told.set(text, now);
    this.#options.trouble(text);
  }

  /** Parameters go in one direction only. */
  #view(connection: number, { towards }: SeenRecord): ParamsView {
    if (towards === "web server") return NO_PARAMS;
    let view = this.#views.get(connection);
    if (view === undefined) {
      view = new ParamsView();
      this.#views.set(connection, view);
    }
    return view;
  }
}

const NO_PARAMS: ParamsView = new ParamsView();
