/**
 * `postern replay`: sends recorded connections to an application again and compares the answers. Exit codes: 0 all
 * answers are equal, 1 some are not, 2 wrong usage, 3 no connection.
 */
import { Command, Option } from "commander";
import { RemoteProtocolError, SettingError } from "../../base/errors.ts";
import { type ResolvedClientOptions, resolveClientOptions } from "../../client/options.ts";
import { readCount, readDuration } from "../../config/values.ts";
import { ascii, printable } from "../../status/text.ts";
import type { Exchange } from "../../tools/capture/conversation.ts";
import { readRecordings } from "../../tools/capture/read.ts";
import { askedText, jsonLine, milliseconds, urlOf } from "../../tools/inspect/view.ts";
import { type Difference, differences, IGNORED_HEADERS } from "../../tools/replay/compare.ts";
import { type Plan, planOne, planReplay } from "../../tools/replay/plan.ts";
import { type Sent, sendPlan } from "../../tools/replay/send.ts";
import { processTerminal, type Terminal } from "../terminal.ts";
import { endWhenUnread } from "../tool-io.ts";

const DIFFERENT = 1;
const NO_CONNECTION = 3;
/** Characters shown of each side of a difference. */
const SHOWN = 300;

interface Flags {
  readonly connect: string;
  readonly pace: "recorded" | "fast";
  readonly repeat: string;
  readonly concurrency: string;
  readonly only?: string;
  readonly ignoreHeader?: string[];
  readonly ignoreBody?: boolean;
  readonly ignoreStderr?: boolean;
  readonly maxTime: string;
  readonly json?: boolean;
}

interface Count {
  equal: number;
  different: number;
  uncompared: number;
}

export function replayCommand(terminal: Terminal = processTerminal()): Command {
  return new Command("replay")
    .description("Send recorded connections to a FastCGI application again, and compare its answers.")
    .argument("<file...>", "a .json or .bin of a recording, or a folder of them")
    .requiredOption("--connect <address>", "where the application listens: unix:/path or host:port")
    .addOption(
      new Option("--pace <pace>", "send at once what can be sent, or when it was sent then")
        .choices(["fast", "recorded"])
        .default("fast"),
    )
    .option("--repeat <count>", "send everything so many times", "1")
    .option("--concurrency <count>", "connections at once", "1")
    .option(
      "--only <number>",
      "only this request, counted from 1 over all recordings, on a connection of its own",
    )
    .option(
      "--ignore-header <name...>",
      "headers that may differ (always: Date, X-Request-Id, how long a cookie lasts)",
    )
    .option("--ignore-body", "bodies may differ")
    .option("--ignore-stderr", "what is written on FCGI_STDERR may differ")
    .option(
      "--max-time <duration>",
      "for one connection, beyond its recorded time with --pace recorded",
      "30s",
    )
    .option("--json", "one object a line for every request")
    .action((files: string[], flags: Flags) => replay(terminal, files, flags));
}

async function replay(terminal: Terminal, files: readonly string[], flags: Flags): Promise<void> {
  endWhenUnread(terminal);
  const maxMs = readFlag("--max-time", flags.maxTime, positive(readDuration), "a duration such as 30s");
  const repeat = readFlag("--repeat", flags.repeat, positive(readCount), "a whole number from 1");
  const concurrency = readFlag(
    "--concurrency",
    flags.concurrency,
    positive(readCount),
    "a whole number from 1",
  );
  const target = resolveClientOptions({ connect: flags.connect, connectTimeoutMs: maxMs });
  const plans = await plansOf(files, flags.only);
  const tell = (text: string): void => void terminal.stderr.write(`postern: ${printable(text)}\n`);
  if (plans.some(({ plan }) => plan.isRedacted)) {
    tell(
      "recorded without secrets: cookies and passwords are sent as x's (postern inspect --secrets records them)",
    );
  }
  if (plans.some(({ plan }) => !plan.hasAnswers))
    tell("some recordings hold no answers: there is nothing to compare");
  const count: Count = { equal: 0, different: 0, uncompared: 0 };
  const start = performance.now();
  const rounds = Array.from({ length: repeat }, (_, at) => at + 1);
  const jobs = rounds.flatMap((round) => plans.map((numbered) => ({ ...numbered, round })));
  let next = 0;
  let failure: unknown;
  const work = async (): Promise<void> => {
    for (let job = jobs[next++]; job !== undefined && failure === undefined; job = jobs[next++]) {
      try {
        const sent = await sendPlan(job.plan, target, { pace: flags.pace, maxMs });
        showSent(terminal, { ...job, sent }, flags, count);
      } catch (error) {
        failure = error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, jobs.length) }, work));
  if (failure !== undefined) {
    refuse(terminal, failure, target);
    return;
  }
  const { equal, different, uncompared } = count;
  if (flags.json === true) terminal.stdout.write(`${jsonLine({ event: "summary", ...count })}\n`);
  else {
    const rest = uncompared > 0 ? `, ${uncompared} answered and not compared` : "";
    const took = milliseconds(performance.now() - start);
    terminal.stdout.write(`${equal} equal, ${different} different${rest}, in ${took}\n`);
  }
  if (different > 0) terminal.setExitCode(DIFFERENT);
}

interface Numbered {
  readonly plan: Plan;
  /** Of its first request, over all recordings. */
  readonly first: number;
}

