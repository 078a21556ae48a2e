/**
 * A worker as the manager sees it: one process, its stage, what it last told, and the ladder that ends it.
 *
 *     STARTING --ready--> READY --drain--> DRAINING --exit--> GONE
 *         └── readyTimeout, exit ── GONE      └── drainTimeout: TERM, then KILL to its process group
 *         READY --event loop stands still--> its stack is logged, KILL
 *
 * Knows nothing of pools: what an end means for them is told to the sink.
 */
import type { ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import type { Logger } from "../base/log.ts";
import type { RequestSnapshot, WorkerSnapshot, WorkerStage } from "../status/snapshot.ts";
import { type Beat, Channel, type Failed, type FromWorker, readFromWorker } from "./channel.ts";
import { stopWhenIdle } from "./gentle-stop.ts";
import { InspectorUrl } from "./inspector.ts";
import { describeEnd, examine, jittered, judgeSilence, notReady, SILENT_MS } from "./judgement.ts";
import { startProcess } from "./launch.ts";
import { type Capture, captureLines, OutputTail } from "./output.ts";
import type { RetireReason, WorkerView } from "./pool.ts";
import { type Observed, observe, sendSignal } from "./process-facts.ts";
import type { ScoreboardFile } from "./scoreboard.ts";
import type { Clock, HandleSettings, KnownWorker, Launching, SlowReport, WorkerSink } from "./worker-sink.ts";

/** How long a program that cannot say so must have lived to count as ready, ms. */
const FOREIGN_READY_MS = 1000;
/** What a worker gets beyond its drain timeout before TERM, and after TERM before KILL, ms. */
const RUNG_MS = 2000;
/** How long the output of a dead worker is waited for, ms: a child of it may hold the pipes open. */
const OUTPUT_MS = 500;

export class WorkerHandle implements KnownWorker {
  readonly id: number;
  readonly generation: number;
  readonly startedAt: number; // of the epoch
  readonly pid: number;
  readonly #settings: HandleSettings;
  readonly #sink: WorkerSink;
  readonly #logger: Logger;
  readonly #now: Clock;
  readonly #bornAt: number;
  readonly #child: ChildProcess;
  readonly #channel: Channel | undefined;
  readonly #scoreboard: ScoreboardFile | undefined;
  readonly #launching: Launching;
  readonly #tail = new OutputTail();
  readonly #inspector = new InspectorUrl();
  readonly #maxRequests: number;
  readonly #maxMemoryBytes: number;
  #stage: WorkerStage | "gone" = "starting";
  #wasReady = false;
  #isExpected = false;
  #failure: Omit<Failed, "type"> | undefined = undefined;
  #beat: Beat | undefined = undefined;
  #beatAt: number;
  #idleSince: number | undefined;
  #retire: RetireReason | undefined = undefined;
  #seen: Observed = {}; // of a program that does not tell
  readonly #address: string | undefined;
  #isExamined = false; // the watchdog is at it, or was in this episode
  #timers: NodeJS.Timeout[] = [];
  readonly #outputs: Capture[] = [];

  /** @throws {Error} when the system cannot start a process */
  constructor(
    identity: { readonly id: number; readonly generation: number },
    settings: HandleSettings,
    launching: Launching,
    { sink, logger, now }: { readonly sink: WorkerSink; readonly logger: Logger; readonly now: Clock },
  ) {
    this.id = identity.id;
    this.generation = identity.generation;
    this.#settings = settings;
    this.#sink = sink;
    this.#logger = logger;
    this.#now = now;
    this.startedAt = Date.now();
    this.#bornAt = now();
    this.#beatAt = this.#bornAt;
    this.#scoreboard = launching.scoreboard;
    this.#launching = launching;
    this.#address = launching.address;
    // Not all at once: workers that were started together would otherwise be replaced together.
    this.#maxRequests = jittered(settings.maxRequests);
    this.#maxMemoryBytes = jittered(settings.maxMemoryBytes);
    this.#child = startProcess(launching);
    this.pid = this.#child.pid ?? 0;
    this.#child.on("error", (error) => this.#onSpawnError(error));
    this.#child.on("exit", (code, signal) => this.#onExit(code, signal));
    this.#capture(this.#child.stdout, "stdout");
    this.#capture(this.#child.stderr, "stderr");
    const line = this.#child.stdio[3] as Socket | null | undefined;
    this.#channel =
      launching.start === undefined || line === null || line === undefined ? undefined : this.#open(line);
    if (this.#channel === undefined) this.#after(FOREIGN_READY_MS, () => this.#onReady());
    else {
      this.#channel.send(launching.start as never);
      const { readyTimeoutMs } = settings;
      if (readyTimeoutMs > 0) this.#after(readyTimeoutMs, () => this.#onNotReady(readyTimeoutMs));
    }
  }

  get stage(): WorkerStage | "gone" {
    return this.#stage;
  }

  /** What the pool's policy looks at. */
  get view(): WorkerView | undefined {
    if (this.#stage === "gone") return undefined;
    return {
      id: this.id,
      generation: this.generation,
      stage: this.#stage,
      isBusy: this.#isBusy,
      idleSince: this.#idleSince,
      retire: this.#retire,
      startedAt: this.#bornAt,
    };
  }

  /** For the status page; `current` is read from the scoreboard. */
  snapshot(): WorkerSnapshot | undefined {
    if (this.#stage === "gone") return undefined;
    const beat = this.#beat;
    return {
      id: this.id,
      pid: this.pid,
      generation: this.generation,
      stage: this.#stage,
      isBusy: this.#isBusy,
      startedAt: this.startedAt,
      requests: beat?.requests,
      concurrency: beat?.openRequests,
      queuedRequests: beat?.queuedRequests,
      connections: beat?.connections ?? this.#seen.connections,
      loopDelayMs: this.#channel === undefined ? undefined : Math.max(beat?.loopDelayMs ?? 0, this.#lateMs),
      loopUtilisation: beat?.loopUtilisation,
      memoryBytes: beat?.memoryBytes ?? this.#seen.memoryBytes,
      current: this.#requests().slice(0, 20),
    };
  }

  get told(): Beat | undefined {
    return this.#beat;
  }

  tellStatus(id: number, text: string, contentType: string): void {
    this.tell({ type: "status", id, text, contentType });
  }

  tell(message: Parameters<Channel["send"]>[0]): void {
    this.#channel?.send(message);
  }

  /** Marks it for replacement: a new one first, then this one drains. */
  askToRetire(reason: RetireReason): void {
    if (this.#stage === "gone" || this.#retire !== undefined) return;
    this.#retire = reason;
    this.#sink.onChange(this);
  }

  /**
   * Lets it finish what it has and leave. After the pool's drain timeout it is made to.
   * @param delayMs how long it goes on as before while its ping already fails
   */
  drain(delayMs: number = this.#settings.drainDelayMs): void {
    if (this.#stage === "draining" || this.#stage === "gone") return;
    this.#stage = "draining";
    this.#isExpected = true;
    this.#clearTimers();
    const { drainTimeoutMs } = this.#settings;
    if (this.#channel !== undefined) this.#channel.send({ type: "drain", delayMs });
    else
      this.#after(delayMs, () => stopWhenIdle(this.pid, this.#address, (ms, look) => this.#after(ms, look)));
    if (drainTimeoutMs === 0) return;
    this.#after(delayMs + drainTimeoutMs + RUNG_MS, () => this.#escalate(drainTimeoutMs));
  }

  /** Ends it at once, with all its children. */
  kill(reason: string): void {
    if (this.#stage === "gone") return;
    this.#isExpected = true;
    this.#clearTimers();
    this.#logger.debug({ pid: this.pid, reason }, "killing a worker");
    this.#signal("SIGKILL", true);
  }

  /**
   * Judges it; about once a second. `wasAsleep`: the manager itself did not run meanwhile (a suspended machine), so
   * silence proves nothing.
   */
  check(wasAsleep: boolean): void {
    if (this.#stage === "gone") return;
    if (wasAsleep) this.#beatAt = this.#now();
    if (this.#channel === undefined) this.#observe();
    if (this.#stage !== "ready") return;
    if (this.#seen.memoryBytes !== undefined) this.#judgeMemory(this.#seen.memoryBytes);
    if (this.#channel === undefined) return;
    const silentMs = this.#now() - this.#beatAt;
    const judgement = judgeSilence(this.#settings, silentMs, () => this.#requests()[0]);
    if (judgement === "stuck") void this.#onStuck(silentMs);
    else if (judgement === "slow") void this.#onSlow(silentMs);
  }

  /** Looks at a program that does not tell of itself. It answers one request at a time. */
  #observe(): void {
    const wasBusy = this.#isBusy;
    this.#seen = observe(this.pid, this.#address);
    this.#idleSince = this.#seen.connections === 0 ? (this.#idleSince ?? this.#now()) : undefined;
    if (this.#isBusy !== wasBusy) this.#sink.onChange(this);
  }

  get #isBusy(): boolean {
    if (this.#stage !== "ready") return false;
    if (this.#channel === undefined) return (this.#seen.connections ?? 0) > 0;
    return this.#beat?.isBusy === true || this.#lateMs > SILENT_MS;
  }

  /** How long overdue its next sign of life is. */
  get #lateMs(): number {
    return Math.max(0, Math.round(this.#now() - this.#beatAt) - 1000);
  }

  #requests(): readonly RequestSnapshot[] {
    return this.#scoreboard?.read() ?? [];
  }

  // The channel

  #open(line: Socket): Channel {
    return new Channel(line, {
      onMessage: (message) => this.#onMessage(readFromWorker(message)),
      onBroken: (reason) => {
        this.#logger.error({ pid: this.pid }, `a worker is replaced: ${reason}`);
        this.kill("it broke the rules of its channel");
      },
      onEnd: () => {}, // the exit tells more
    });
  }

  #onMessage(message: FromWorker): void {
    switch (message.type) {
      case "ready":
        this.#onReady();
        return;
      case "failed":
        this.#failure ??= message;
        return;
      case "beat":
        this.#onBeat(message.beat);
        return;
      case "leaving": // it drains already, and its successor need not wait for its end
        if (this.#stage !== "ready") return;
        this.#logger.info({ pid: this.pid }, `${message.why}: it finishes what it has and is replaced`);
        this.drain(0);
        this.#sink.onChange(this);
        return;
      default:
        this.#sink.onMessage(this, message);
    }
  }

  #onReady(): void {
    if (this.#stage !== "starting") return;
    this.#stage = "ready";
    this.#wasReady = true;
    this.#clearTimers();
    this.#beatAt = this.#now();
    if (this.#channel !== undefined) this.#idleSince = this.#now();
    this.#sink.onReady(this);
  }

  #onBeat(beat: Beat): void {
    const wasBusy = this.#isBusy;
    this.#beat = beat;
    this.#beatAt = this.#now();
    this.#isExamined = false;
    if (beat.openRequests > 0) this.#idleSince = undefined;
    else this.#idleSince ??= this.#now();
    if (this.#stage !== "ready") return;
    if (this.#maxRequests > 0 && beat.requests >= this.#maxRequests) this.askToRetire("maxRequests");
    this.#judgeMemory(beat.memoryBytes);
    if (wasBusy !== this.#isBusy) this.#sink.onChange(this);
  }

  #judgeMemory(bytes: number): void {
    if (this.#maxMemoryBytes > 0 && bytes > this.#maxMemoryBytes) this.askToRetire("maxMemory");
  }

  #onNotReady(timeoutMs: number): void {
    this.#blame("app", notReady(timeoutMs, this.#launching));
    this.#signal("SIGKILL", true);
  }

  // The watchdog

  #examine(silentMs: number, isStuck: boolean): Promise<SlowReport> {
    const { requestSlowlogTraceDepth: depth } = this.#settings;
    const worker = { pid: this.pid, inspector: this.#inspector, readStack: this.#launching.readStack };
    return examine(worker, { silentMs, isStuck, depth, known: this.#requests() });
  }

  async #onStuck(silentMs: number): Promise<void> {
    if (this.#isExamined) return;
    this.#isExamined = true;
    const askedAt = this.#now();
    const report = await this.#examine(silentMs, true);
    if (this.#stage !== "ready") return; // it has ended by itself
    const isBack = this.#beatAt > askedAt;
    this.#sink.onSlow(this, isBack ? { ...report, isStuck: false } : report);
    if (isBack) return;
    this.#retire = "stuck";
    this.#blame("app", `its event loop stood still for ${Math.round(silentMs)} ms`);
    this.#signal("SIGKILL", true);
  }

  async #onSlow(silentMs: number): Promise<void> {
    if (this.#isExamined) return;
    this.#isExamined = true;
    this.#sink.onSlow(this, await this.#examine(silentMs, false));
    // The episode goes on: it may still become stuck.
    this.#after(SILENT_MS, () => {
      this.#isExamined = false;
    });
  }

  #escalate(timeoutMs: number): void {
    this.#logger.warn(
      { pid: this.pid, requests: this.#requests().length },
      `a worker did not end within its drainTimeout of ${timeoutMs} ms: TERM, then KILL`,
    );
    this.#signal("SIGTERM");
    this.#after(RUNG_MS, () => this.#signal("SIGKILL", true));
  }

  #onSpawnError(error: Error): void {
    if (this.pid !== 0) return; // a signal that could not be sent: it is gone
    this.#blame("boot", `the process could not be started: ${error.message}`);
    this.#onExit(null, null);
  }

  /** Says why it is going to end, if nothing else has been said. */
  #blame(stage: "boot" | "app", message: string): void {
    this.#failure ??= { stage, message, isPlacePrinted: false };
  }

  #onExit(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#stage === "gone") return;
    const wasReady = this.#wasReady;
    this.#stage = "gone";
    this.#clearTimers();
    // Whatever it has started and left behind must not hold the socket.
    this.#signal("SIGKILL", true);
    const lost = code === 0 ? [] : this.#requests();
    const livedMs = this.#now() - this.#bornAt;
    const finish = (): void => {
      for (const output of this.#outputs) output.flush();
      for (const pipe of [this.#child.stdout, this.#child.stderr]) pipe?.destroy();
      this.#clearTimers();
      this.#channel?.close();
      this.#launching.cleanUp();
      const words = describeEnd(code, signal, this.#failure, this.#tail.lines);
      const isApp = words.isApp || (this.#failure === undefined && this.#channel === undefined);
      const isExpected = this.#isExpected;
      this.#sink.onEnded(this, { wasReady, isExpected, livedMs, code, signal, lost, ...words, isApp });
    };
    const outputsEnd = Promise.all(this.#outputs.map((output) => output.ended));
    void Promise.race([outputsEnd, new Promise<void>((end) => this.#after(OUTPUT_MS, end))]).then(finish);
  }

  #capture(stream: Readable | null, name: "stdout" | "stderr"): void {
    if (stream === null) return;
    const onLine = (line: string): void => {
      if (name === "stderr" && this.#inspector.offer(line)) return;
      this.#tail.push(line);
      this.#sink.onLine(this, name, line);
    };
    this.#outputs.push(captureLines(stream, onLine));
  }

  #signal(signal: NodeJS.Signals, isForAll = false): void {
    const problem = sendSignal(this.pid, signal, isForAll);
    if (problem === undefined) return;
    this.#logger.error({ pid: this.pid, signal }, `a worker cannot be signalled: ${problem}`);
  }

  #after(ms: number, action: () => void): void {
    this.#timers.push(setTimeout(action, ms));
  }

  #clearTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }
}
