/** What is wrong in a web server's configuration, as `postern config --check` knows it: what matters for the application. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { escapeControls, oneLine } from "../../base/text.ts";
import { findConfigurationFile } from "../../config/load.ts";
import { checkConfiguration } from "../../sites/index.ts";
import type { Finding as SiteFinding } from "../../sites/model.ts";
import { askFor } from "./answer.ts";
import { isOfOthers } from "./concerned.ts";
import { relevant } from "./log-checks.ts";
import type { BackendFact, Check, Facts, Finding, Remedy, WebServerFact } from "./model.ts";
import { placeOf } from "./places.ts";
import { expectedBy } from "./web-server-expected.ts";
import { stepsFor, taking } from "./web-server-remedies.ts";

/** Said by other questions: addresses by those about sockets, limits and modules by their own. */
const ELSEWHERE = /^(?:address-differs|module-missing|body-limit|authorization-|no-fastcgi)/;
/** What could be better, and fails for nobody. */
const NO_FAILURE =
  /^(?:encoded-slashes|pieces-held-back|answers-collected|response-collected|keep|proxy-header|root-missing|server-tag|multiplex|max-procs|answer-cut|request-uri|timeout-missing|user-not|php-children|unknown-word|interpreter-searched)/;
const MOUNT = /^(?:mount-|base-needed|root-scriptname|path-info|path-cut)/;
const AUTHORIZATION = /^authorization-/;

const configuration: Check = {
  id: "web-server.rules",
  question: "Does the web server's configuration fit the application?",
  async examine(facts) {
    return relevant(facts).flatMap((server) => {
      const found = judged(facts, server).filter(
        ({ finding: { rule, severity } }) =>
          !ELSEWHERE.test(rule) && !(severity === "warning" && NO_FAILURE.test(rule)),
      );
      if (found.length > 0) return found.map((one) => said(facts, server, one));
      if (server.backends.length === 0) return [];
      const says = `nothing is wrong in the configuration of ${server.server} that is known to make trouble`;
      return [{ id: "web-server.rules", verdict: "good" as const, says, evidence: [], remedy: [] }];
    });
  },
};

const nothingPassed: Check = {
  id: "web-server.passes",
  question: "Does the web server pass anything on by FastCGI?",
  async examine(facts) {
    const wasNamed = facts.options?.server !== undefined || facts.options?.configFile !== undefined;
    if (!wasNamed) return [];
    return relevant(facts).flatMap((server): Finding[] => {
      if (server.backends.length > 0 || server.text === undefined || server.problem !== undefined) return [];
      const [one] = judged(facts, server).filter(({ finding }) =>
        /^(?:no-fastcgi|http-to)/.test(finding.rule),
      );
      if (one === undefined) return [];
      const remedy: Remedy[] = [{ advice: one.finding.remedy }, ...taking(server)];
      const says = escapeControls(one.finding.what);
      return [
        { id: "web-server.nothing-passed", verdict: "bad", says, evidence: server.files.slice(0, 3), remedy },
      ];
    });
  },
};

/** How long an application may take to say that it wants a password, ms. */
const PATIENCE_MS = 3000;

const authorization: Check = {
  id: "web-server.authorization",
  question: "Does the header Authorization reach the application?",
  async examine(facts, signal) {
    const found: Finding[] = [];
    for (const server of relevant(facts)) {
      const dropped = judged(facts, server).find(({ finding }) => AUTHORIZATION.test(finding.rule));
      if (dropped === undefined) continue;
      const asking = await firstAsking(server, signal);
      found.push({
        id: "web-server.authorization",
        verdict: asking === undefined ? "doubtful" : "bad",
        says:
          asking === undefined
            ? `${server.server} keeps the header Authorization to itself: an application that checks passwords or tokens never sees one`
            : `the application asks for a password or token, and ${server.server} keeps the header Authorization to itself`,
        evidence: [...placesOf(dropped), ...(asking === undefined ? [] : [asking])],
        remedy: [...stepsFor(dropped.fact, dropped.finding), ...taking(server)],
      });
    }
    return found;
  },
};

/** A backend that answers 401 to a request without a password. */
async function firstAsking({ backends }: WebServerFact, signal: AbortSignal): Promise<string | undefined> {
  for (const { address, path } of backends) {
    if (address === undefined) continue;
    const answer = await askFor(address, { target: path ?? "/", patienceMs: PATIENCE_MS }, signal);
    if (answer.kind === "answered" && answer.status === 401)
      return "it answers 401 to a request without the header";
  }
  return undefined;
}

