/**
 * The tap: listens in the place of an application, connects to it for every connection that comes, and shows what goes
 * by. Whatever cannot be understood passes through all the same.
 */
import type { Socket } from "node:net";
import { SettingError } from "../../base/errors.ts";
import { connectSocket } from "../../client/connect.ts";
import { type ResolvedClientOptions, resolveClientOptions } from "../../client/options.ts";
import { type Listener, openListeners } from "../../server/listener.ts";
import { type ResolvedOptions, resolveOptions, type ServerOptions } from "../../server/options.ts";
import { Conversation, type Ending, type Exchange, type Side } from "../capture/conversation.ts";
import type { Broken } from "../capture/cutter.ts";
import type { Recorder, Recording } from "../capture/recorder.ts";
import { Blinder } from "../capture/secrets.ts";
import { RecordFeed } from "../record-feed.ts";
import type { NotRecords, SeenRecord } from "../record-text.ts";
import { Relay } from "./relay.ts";

/** Hears what goes by. `connection` counts from 1. Must not throw. */
export interface TapSink {
  onBegin?(connection: number, exchange: Exchange): void;
  onEnd?(connection: number, exchange: Exchange): void;
  onStderr?(connection: number, exchange: Exchange, line: string): void;
  /** One side sends something else than FastCGI. */
  onBroken?(connection: number, side: Side, broken: Broken): void;
  onRecord?(connection: number, record: SeenRecord): void;
  onNotRecords?(connection: number, seen: NotRecords): void;
  onClose?(connection: number): void;
  /** Something that an operator must know. */
  onTrouble(text: string): void;
}

export interface TapOptions extends Pick<ServerOptions, "mode" | "owner" | "group" | "allowedClients"> {
  readonly listen: string;
  readonly connect: string;
  /** Bytes of each record's content to show; undefined shows no records. */
  readonly recordBytes?: number | undefined;
  /** Show passwords and cookies in records; else as many x's. @default false */
  readonly withSecrets?: boolean;
  readonly recorder?: Recorder | undefined;
}

/** How long a busy application may take to accept, ms; while its queue is full that is tried again and again. */
const CONNECT_MS = 60_000;
/** How long a side may take to close after the other has, at the end, ms. */
const CLOSE_MS = 1000;
/** At the end: looks at the queue of the socket, how far apart, ms, and how many in a row find nothing. */
const LOOK_MS = 5;
const QUIET_LOOKS = 10;
const MOST_LOOKS = 400;

interface Tapped {
  readonly relay: Relay;
  readonly conversation: Conversation;
  /** Requests that have ended on it. */
  ended: number;
}

export class Tap {
  readonly #options: TapOptions;
  readonly #sink: TapSink;
  readonly #resolved: ResolvedOptions;
  #client: ResolvedClientOptions;
  readonly #open = new Set<Tapped>();
  readonly #waiting = new Set<Socket>();
  readonly #connecting = new AbortController();
  #listeners: readonly Listener[] = [];
  #accepted = 0;
  #connections = 0;
  #isClosing = false;
  #isCut = false;
  #onIdle: (() => void) | undefined;

