/** Limits of web servers that requests have met, by what their logs say: the size of bodies, time, the size of heads. */
import { checkConfiguration } from "../../sites/index.ts";
import type { Finding as SiteFinding } from "../../sites/model.ts";
import { isOfOthers } from "./concerned.ts";
import { logsOf, relevant } from "./log-checks.ts";
import { aboutOthers, shown, type Told, told } from "./log-reading.ts";
import { tailOf } from "./log-tail.ts";
import type { Check, Facts, Finding, WebServerFact } from "./model.ts";
import { expectedBy } from "./web-server-expected.ts";
import { stepsFor, taking } from "./web-server-remedies.ts";

/** Rules of `checkConfiguration` about bodies. */
const BODIES = /^body-limit/;

export const limitsCheck: Check = {
  id: "web-server.limits",
  question: "Do the web server's limits let through what visitors send?",
  async examine(facts) {
    return relevant(facts).flatMap((server) => {
      const met = logsOf(facts, server).flatMap((file) => linesAbout(facts, server, file));
      const finding = bodyRule(facts, server);
      if (met.length > 0) return met.map((one) => tooLarge(server, one, finding));
      if (finding === undefined) return [];
      return [
        {
          id: "web-server.body-limit",
          verdict: "doubtful" as const,
          says: finding.what,
          evidence: placesOf(server, finding),
          remedy: [...stepsFor(server, finding), ...taking(server)],
        },
      ];
    });
  },
};

function linesAbout(facts: Facts, server: WebServerFact, file: string): { told: Told; file: string }[] {
  try {
    const since = server.master?.loadedAt ?? server.master?.startedAt ?? Date.now() - 86_400_000;
    return told(server.server, tailOf(file, server.server), since, aboutOthers(facts, server))
      .filter(({ failure }) => failure.cause === "body-too-large")
      .map((one) => ({ told: one, file }));
  } catch {
    return []; // not ours to read: said elsewhere
  }
}

function bodyRule(facts: Facts, server: WebServerFact): SiteFinding | undefined {
  try {
    return checkConfiguration(server.server, server.text ?? "", expectedBy(facts)).find(
      (one) => BODIES.test(one.rule) && !isOfOthers(server, one),
    );
  } catch {
    return undefined; // no configuration that can be read
  }
}

function tooLarge(
  server: WebServerFact,
  { told: { lines }, file }: { told: Told; file: string },
  rule: SiteFinding | undefined,
): Finding {
  const found = rule ?? writtenLimit(server);
  return {
    id: "web-server.body-limit",
    verdict: "bad",
    says: `${server.server} refuses bodies that visitors have sent: they are larger than it lets through`,
    evidence: [
      ...lines.slice(0, 3).map((line) => shown(line, file)),
      ...(found === undefined ? [] : placesOf(server, found)),
    ],
    remedy: [
      ...(found === undefined ? [{ advice: "raise its limit of request bodies" }] : stepsFor(server, found)),
      ...taking(server),
    ],
  };
}

/** A limit that was set, and is too small for what came. */
function writtenLimit({ server, text = "" }: WebServerFact): SiteFinding | undefined {
  const rules: Partial<Record<WebServerFact["server"], readonly [rule: string, pattern: RegExp]>> = {
    nginx: ["body-limit", /^\s*client_max_body_size\s/],
    apache: ["body-limit-small", /^\s*(?:Fcgid)?MaxRequestLen\s/i],
    lighttpd: ["body-limit", /^\s*server\.max-request-size\s/],
    h2o: ["body-limit-too-small", /^\s*limit-request-body:/],
  };
  const [rule, pattern] = rules[server] ?? [];
  if (rule === undefined || pattern === undefined) return undefined;
  const line = text.split("\n").findIndex((one) => pattern.test(one)) + 1;
  return line === 0
    ? undefined
    : { rule, severity: "error", line, what: "the limit is too small", remedy: "a larger limit" };
}

function placesOf({ lines }: WebServerFact, { line, what }: SiteFinding): string[] {
  const at = lines?.[line - 1];
  return [at === undefined ? what : `${at.file}:${at.line}: ${what}`];
}