export const configurationChecks: readonly Check[] = [nothingPassed, configuration, authorization];

/** A finding, and the configuration that it is about: the server's own, or an `.htaccess`. */
interface Judged {
  readonly finding: SiteFinding;
  readonly fact: WebServerFact;
}

function judged(facts: Facts, server: WebServerFact): Judged[] {
  const { text, backends, others = [] } = server;
  const ours = placesIn(backends);
  const theirs = new Set([...placesIn(others)].filter((place) => !ours.has(place)));
  const htaccess = (server.htaccess ?? []).filter(({ file }) => !theirs.has(file));
  const own = text === undefined || server.problem !== undefined ? [] : [server];
  const more = htaccess.map(({ file, text: content }): WebServerFact => {
    const lines = content.split("\n").map((_, at) => ({ file, line: at + 1 }));
    return { ...server, text: content, lines, files: [file] };
  });
  const all = [...own, ...more].flatMap((fact): Judged[] => {
    try {
      return checkConfiguration(server.server, fact.text ?? "", expectedBy(facts)).map((finding) => ({
        finding,
        fact,
      }));
    } catch (error) {
      const what = oneLine(error instanceof Error ? error.message : error);
      return [
        { fact, finding: { rule: "unreadable", severity: "warning", line: 0, what, remedy: "mend it" } },
      ];
    }
  });
  return all.filter(({ finding, fact }) => {
    const at = fact.lines?.[finding.line - 1];
    if (at !== undefined && theirs.has(`${at.file}:${at.line}`)) return false;
    if (fact === server && isOfOthers(server, finding)) return false;
    // A server without FastCGI, of which the .htaccess files have it.
    return more.length === 0 || fact !== server || !/^no-fastcgi/.test(finding.rule);
  });
}

/** Where backends are written, as `file:line`, and as the files alone. */
function placesIn(backends: readonly BackendFact[]): Set<string> {
  return new Set(backends.flatMap(({ place }) => [place, placeOf(place).file]));
}

function said(facts: Facts, server: WebServerFact, one: Judged): Finding {
  const { finding, fact } = one;
  const isMount = MOUNT.test(finding.rule);
  return {
    id: isMount ? "web-server.mount" : `web-server.${finding.rule}`,
    verdict: finding.severity === "error" ? "bad" : "doubtful",
    says: escapeControls(finding.what),
    evidence: placesOf(one),
    remedy:
      isMount && finding.severity === "error" && facts.application?.base !== undefined
        ? mounted(facts, server, finding)
        : [...stepsFor(fact, finding), ...taking(server)],
  };
}

/** What visitors ask for stays: the application is told where it is. */
function mounted(facts: Facts, server: WebServerFact, finding: SiteFinding): Remedy[] {
  const base = facts.application?.base ?? "";
  const path = server.backends.find((backend) => backend.path !== undefined)?.path?.replace(/\/+$/, "");
  const file = facts.options?.config ?? settingsIn(facts.application?.folder);
  if (path === undefined || path === base) return [...stepsFor(server, finding), ...taking(server)];
  const step = file === undefined ? undefined : baseIn(file, base, path);
  return [
    step ?? { advice: `start it with --base ${path === "" ? '""' : path}, in place of ${base}` },
    { advice: "start the application again" },
  ];
}

function settingsIn(folder: string | undefined): string | undefined {
  if (folder === undefined || !existsSync(folder)) return undefined;
  const found = findConfigurationFile(folder);
  return found === undefined ? undefined : join(folder, found.slice(found.lastIndexOf("/") + 1));
}

function baseIn(file: string, base: string, path: string): Remedy | undefined {
  let lines: string[];
  try {
    lines = readFileSync(file, "utf8").split("\n");
  } catch {
    return undefined; // gone, or not ours to read
  }
  for (const [at, line] of lines.entries()) {
    const found = /\bbase\b["']?\s*:\s*(["'`])(.*?)\1/.exec(line);
    if (found === null || found[2] !== base) continue;
    const to = found[0].slice(0, -base.length - 1) + path + found[1];
    return { file, line: at + 1, from: found[0], to };
  }
  return undefined;
}

function placesOf({ finding, fact }: Judged): string[] {
  const at = fact.lines?.[finding.line - 1];
  return [at === undefined ? (fact.files[0] ?? finding.rule) : `${at.file}:${at.line} (${finding.rule})`];
}
