/**
 * Writes the connections of a tap to a folder: for each the bytes of the web server (`.bin`), those of the application
 * (`.out.bin`) and, when it has ended, what is in them (`.json`). Bounded in files and bytes: the oldest recordings of this run make room.
 * Nothing waits for the disk: a connection that is faster than it is recorded up to there.
 */
import { createHash, type Hash } from "node:crypto";
import { createWriteStream, mkdirSync, rmSync, type WriteStream, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SettingError } from "../../base/errors.ts";
import { Conversation, type Ending, type Side } from "./conversation.ts";
import { RecordCutter } from "./cutter.ts";
import { Blinder } from "./secrets.ts";
import {
  foldRecord,
  type Sidecar,
  type SidecarEvent,
  type SidecarRecord,
  type SidecarRequest,
  sidecarRequest,
} from "./sidecar.ts";

export interface RecorderOptions {
  readonly folder: string;
  /** Bytes of all `.bin` files of this run together. */
  readonly maxBytes: number;
  /** Connections kept. */
  readonly maxConnections: number;
  /** Keep passwords and cookies. */
  readonly withSecrets: boolean;
  /** For the sidecar: which program recorded this. */
  readonly note: string;
  /** Something cannot be recorded. Told once for each reason. */
  onTrouble(text: string): void;
}

/** Bytes that may wait for the disk, of one connection. */
const MOST_WAITING = 16 * 1024 * 1024;
/** Lists of a sidecar end there: its connection may go on for days. */
const MOST_LISTED = 2000;
/** Events of the same direction closer than this are one, ms. */
const SAME_MS = 2;

export class Recorder {
  readonly options: RecorderOptions;
  readonly #stamp: string;
  readonly #finished: { base: string; bytes: number }[] = [];
  readonly #closing = new Set<Promise<void>>();
  readonly #told = new Set<string>();
  #open = 0;
  #count = 0;
  #bytes = 0;

  /** @throws {SettingError} when the folder cannot be made */
  constructor(options: RecorderOptions) {
    this.options = options;
    const now = new Date().toISOString().replace(/[-:]/g, "").slice(0, 15);
    this.#stamp = `${now}-${process.pid}`;
    try {
      mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new SettingError(
        "ERR_POSTERN_BAD_SETTING",
        `--record ${options.folder}: the folder cannot be made: ${(cause as Error).message}; name one that this user may write in`,
        { cause },
      );
    }
  }

  /** Connections recorded so far. */
  get connections(): number {
    return this.#count;
  }

  begin(): Recording {
    while (this.#finished.length > 0 && this.#finished.length + this.#open >= this.options.maxConnections) {
      this.#dropOldest();
    }
    const isFull = this.#open >= this.options.maxConnections;
    this.#open++;
    const name = `tap--${this.#stamp}-${String(++this.#count).padStart(6, "0")}`;
    const recording = new Recording(this, name);
    if (isFull) recording.cut(`more than ${this.options.maxConnections} connections were open at once`);
    return recording;
  }

