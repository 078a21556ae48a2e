/**
 * Looks at the records of one connection: counts what comes, knows when, and prints them for `--trace`. The client
 * hears nothing of it.
 */
import type { WireTap } from "../../client/tap.ts";
import { RecordType } from "../../protocol/records.ts";
import { RecordFeed } from "../record-feed.ts";
import { notRecordsLines, ParamsView, recordLines, type SeenRecord } from "../record-text.ts";

export interface WatchOptions {
  readonly trace: boolean;
  readonly hex: boolean;
  readonly width: number;
  readonly print: (line: string) => void;
}

export class Watch implements WireTap {
  /** performance.now() of the connection, and of the first byte of STDOUT; 0 while it has not come. */
  connectedAt = 0;
  answeredAt = 0;
  stdoutBytes = 0;
  stderrBytes = 0;
  readonly #options: WatchOptions;
  readonly #params: ParamsView = new ParamsView();
  readonly #sent: RecordFeed | undefined;
  readonly #received: RecordFeed;
  readonly #start = performance.now();

  constructor(options: WatchOptions) {
    this.#options = options;
    const keptBytes = options.trace ? 65535 : 0;
    const now = (): number => performance.now() - this.#start;
    const sink = {
      onRecord: (record: SeenRecord) => this.#onRecord(record),
      onNotRecords: (seen: Parameters<typeof notRecordsLines>[0]) => {
        if (options.trace) this.#print(notRecordsLines(seen, { ...options, time: true }));
      },
    };
    this.#sent = options.trace ? new RecordFeed(sink, { towards: "application", keptBytes, now }) : undefined;
    this.#received = new RecordFeed(sink, { towards: "web server", keptBytes, now });
  }

  onConnect(): void {
    this.connectedAt = performance.now();
  }

  onSent(bytes: Uint8Array): void {
    this.#sent?.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  }

  onReceived(chunk: Buffer): void {
    this.#received.push(chunk);
  }

  /** The connection is over. */
  end(): void {
    this.#sent?.end();
    this.#received.end();
  }

  #onRecord(record: SeenRecord): void {
    if (record.type === RecordType.Stdout && record.towards === "web server") {
      this.stdoutBytes += record.contentLength;
      if (this.answeredAt === 0 && record.contentLength > 0) this.answeredAt = performance.now();
    } else if (record.type === RecordType.Stderr) {
      this.stderrBytes += record.contentLength;
    }
    if (!this.#options.trace) return;
    const { hex, width } = this.#options;
    this.#print(recordLines(record, { hex, width, time: true }));
    this.#print(this.#params.lines(record, width));
  }

  #print(lines: readonly string[]): void {
    for (const line of lines) this.#options.print(line);
  }
}
