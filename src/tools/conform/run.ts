/**
 * Tries every statement on one application. Between any two it asks whether the application still answers: one that does
 * not ends the run, and the statement before it is the cause. A program that was started here is started again instead.
 */
import { type Address, printAddress } from "../../base/address.ts";
import { SettingError } from "../../base/errors.ts";
import { Audit } from "./audit.ts";
import { Broken, type ConformReport, type Outcome, type Result, untestable, type Verdict } from "./model.ts";
import { Probe, type ProbeOptions } from "./probe.ts";
import type { Program, Spawner } from "./spawner.ts";
import type { Statement } from "./statement.ts";
import { STATEMENTS } from "./statements.ts";

export interface ConformOptions extends ProbeOptions {
  /** Where it listens, or what starts it. */
  readonly target: Address | Spawner;
  /** Ids, or beginnings of ids such as `3.3`; empty is all. */
  readonly only: readonly string[];
  readonly skip: readonly string[];
  /** Ends the run before its time. */
  readonly signal?: AbortSignal;
  /** Told of each result as it comes. */
  readonly onResult?: (result: Result) => void;
}

/** Most time for the first answer of a program that has just been started. */
const START_MS = 15_000;

/** The statements that ids, or beginnings of ids, choose. @throws {SettingError} for one that chooses none */
export function chosenStatements(only: readonly string[], skip: readonly string[]): Statement[] {
  for (const id of [...only, ...skip]) {
    if (STATEMENTS.some((statement) => isMeant(statement, id))) continue;
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      `no statement is called ${JSON.stringify(id)}; postern conform --list shows them all`,
    );
  }
  return STATEMENTS.filter(
    (one) =>
      (only.length === 0 || only.some((id) => isMeant(one, id))) && !skip.some((id) => isMeant(one, id)),
  );
}

function isMeant({ id }: Statement, asked: string): boolean {
  return id === asked || id.startsWith(`${asked}-`) || id.startsWith(`${asked}.`);
}

/**
 * Runs the statements.
 * @throws {Broken} when the application cannot be reached, or answers nothing at all
 */
export async function conform(options: ConformOptions): Promise<ConformReport> {
  const { target, only, skip } = options;
  const statements = chosenStatements(only, skip);
  const audit = new Audit();
  const spawner = "start" in target ? target : undefined;
  let program: Program | undefined;
  const begin = async (): Promise<Probe> => {
    program = spawner === undefined ? undefined : await spawner.start({ transport: "unix" });
    const address = program === undefined ? (target as Address) : program.address;
    if (program !== undefined) {
      const patient = new Probe(
        address,
        { ...options, deadlineMs: Math.max(START_MS, options.deadlineMs) },
        new Audit(),
      );
      await patient.ask({});
    }
    return new Probe(address, options, audit, spawner);
  };
  let probe: Probe;
  try {
    probe = await begin();
    await probe.learn();
    await probe.tidy();
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    const printed = program?.lines().map((line) => `it printed: ${line}`) ?? [];
    throw new Broken(error.message, [...error.evidence, ...printed]);
  }
  const results: Result[] = [];
  let died: string | undefined;
  const leave = (): void => void probe.tidy();
  options.signal?.addEventListener("abort", leave);
  for (const statement of statements) {
    if (options.signal?.aborted === true) break;
    const begun = performance.now();
    let verdict = await tried(statement, probe);
    await probe.tidy();
    const illness = await illnessOf(probe, program);
    if (illness !== undefined) {
      const says = `${verdict.says === "" ? "" : `${verdict.says}; `}afterwards it does not answer any more: ${illness.message}`;
      const printed = program?.lines().map((line) => `it printed: ${line}`) ?? [];
      verdict = { outcome: "broken", says, evidence: [...verdict.evidence, ...illness.evidence, ...printed] };
    }
    // What kills is binding whatever the statement is.
    const level = illness === undefined ? statement.level : "must";
    const { id, section } = statement;
    const ms = performance.now() - begun;
    const result = { id, section, level, statement: statement.statement, ...verdict, ms };
    results.push(result);
    options.onResult?.(result);
    if (illness === undefined) continue;
    if (spawner === undefined) {
      died = id;
      break;
    }
    await program?.stop();
    const { facts, values, valuesPadding } = probe;
    probe = await begin();
    Object.assign(probe, { facts, values, valuesPadding });
  }
  options.signal?.removeEventListener("abort", leave);
  await program?.stop();
  const name = spawner === undefined ? printAddress(target as Address) : spawner.command;
  return { target: name, results, ...sums(results), died, blind: blindness(probe) };
}

async function tried(statement: Statement, probe: Probe): Promise<Verdict> {
  if (statement.needsSpawn === true && probe.spawner === undefined) {
    return untestable("only with --spawn, which starts the program");
  }
  try {
    return await statement.run(probe);
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    // Nobody has to do what a `may` is about.
    const outcome = statement.level === "may" ? "absent" : "broken";
    return { outcome, says: error.message, evidence: error.evidence };
  }
}

/** Whether the application still answers. */
async function illnessOf(probe: Probe, program: Program | undefined): Promise<Broken | undefined> {
  if (program?.exit !== undefined) {
    const { code, signal } = program.exit;
    return new Broken(`the program ended (${signal ?? `code ${code}`})`, []);
  }
  try {
    await probe.ask({});
    return undefined;
  } catch (error) {
    if (error instanceof Broken) return error;
    throw error;
  } finally {
    await probe.tidy();
  }
}

function sums(results: readonly Result[]): Pick<ConformReport, "counts" | "mustBroken" | "shouldBroken"> {
  const count = (outcome: Outcome): number => results.filter((one) => one.outcome === outcome).length;
  const broken = results.filter(({ outcome }) => outcome === "broken");
  return {
    counts: {
      holds: count("holds"),
      broken: count("broken"),
      absent: count("absent"),
      untestable: count("untestable"),
    },
    mustBroken: broken.filter(({ level }) => level === "must").length,
    shouldBroken: broken.filter(({ level }) => level !== "must").length,
  };
}

function blindness({ facts, hasStdin }: Probe): string[] {
  const blind: string[] = [];
  if (!facts.isStable) blind.push("the same request gives different bodies: only statuses were compared");
  else if (!facts.showsQuery) blind.push("answers do not show the parameters: a wrong one may go unseen");
  if (hasStdin && !facts.showsBody)
    blind.push("answers do not show the body: name with --upload-path what does");
  return blind;
}