  /** @throws {SettingError} for what cannot be an address, a mode, an owner */
  constructor(options: TapOptions, sink: TapSink) {
    this.#options = options;
    this.#sink = sink;
    this.#client = resolveClientOptions({ connect: options.connect, connectTimeoutMs: CONNECT_MS });
    const { mode, owner, group, allowedClients, listen } = options;
    this.#resolved = resolveOptions({
      bind: listen,
      ...(mode !== undefined && { mode }),
      ...(owner !== undefined && { owner }),
      ...(group !== undefined && { group }),
      ...(allowedClients !== undefined && { allowedClients }),
    });
  }

  /** Where it listens, with the port that was really taken. */
  get address(): string {
    return this.#listeners[0]?.address ?? this.#options.listen;
  }

  /** Connections that have come so far. */
  get connections(): number {
    return this.#connections;
  }

  /** Requests that are open now. */
  get openRequests(): number {
    let open = 0;
    for (const { conversation } of this.#open) open += conversation.openRequests;
    return open;
  }

  /** @throws {SettingError} when it cannot listen there */
  async listen(): Promise<void> {
    this.#listeners = await openListeners(
      this.#resolved,
      {
        onSocket: (socket, isTcp) => void this.#accept(socket, isTcp),
        onAcceptError: (address, error) =>
          this.#sink.onTrouble(`${address}: a connection could not be accepted: ${error.message}`),
      },
      process.env,
    );
  }

  /**
   * Takes no new connections, lets open requests end, and closes. What is not FastCGI has until then as well.
   * @param drainMs after this, what is open is cut
   */
  async close(drainMs: number): Promise<void> {
    this.#isClosing = true;
    for (const listener of this.#listeners) listener.hide();
    await this.#acceptTheLast();
    for (const listener of this.#listeners) listener.close();
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    const late = setTimeout(() => this.cut(), drainMs);
    for (const tapped of this.#open) this.#endIfIdle(tapped);
    if (this.#isCut) this.cut();
    this.#checkIdle();
    await idle;
    clearTimeout(late);
  }

  /** The application is to be found there from now on: its socket has been moved back. @throws {SettingError} */
  moveTo(connect: string): void {
    this.#client = resolveClientOptions({ connect, connectTimeoutMs: CONNECT_MS });
  }

  /** Cuts every connection at once; `close` resolves then. */
  cut(): void {
    this.#isCut = true;
    this.#connecting.abort(new Error("the tap ends"));
    for (const { relay, conversation } of this.#open) {
      conversation.close("tap ended");
      relay.destroy();
    }
    for (const socket of this.#waiting) socket.destroy();
  }

  /**
   * What is in the queue of the socket was promised an answer, and Node accepts one connection in a turn of its loop. A
   * web server that has found the socket by its old name may be about to join the queue: so it has to stay empty a while.
   */
  async #acceptTheLast(): Promise<void> {
    let quiet = 0;
    for (let look = 0; look < MOST_LOOKS && quiet < QUIET_LOOKS && !this.#isCut; look++) {
      const seen = this.#accepted;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      quiet = this.#accepted === seen ? quiet + 1 : 0;
    }
  }

  async #accept(near: Socket, isTcp: boolean): Promise<void> {
    this.#accepted++;
    const { remoteAddress } = near;
    near.on("error", () => {});
    if (isTcp && !this.#resolved.allowedClients.allows(remoteAddress)) {
      near.destroy();
      const who = remoteAddress ?? "somebody";
      this.#sink.onTrouble(`connection from ${who} refused: it is not among --allowed-clients`);
      return;
    }
    this.#waiting.add(near);
    try {
      const far = await this.#connect();
      if (near.destroyed) {
        // Reset before the application was there.
        if (this.#client.address.kind === "tcp") far.resetAndDestroy();
        else far.destroy();
      } else this.#carry(near, isTcp, far);
    } catch (error) {
      // As a dead application does: the web server finds the connection closed without an answer.
      near.destroy();
      if (!this.#isCut) this.#sink.onTrouble(error instanceof Error ? error.message : String(error));
    } finally {
      this.#waiting.delete(near);
      this.#checkIdle();
    }
  }

  async #connect(): Promise<Socket> {
    const client = this.#client;
    try {
      return await connectSocket(client, this.#connecting.signal);
    } catch (error) {
      if (client === this.#client) throw error;
      return this.#connect(); // the application's socket was moved meanwhile
    }
  }

  #carry(near: Socket, isTcp: boolean, far: Socket): void {
    const number = ++this.#connections;
    const recording = this.#options.recorder?.begin();
    const { recordBytes } = this.#options;
    const feeds = recordBytes === undefined ? undefined : this.#feeds(number, recordBytes);
    let how: Ending = "closed by the web server";
    let isFirst = true;
    let isBlind = false;
    // Whatever goes wrong in looking on must not reach what is looked at.
    const look = (what: () => void): void => {
      if (isBlind) return;
      try {
        what();
      } catch (error) {
        isBlind = true;
        recording?.cut("a bug in Postern");
        this.#sink.onTrouble(`a bug in Postern; connection ${number} is passed on unseen: ${String(error)}`);
      }
    };
    const relay = new Relay(
      { socket: near, isTcp },
      { socket: far, isTcp: this.#client.address.kind === "tcp" },
      {
        onBytes: (side, chunk) => {
          look(() => {
            conversation.push(side, chunk);
            feeds?.[side].push(chunk);
            recording?.push(side, chunk);
          });
          if (this.#isClosing) this.#endIfIdle(tapped);
        },
        onEnd: (side, end) => {
          if (isFirst) how = side === "web server" ? "closed by the web server" : "closed by the application";
          isFirst = false;
          // An application that has hung up answers no more; a web server that has may still listen.
          if (side === "application") conversation.close(how);
          feeds?.[side].end();
          note(recording, side, end);
        },
        onDeaf: (side) => {
          if (side === "web server") conversation.webServerGone();
          note(recording, side, "deaf");
        },
        onClose: () => {
          conversation.close(this.#isCut ? "tap ended" : how);
          recording?.end(this.#isCut ? "tap ended" : how);
          this.#open.delete(tapped);
          this.#sink.onClose?.(number);
          this.#checkIdle();
        },
      },
    );
    const conversation = new Conversation(
      {
        onBegin: (exchange) => this.#sink.onBegin?.(number, exchange),
        onStderr: (exchange, line) => this.#sink.onStderr?.(number, exchange, line),
        onBroken: (side, broken) => this.#sink.onBroken?.(number, side, broken),
        onEnd: (exchange) => {
          tapped.ended++;
          this.#sink.onEnd?.(number, exchange);
        },
      },
      { now: () => performance.now() },
    );
    const tapped: Tapped = { relay, conversation, ended: 0 };
    this.#open.add(tapped);
    if (this.#isCut) this.cut();
  }

  #feeds(number: number, keptBytes: number): Readonly<Record<Side, Pick<RecordFeed, "push" | "end">>> {
    const start = performance.now();
    const now = (): number => performance.now() - start;
    const feed = (towards: SeenRecord["towards"]): Pick<RecordFeed, "push" | "end"> => {
      const records = new RecordFeed(
        {
          onRecord: (record) => this.#sink.onRecord?.(number, record),
          onNotRecords: (seen) => this.#sink.onNotRecords?.(number, seen),
        },
        { towards, keptBytes, now },
      );
      if (this.#options.withSecrets === true) return records;
      const blinder = new Blinder();
      return { push: (chunk) => records.push(blinder.push(chunk)), end: () => records.end() };
    };
    return { "web server": feed("application"), application: feed("web server") };
  }

  /** One that has not carried a request yet is about to: the web server has opened it for that. */
  #endIfIdle({ relay, conversation, ended }: Tapped): void {
    if (ended === 0 || !conversation.isIdle) return;
    relay.end();
    setTimeout(() => relay.destroy(), CLOSE_MS).unref();
  }

  #checkIdle(): void {
    if (this.#open.size === 0 && this.#waiting.size === 0) this.#onIdle?.();
  }
}

function note(recording: Recording | undefined, side: Side, what: "end" | "reset" | "deaf"): void {
  const who = side === "web server" ? "peer" : "app";
  recording?.note(`${who}-${what === "end" ? "eof" : what}`);
}

/** The address that a tap connects to, checked before it listens. @throws {SettingError} */
export function refuseItself(listen: string, connect: string): void {
  if (listen !== connect) return;
  throw new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `--listen and --connect are both ${listen}: the tap listens in one place and the application in another; --take-over puts the tap into the application's place`,
  );
}
