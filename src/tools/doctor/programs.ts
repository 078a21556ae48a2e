/** The programs that a doctor's questions are about, and what those questions have in common. */
import { basename, resolve } from "node:path";
import { BARE_PATH } from "./facts.ts";
import type { Check, Facts, Finding, Identity } from "./model.ts";

/** One program, and who starts it with what. */
export interface ProgramOf {
  /** As it is written. */
  readonly written: string;
  readonly path: string;
  readonly user: Identity | undefined;
  /** Where a configuration names it; undefined for one that was given. */
  readonly place: string | undefined;
  /** PATH of whoever starts it. */
  readonly searchPath: string;
  /** Whether it is started by itself, and not read by node or served by Postern. */
  readonly isStarted: boolean;
}

/** The programs in question: the application; without one, all that the web servers start. */
export function programsOf({ application, webServers, trial }: Facts): ProgramOf[] {
  const spawned = webServers.flatMap((server) =>
    server.backends.flatMap(({ program, place }): ProgramOf[] => {
      if (program === undefined) return [];
      const searchPath = server.environment?.["PATH"] ?? BARE_PATH;
      const path = resolve("/", program);
      return [{ written: program, path, user: server.user, place, searchPath, isStarted: true }];
    }),
  );
  // One .htaccess may be that of several sites.
  const each = [...new Map(spawned.map((one) => [`${one.place} ${one.path}`, one])).values()];
  if (application?.path === undefined) return each;
  const { path } = application;
  const same = each.filter((one) => one.path === path || basename(one.path) === basename(path));
  if (same.length > 0) return same;
  const isStarted = trial === undefined ? /\.f?cgi$/.test(path) : trial.command[0] === path;
  const searchPath = trial?.environment["PATH"] ?? BARE_PATH;
  return [
    { written: application.file, path, user: application.user, place: undefined, searchPath, isStarted },
  ];
}

/** A check that is asked of every program. */
export function perProgram(
  id: string,
  question: string,
  ask: (program: ProgramOf, facts: Facts, signal: AbortSignal) => Promise<readonly Finding[]>,
): Check {
  return {
    id,
    question,
    examine: async (facts, signal) => {
      const found: Finding[] = [];
      for (const program of programsOf(facts)) found.push(...(await ask(program, facts, signal)));
      return found;
    },
  };
}

export function good(id: string, says: string, evidence: readonly string[] = []): Finding {
  return { id, verdict: "good", says, evidence, remedy: [] };
}
