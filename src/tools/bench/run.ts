/**
 * A benchmark: a first look at what the target answers, a warm-up that is not counted, and the load; with several
 * targets in rounds, one after the other in each, so that what disturbs the machine disturbs them alike.
 */
import { Exchange, type Expectation, type Fault } from "./exchange.ts";
import { runLoad } from "./load.ts";
import { type Usage, usageOf } from "./processes.ts";
import { Tally } from "./tally.ts";
import { lanesOf, type Target, type Wiring } from "./target.ts";

export interface BenchOptions extends Wiring {
  readonly rate: number | undefined;
  /** Of all rounds together, for each target. Infinity: until `requests` are answered. */
  readonly durationMs: number;
  readonly requests: number;
  readonly warmUpMs: number;
  readonly timeoutMs: number;
  readonly rounds: number;
  readonly expectedStatus: number | undefined;
  readonly expectedBody: Buffer | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Progress {
  readonly target: Target;
  readonly phase: "warm-up" | "load";
  /** From 0; of `rounds`. */
  readonly round: number;
  readonly elapsedMs: number;
  readonly answers: number;
  readonly faults: number;
}

/** One load. */
export interface Round {
  readonly tally: Tally;
  /** What the server's processes have used meanwhile; undefined when they cannot be seen. */
  readonly used: Usage | undefined;
  /** What this process, the generator, has used. */
  readonly ownCpuMs: number;
  /** Share of the time in which the generator was at work, 0 to 1. */
  readonly ownBusy: number;
}

export interface Result {
  readonly target: Target;
  /** Whether every body was compared with the first, or with what was expected. */
  readonly comparesBodies: boolean;
  /** All rounds together. */
  readonly tally: Tally;
  readonly rounds: readonly Round[];
}

/** The target answers, but not as it should, or does not answer: there is nothing to measure. */
export class BenchFailure extends Error {
  override readonly name: string = "BenchFailure";
  readonly fault: Fault;
  constructor(target: Target, fault: Fault) {
    const remedy = fault.kind === "status" ? "; if that is meant to be so: --expect-status" : "";
    super(`${target.name}: ${fault.says}${remedy}`);
    this.fault = fault;
  }
}

/** @throws {BenchFailure} when a target's first answer is wrong */
export async function runBench(targets: readonly Target[], options: BenchOptions): Promise<Result[]> {
  const expectations: Expectation[] = [];
  for (const target of targets) expectations.push(await firstLook(target, options));
  const rounds: Round[][] = targets.map(() => []);
  for (let round = 0; round < options.rounds && !options.signal.aborted; round++) {
    for (const [index, target] of targets.entries()) {
      if (options.signal.aborted) break;
      if (round === 0 && options.warmUpMs > 0) await warmUp(target, expectations[index]!, options);
      rounds[index]!.push(await measure(target, expectations[index]!, options, round));
    }
  }
  return targets.map((target, index) => {
    const tally = new Tally();
    for (const round of rounds[index]!) tally.addAll(round.tally);
    return { target, comparesBodies: expectations[index]!.body !== undefined, tally, rounds: rounds[index]! };
  });
}

/** Asks twice. Bodies that are the same are expected to stay so; a body that differs each time can only be measured. */
async function firstLook(target: Target, options: BenchOptions): Promise<Expectation> {
  const given = { status: options.expectedStatus, body: options.expectedBody };
  const first = await askOnce(target, given, options);
  const status = given.status ?? first.status;
  if (given.body !== undefined) return { status, body: given.body };
  const body = Buffer.concat(first.body ?? []);
  const second = await askOnce(target, { status, body: undefined }, options);
  return { status, body: body.equals(Buffer.concat(second.body ?? [])) ? body : undefined };
}

async function askOnce(target: Target, expected: Expectation, options: BenchOptions): Promise<Exchange> {
  const [lane] = lanesOf(target, { ...options, keepAlive: false, multiplex: 1 }, 1);
  const stop = (): void => lane!.cut("closed", "interrupted");
  const late = (): void => lane!.cut("timeout", `no whole answer within ${options.timeoutMs} ms`);
  const timer = setTimeout(late, options.timeoutMs);
  options.signal.addEventListener("abort", stop);
  const exchange = await new Promise<Exchange>((resolve) => {
    lane!.send(new Exchange(performance.now(), expected, resolve, true));
  });
  clearTimeout(timer);
  options.signal.removeEventListener("abort", stop);
  lane!.close();
  if (exchange.fault !== undefined) throw new BenchFailure(target, exchange.fault);
  return exchange;
}

async function warmUp(target: Target, expected: Expectation, options: BenchOptions): Promise<void> {
  const lanes = lanesOf(target, options);
  const { rate, timeoutMs, signal, warmUpMs: durationMs } = options;
  const watch = watched(target, "warm-up", 0, options);
  await runLoad({ lanes, expected, rate, durationMs, requests: Infinity, timeoutMs, signal, ...watch.hooks });
  watch.stop();
  for (const lane of lanes) lane.close();
}

async function measure(
  target: Target,
  expected: Expectation,
  options: BenchOptions,
  round: number,
): Promise<Round> {
  const { rate, timeoutMs, signal, rounds } = options;
  const lanes = lanesOf(target, options);
  const before = target.pid === undefined ? undefined : usageOf(target.pid);
  const cpu = process.cpuUsage();
  const loop = performance.eventLoopUtilization();
  const watch = watched(target, "load", round, options);
  const tally = await runLoad({
    lanes,
    expected,
    rate,
    durationMs: options.durationMs / rounds,
    requests: Math.ceil(options.requests / rounds),
    timeoutMs,
    signal,
    ...watch.hooks,
  });
  watch.stop();
  const own = process.cpuUsage(cpu);
  const ownBusy = performance.eventLoopUtilization(loop).utilization;
  const after = target.pid === undefined ? undefined : usageOf(target.pid);
  for (const lane of lanes) lane.close();
  return { tally, used: difference(before, after), ownCpuMs: (own.user + own.system) / 1000, ownBusy };
}

function difference(before: Usage | undefined, after: Usage | undefined): Usage | undefined {
  if (before === undefined || after === undefined) return undefined;
  return { ...after, cpuMs: after.cpuMs - before.cpuMs };
}

/** Tells of progress every second. */
function watched(
  target: Target,
  phase: Progress["phase"],
  round: number,
  { onProgress }: BenchOptions,
): { hooks: { onAnswer?: (tally: Tally) => void }; stop: () => void } {
  if (onProgress === undefined) return { hooks: {}, stop: () => {} };
  const startedAt = performance.now();
  let tally: Tally | undefined;
  const tell = (): void => {
    const elapsedMs = performance.now() - startedAt;
    onProgress({
      target,
      phase,
      round,
      elapsedMs,
      answers: tally?.answers ?? 0,
      faults: tally?.faultCount ?? 0,
    });
  };
  const timer = setInterval(tell, 1000);
  return {
    hooks: { onAnswer: (seen) => (tally = seen) },
    stop: () => {
      clearInterval(timer);
      tell();
    },
  };
}