async function plansOf(files: readonly string[], only: string | undefined): Promise<Numbered[]> {
  const wanted =
    only === undefined ? undefined : readFlag("--only", only, positive(readCount), "the number of a request");
  const plans: Numbered[] = [];
  let first = 1;
  for (const file of files) {
    for (const recording of await readRecordings(file, { from: undefined, stdin: process.stdin })) {
      if (recording.webServer === undefined) {
        throw new SettingError(
          "ERR_POSTERN_BAD_SETTING",
          `${file}: these are the bytes of an application; name the file of what the web server sent`,
        );
      }
      const plan = planReplay(recording);
      const last = first + plan.requests.length - 1;
      if (wanted === undefined) plans.push({ plan, first });
      else if (wanted >= first && wanted <= last) {
        plans.push({ plan: planOne(recording, wanted - first + 1), first: wanted });
      }
      first = last + 1;
    }
  }
  if (wanted !== undefined && plans.length === 0) {
    throw new SettingError("ERR_POSTERN_BAD_SETTING", `--only ${wanted}: there are ${first - 1} requests`);
  }
  return plans;
}

interface Job extends Numbered {
  readonly round: number;
  readonly sent: Sent;
}

function showSent(terminal: Terminal, { plan, first, round, sent }: Job, flags: Flags, count: Count): void {
  const ignored = [...IGNORED_HEADERS, ...(flags.ignoreHeader ?? [])].map((name) => name.toLowerCase());
  for (const [at, recorded] of plan.requests.entries()) {
    const now = sent.requests[at];
    const found = differencesOf(plan, recorded, now, sent, {
      ignoredHeaders: new Set(ignored),
      ignoresBody: flags.ignoreBody === true,
      ignoresStderr: flags.ignoreStderr === true,
      isRedacted: plan.isRedacted,
    });
    const isCompared = plan.hasAnswers || found.length > 0;
    if (!isCompared) count.uncompared++;
    else if (found.length > 0) count.different++;
    else count.equal++;
    const job = { plan, number: first + at, round, recorded, now, found, isCompared };
    terminal.stdout.write(flags.json === true ? asJson(job) : asText(job));
  }
}

function differencesOf(
  plan: Plan,
  recorded: Exchange,
  now: Exchange | undefined,
  { isLate, broken }: Sent,
  options: Parameters<typeof differences>[2],
): Difference[] {
  if (broken !== undefined) return [{ what: "answer", recorded: "FastCGI", now: broken.says }];
  const isOpen = now === undefined || now.endMs === undefined || now.protocolStatus === undefined;
  if (isLate && isOpen) return [{ what: "answer", recorded: "an answer", now: "none within --max-time" }];
  if (now === undefined)
    return [{ what: "answer", recorded: "an answer", now: "the connection was closed before" }];
  if (plan.hasAnswers) return differences(recorded, now, options);
  const isUnanswered = now.protocolStatus === undefined && recorded.stdinEnded && !recorded.isAborted;
  return isUnanswered ? [{ what: "answer", recorded: "not recorded", now: now.ending }] : [];
}

interface Shown {
  readonly plan: Plan;
  readonly number: number;
  readonly round: number;
  readonly recorded: Exchange;
  readonly now: Exchange | undefined;
  readonly found: readonly Difference[];
  readonly isCompared: boolean;
}

function asJson({ plan, number, round, recorded, now, found, isCompared }: Shown): string {
  return `${jsonLine({
    event: "request",
    recording: plan.name,
    request: number,
    round,
    method: recorded.params?.get("REQUEST_METHOD") ?? null,
    url: urlOf(recorded),
    equal: isCompared ? found.length === 0 : null,
    status: now?.head?.status ?? null,
    durationMs: tookOf(now) ?? null,
    recordedMs: plan.hasAnswers ? (tookOf(recorded) ?? null) : null,
    differences: found,
  })}\n`;
}

function asText({ plan, number, recorded, now, found, isCompared }: Shown): string {
  const verdict = isCompared ? (found.length === 0 ? "equal" : "DIFFERENT") : "answered";
  const then = plan.hasAnswers ? `, recorded ${milliseconds(tookOf(recorded))}` : "";
  const status = now?.head?.status ?? "-";
  const head = `${verdict.padEnd(9)} ${number}  ${askedText(recorded)}  ${status}  ${milliseconds(tookOf(now))}${then}\n`;
  const lines = found.map(
    (one) => `    ${ascii(one.what)}: ${shown(one.recorded)}\n      now: ${shown(one.now)}\n`,
  );
  return head + lines.join("");
}

function shown(text: string): string {
  const plain = ascii(text.replace(/\n$/, ""));
  return plain.length <= SHOWN ? plain : `${plain.slice(0, SHOWN)}…`;
}

function tookOf(exchange: Exchange | undefined): number | undefined {
  return exchange?.endMs === undefined ? undefined : exchange.endMs - exchange.beginMs;
}

/** No connection is an answer too, for a script; anything else is an error like others. */
function refuse(terminal: Terminal, error: unknown, target: ResolvedClientOptions): void {
  const isTimeout = error instanceof DOMException && error.name === "TimeoutError";
  const isConnect = error instanceof SettingError || error instanceof RemoteProtocolError;
  if (!isTimeout && !isConnect) throw error;
  const text = isTimeout ? `no connection to ${target.name} within --max-time` : error.message;
  terminal.stderr.write(`postern: ${printable(text)}\n`);
  terminal.setExitCode(NO_CONNECTION);
}

function positive(read: (text: string) => number | undefined): (text: string) => number | undefined {
  return (text) => read(text) || undefined;
}

function readFlag(
  flag: string,
  text: string,
  read: (text: string) => number | undefined,
  form: string,
): number {
  const value = read(text);
  if (value !== undefined) return value;
  throw new SettingError("ERR_POSTERN_BAD_SETTING", `${flag} ${JSON.stringify(text)}: it must be ${form}`);
}
