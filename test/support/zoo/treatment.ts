/** The doctor as a person uses it: the command is run, its answer read, and what it prints as the remedy is done. */
import { readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { explainLogLine } from "../../../src/sites/failures.ts";
import type { WebServerName } from "../../../src/sites/model.ts";
import type { Finding, Remedy } from "../../../src/tools/doctor/model.ts";
import { run } from "../process.ts";
import { waitFor } from "../wait.ts";
import type { Patient, Sight } from "./model.ts";
import { commandIn, type Place, sharedLibrary } from "./place.ts";

export interface Diagnosis {
  readonly code: number | null;
  readonly findings: readonly Finding[];
  /** Everything that was printed, for messages of tests. */
  readonly text: string;
}

/** `postern doctor … --json`, in the folder of the application. */
export async function consult(place: Place, args: readonly string[]): Promise<Diagnosis> {
  const command = commandIn(await sharedLibrary());
  const { code, stdout, stderr } = await run(process.execPath, [command, "doctor", ...args, "--json"], {
    cwd: place.folder,
    timeoutMs: 60_000,
  });
  const line = `postern doctor ${args.join(" ")}: ${code}`;
  if (!stdout.startsWith("{")) throw new Error(`${line}\n${stdout}\n${stderr}`);
  const { findings } = JSON.parse(stdout) as { readonly findings: readonly Finding[] };
  const text = [line, ...findings.flatMap(linesOf), stderr].join("\n");
  return { code, findings, text };
}

function linesOf({ id, verdict, says, evidence, remedy }: Finding): string[] {
  const all = verdict === "good" ? [] : [...evidence, ...remedy.map((step) => JSON.stringify(step))];
  return [`${verdict} ${id}: ${says}`, ...all.map((line) => `    ${line}`)];
}

/** Does what is printed, to the letter; what has no letters is for the patient's owner. @returns how often that was */
export async function applyRemedy(
  place: Place,
  patient: Patient,
  remedy: readonly Remedy[],
): Promise<{ readonly literal: number; readonly byHand: number }> {
  let [literal, byHand] = [0, 0];
  for (const step of remedy) {
    if ("advice" in step) {
      byHand++;
      await patient.byHand?.(step.advice);
      continue;
    }
    literal++;
    if ("run" in step) await runLine(place, step.run);
    else replaceIn(step.file, step.line, step.from, step.to);
  }
  return { literal, byHand };
}

/** By a shell, in the folder of the application, where `npx postern` is the one of this run. */
async function runLine(place: Place, line: string): Promise<void> {
  const path = [join(await sharedLibrary(), ".bin"), process.env["PATH"]].join(delimiter);
  const { code, stdout, stderr } = await run("/bin/sh", ["-c", line], {
    cwd: place.folder,
    env: { ...process.env, PATH: path },
    timeoutMs: 30_000,
  });
  if (code !== 0) throw new Error(`${line}\nended with ${code}:\n${stdout}\n${stderr}`);
}

function replaceIn(file: string, line: number | undefined, from: string, to: string): void {
  const text = readFileSync(file, "utf8");
  const start =
    line === undefined ? 0 : text.split("\n", line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  const at = text.indexOf(from, start);
  const end = line === undefined ? text.length : text.indexOf("\n", start) + from.length;
  if (at < 0 || at > end) {
    throw new Error(`${file} line ${line ?? "any"} does not hold ${JSON.stringify(from)}:\n${text}`);
  }
  writeFileSync(file, text.slice(0, at) + to + text.slice(at + from.length));
}

/** Waits until a visitor sees it: programs are started anew, and web servers give a broken one some time. */
export async function untilSeen(patient: Patient, wanted: Sight, evidence: () => string): Promise<void> {
  let seen: Sight | undefined;
  await waitFor(
    async () => {
      seen = await patient.visit();
      return seen === wanted;
    },
    {
      timeoutMs: 45_000,
      what: `a visitor to see ${wanted}`,
      evidence: () => `seen: ${seen}\n${patient.web.errorLog().slice(-3000)}\n${evidence()}`,
    },
  );
}

const NAMES: Readonly<Record<string, WebServerName>> = {
  Apache: "apache",
  Caddy: "caddy",
  HAProxy: "haproxy",
};

/** The line of the web server's log that is about it: a known one, or the last that speaks of an error. */
export function tellingLine(server: string, log: string, folder: string): string {
  const [first = ""] = server.split(" ");
  const name = NAMES[first] ?? (first as WebServerName);
  const lines = log.split("\n").filter((line) => line.trim() !== "");
  const found =
    lines.findLast((line) => explainLogLine(name, line) !== undefined) ??
    lines.findLast((line) => /error|denied|failed|timeout|warn/i.test(line) && !/notice/.test(line));
  if (found === undefined) return "";
  return found
    .replace(/^std(err|out)\| /, "")
    .replace(/^\S+ \S+ (?=\[)/, "")
    .replace(/^(\[[^\]]*\] )+/, "")
    .replace(/^[\d-]+ [\d:]+ /, "")
    .replace(/^\d+#\d+: \*?\d* ?/, "")
    .replaceAll(folder, "…");
}