  /** Resolves when all files of ended connections are written. */
  async close(): Promise<void> {
    await Promise.all(this.#closing);
  }

  /** @internal Whether so many bytes more are within the bound, once old recordings have made room. */
  takes(bytes: number): boolean {
    while (this.#bytes + bytes > this.options.maxBytes && this.#finished.length > 0) this.#dropOldest();
    if (this.#bytes + bytes > this.options.maxBytes) return false;
    this.#bytes += bytes;
    return true;
  }

  /** @internal */
  tell(text: string): void {
    if (this.#told.has(text)) return;
    this.#told.add(text);
    this.options.onTrouble(text);
  }

  /** @internal */
  ended(base: string, bytes: number, written: Promise<void>): void {
    const done = written.finally(() => {
      this.#closing.delete(done);
      this.#open--;
      this.#finished.push({ base, bytes });
    });
    this.#closing.add(done);
  }

  #dropOldest(): void {
    const oldest = this.#finished.shift();
    if (oldest === undefined) return;
    this.#bytes -= oldest.bytes;
    for (const ending of [".bin", ".out.bin", ".json"]) rmSync(oldest.base + ending, { force: true });
  }
}

/** One direction: where its bytes go. */
interface Track {
  readonly stream: WriteStream;
  readonly hash: Hash;
  readonly blinder: Blinder | undefined;
  bytes: number;
}

/** The recording of one connection. */
export class Recording {
  readonly #recorder: Recorder;
  readonly #name: string;
  readonly #base: string;
  readonly #start = performance.now();
  readonly #at = new Date();
  readonly #tracks: Readonly<Record<Side, Track>>;
  readonly #conversation: Conversation;
  readonly #lister: RecordCutter;
  readonly #records: SidecarRecord[] = [];
  readonly #requests: SidecarRequest[] = [];
  readonly #events: SidecarEvent[] = [];
  #leftOut = 0;
  #software = "unknown";
  #cut: string | undefined;
  #isOver = false;

  constructor(recorder: Recorder, name: string) {
    this.#recorder = recorder;
    this.#name = name;
    this.#base = join(recorder.options.folder, name);
    this.#tracks = { "web server": this.#track(".bin"), application: this.#track(".out.bin") };
    this.#lister = new RecordCutter({
      onRecord: (record) => {
        if (this.#records.length >= MOST_LISTED) this.#leftOut++;
        else foldRecord(this.#records, record);
      },
      onContent: () => {},
      onRecordEnd: () => {},
    });
    this.#conversation = new Conversation(
      {
        onParams: (exchange) => {
          this.#software = exchange.params?.get("SERVER_SOFTWARE") || this.#software;
        },
        onEnd: (exchange) => {
          if (this.#requests.length >= MOST_LISTED) this.#leftOut++;
          else this.#requests.push(sidecarRequest(exchange));
        },
      },
      { now: () => performance.now(), bodies: true },
    );
  }

  push(side: Side, chunk: Buffer): void {
    if (this.#cut !== undefined) return;
    const track = this.#tracks[side];
    if (track.stream.writableLength > MOST_WAITING) {
      this.cut("the disk did not keep up");
      return;
    }
    if (!this.#recorder.takes(chunk.length)) {
      this.cut(`the recordings have reached the ${this.#recorder.options.maxBytes} bytes of --record-max`);
      return;
    }
    const bytes = track.blinder?.push(chunk) ?? chunk;
    track.bytes += bytes.length;
    track.hash.update(bytes);
    track.stream.write(bytes);
    if (side === "web server") this.#lister.push(bytes);
    this.#conversation.push(side, bytes);
    this.#event(side === "web server" ? "in" : "out", bytes.length);
  }

  /** Something else that happened: an end, a reset. */
  note(event: string): void {
    if (this.#cut === undefined && this.#events.length < 2 * MOST_LISTED) {
      this.#events.push({ t: this.#now(), ev: event });
    }
  }

  /** Nothing more is recorded of it. */
  cut(why: string): void {
    if (this.#cut !== undefined) return;
    this.#cut = why;
    this.#recorder.tell(`a recording was cut short: ${why}`);
  }

  /** The connection is over. */
  end(how: Ending): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#conversation.close(how);
    const { "web server": asked, application: answered } = this.#tracks;
    const bytes = asked.bytes + answered.bytes;
    const written = Promise.all([this.#finish(asked), this.#finish(answered)]).then(() => {
      try {
        const text = `${JSON.stringify(this.#sidecar(), undefined, 1)}\n`;
        writeFileSync(`${this.#base}.json`, text, { mode: 0o600, flag: "wx" });
      } catch (error) {
        this.#recorder.tell(`cannot write to --record: ${(error as Error).message}`);
      }
    });
    this.#recorder.ended(this.#base, bytes, written);
  }

  #now(): number {
    return Math.round((performance.now() - this.#start) * 10) / 10;
  }

  #track(ending: string): Track {
    const stream = createWriteStream(this.#base + ending, { flags: "wx", mode: 0o600 });
    stream.on("error", (error) => {
      this.#recorder.tell(`cannot write to --record: ${error.message}`);
      this.cut(error.message);
    });
    const blinder = this.#recorder.options.withSecrets ? undefined : new Blinder();
    return { stream, hash: createHash("sha256"), blinder, bytes: 0 };
  }

  #finish({ stream }: Track): Promise<void> {
    return new Promise((resolve) => {
      stream.once("close", resolve);
      if (stream.closed) resolve();
      else stream.end();
    });
  }

  #event(ev: "in" | "out", n: number): void {
    const last = this.#events.at(-1);
    const t = this.#now();
    const isFull = this.#events.length >= 2 * MOST_LISTED;
    if (last?.n !== undefined && last.ev === ev && (isFull || t - last.t < SAME_MS)) {
      last.n += n;
      last.chunks = (last.chunks ?? 1) + 1;
    } else if (!isFull) this.#events.push({ t, ev, n });
  }

  #sidecar(): Sidecar {
    const { "web server": asked, application: answered } = this.#tracks;
    const { broken } = this.#lister;
    return {
      server: this.#software,
      version: this.#software,
      mode: "tap",
      mount: "",
      note: this.#recorder.options.note,
      scenario: this.#name.slice("tap--".length),
      http_request: null,
      recorded_at: this.#at.toISOString(),
      redacted: !this.#recorder.options.withSecrets,
      fcgi_connections: [
        {
          file: `${this.#name}.bin`,
          bytes: asked.bytes,
          sha256: asked.hash.digest("hex"),
          reused_connection: false,
          offset_in_connection: 0,
          records: this.#records,
          requests: this.#requests,
          undecoded_tail: broken === undefined ? 0 : asked.bytes - broken.offset,
          timeline: this.#events,
          out_file: `${this.#name}.out.bin`,
          out_bytes: answered.bytes,
          out_sha256: answered.hash.digest("hex"),
          ...(this.#cut !== undefined && { cut: this.#cut }),
          ...(this.#leftOut > 0 && { left_out: this.#leftOut }),
        },
      ],
      client: [],
    };
  }
}
