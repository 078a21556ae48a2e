/** Questions about the web servers' logs: what the lines of their ends mean. */
import { escapeControls, oneLine } from "../../base/text.ts";
import type { FailureCause } from "../../sites/failures.ts";
import { aboutOthers, aboutOurs, shown, type Told, told } from "./log-reading.ts";
import { journalOf, type LogLine, tailOf } from "./log-tail.ts";
import type { Check, Facts, Finding, WebServerFact } from "./model.ts";
import { nameOf } from "./servers/index.ts";

/** Lines of a server that does not run are looked at for so long. */
const DAY_MS = 86_400_000;
/** What was said before is history. */
const RECENT_MS = 15 * 60_000;
const MOST_LINES = 3;

/** What the questions about sockets and programs find out better: here it is what has been. */
const ASKED_ELSEWHERE: readonly FailureCause[] = [
  "no-socket",
  "socket-refused",
  "port-refused",
  "no-permission",
  "not-fastcgi",
  "no-backend",
  "spawn-failed",
];

const readable: Check = {
  id: "log.readable",
  question: "Can the web server's error log be read?",
  async examine(facts) {
    return relevant(facts).flatMap((server) =>
      logsOf(facts, server).flatMap((file): Finding[] => {
        try {
          tailOf(file, server.server);
          return [
            {
              id: "log.readable",
              verdict: "good",
              says: `${nameOf(server)} logs to ${file}`,
              evidence: [],
              remedy: [],
            },
          ];
        } catch (error) {
          return [
            {
              id: "log.unreadable",
              verdict: "unknown",
              says: `the log of ${server.server} cannot be read: what it says is not known here`,
              evidence: [oneLine(error)],
              remedy: [],
            },
          ];
        }
      }),
    );
  },
};

const lines: Check = {
  id: "log.lines",
  question: "What does the web server's error log say of the application?",
  async examine(facts, signal) {
    const found: Finding[] = [];
    for (const server of relevant(facts)) {
      const since = server.master?.loadedAt ?? server.master?.startedAt ?? Date.now() - DAY_MS;
      const read = (all: readonly LogLine[], file: string): Finding[] => {
        const isOurs = aboutOurs(server, all);
        const said = told(server.server, all, since, aboutOthers(facts, server, all));
        return said.map((one) => findingOf(one, file, isOurs));
      };
      for (const file of logsOf(facts, server)) found.push(...read(safeTail(file, server), file));
      if (server.unit === undefined || facts.options?.log !== undefined) continue;
      const entries = await journalOf(server.unit, server.server, signal);
      found.push(...read(entries, `journalctl -u ${server.unit}`));
    }
    if (found.length > 0) return found;
    const files = relevant(facts).flatMap((server) => logsOf(facts, server));
    if (files.length === 0) return [];
    return [
      {
        id: "log.lines",
        verdict: "good",
        says: "no line of it is about a failure of the application",
        evidence: files,
        remedy: [],
      },
    ];
  },
};

export const logChecks: readonly Check[] = [readable, lines];

/** Those that have to do with FastCGI; all, when somebody has named one. */
export function relevant({ webServers, options }: Facts): readonly WebServerFact[] {
  if (options?.server !== undefined || options?.configFile !== undefined || options?.log !== undefined)
    return webServers;
  return webServers.filter(({ backends }) => backends.length > 0);
}

/** `--log` takes the place of all that were found. */
export function logsOf({ options }: Facts, { errorLogs }: WebServerFact): readonly string[] {
  return options?.log === undefined ? errorLogs : [options.log];
}

function safeTail(file: string, { server }: WebServerFact): LogLine[] {
  try {
    return tailOf(file, server);
  } catch {
    return []; // said by the other question
  }
}

function findingOf(
  { failure, lines: said }: Told,
  file: string,
  isAboutOurs: (line: string) => boolean,
): Finding {
  const newest = said[0]?.time;
  const isRecent = newest === undefined || Date.now() - newest < RECENT_MS;
  const isOurs = said.some(({ text }) => isAboutOurs(text));
  const isBad = isRecent && isOurs && !ASKED_ELSEWHERE.includes(failure.cause);
  const times = said.length > 1 ? `, ${said.length} times` : "";
  const when = newest === undefined ? "" : ` at ${new Date(newest).toISOString().replace(/\.\d+Z$/, "Z")}`;
  return {
    id: `log.${failure.cause}`,
    verdict: isBad ? "bad" : "doubtful",
    says: escapeControls(
      `the log of ${failure.server} tells of requests that failed${when}${times}${isOurs ? "" : ", perhaps of another site"}: ${failure.means}`,
    ),
    evidence: said.slice(0, MOST_LINES).map((line) => shown(line, file)),
    remedy: [{ advice: failure.remedy }],
  };
}
