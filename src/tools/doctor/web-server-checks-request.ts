/** Questions that are answered by asking through the web server, and the application directly beside it. */
import { escapeControls } from "../../base/text.ts";
import { shWord } from "../../generate/quoting.ts";
import { explainLogLine } from "../../sites/failures.ts";
import { type Answer, askFor } from "./answer.ts";
import { logsOf, relevant } from "./log-checks.ts";
import { shown } from "./log-reading.ts";
import { sizeOf, tailOf } from "./log-tail.ts";
import type { Check, Facts, Finding, ListenFact, Remedy, WebServerFact } from "./model.ts";
import { type Visit, visit } from "./visit.ts";
import { taking } from "./web-server-remedies.ts";

/** For one request through the web server, ms. */
const PATIENCE_MS = 8000;
/** Web servers write their logs a little later than their answers. */
const LOG_MS = 500;
/** Pieces that come together, and did not leave together, were held back. */
const HELD_MS = 1000;

const through: Check = {
  id: "request.answer",
  question: "What does a visitor get, and is it the application's answer?",
  async examine(facts, signal) {
    const targets = targetsOf(facts);
    const found = await Promise.all(targets.map((target) => examined(facts, target, signal)));
    return found.flat();
  },
};

export const requestChecks: readonly Check[] = [through];

/** One address of a site, and the web server that is there, as far as one is known. */
interface Target {
  readonly url: URL;
  /** The name that visitors ask for. */
  readonly host: string | undefined;
  readonly server: WebServerFact | undefined;
  readonly wasNamed: boolean;
}

/** `--url`; else where a web server that was named, or the only one, listens. */
export function targetsOf(facts: Facts): Target[] {
  const { url, webServers } = facts;
  if (url !== undefined) {
    const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
    const isThere = ({ running, listens = [] }: WebServerFact): boolean =>
      running && listens.some((one) => one.port === port);
    return [{ url, host: undefined, server: webServers.find(isThere), wasNamed: true }];
  }
  const servers = relevant(facts).filter(({ running, backends }) => running && backends.length > 0);
  const [server] = servers;
  if (server === undefined || servers.length > 1) return [];
  const listen = (server.listens ?? []).find((one) => isHere(one));
  const path = server.backends.find((one) => one.path !== undefined)?.path ?? "/";
  if (listen === undefined || path.includes("$")) return [];
  const host =
    listen.host === "" ? "127.0.0.1" : listen.host.includes(":") ? `[${listen.host}]` : listen.host;
  return [
    {
      url: new URL(`${listen.isTls ? "https" : "http"}://${host}:${listen.port}${path}`),
      host: listen.names[0],
      server,
      wasNamed: false,
    },
  ];
}

function isHere({ host }: ListenFact): boolean {
  return host === "" || host === "localhost" || /^127\.|^::1$/.test(host);
}

async function examined(facts: Facts, target: Target, signal: AbortSignal): Promise<Finding[]> {
  const { url, host, server } = target;
  const logs =
    server === undefined ? [] : logsOf(facts, server).map((file) => ({ file, from: sizeOf(file) }));
  const visited = await visit(url, { patienceMs: PATIENCE_MS, host }, signal);
  const isFailure = visited.kind !== "answered" || visited.status >= 400;
  const lines = isFailure && server !== undefined ? await newLines(server, logs) : [];
  const address =
    facts.connect ?? facts.application?.listens[0] ?? server?.backends.find((one) => one.address)?.address;
  const question = { target: url.pathname + url.search, patienceMs: PATIENCE_MS, host: host ?? url.host };
  const direct = address === undefined ? undefined : await askFor(address, question, signal);
  return findings({ ...target, untried: untriedOf(facts) }, visited, direct, lines);
}

/** A program that a web server starts, and that was not started as a test. */
function untriedOf({ application, trial }: Facts): string | undefined {
  return trial === undefined && application?.spawnedAt !== undefined ? application.path : undefined;
}

/** What was logged meanwhile, as evidence. */
async function newLines(
  server: WebServerFact,
  logs: readonly { file: string; from: number }[],
): Promise<string[]> {
  const look = (): string[] =>
    logs.flatMap(({ file, from }) => {
      try {
        const lines = tailOf(file, server.server, from);
        const explained = lines.filter(({ text }) => explainLogLine(server.server, text) !== undefined);
        return (explained.length > 0 ? explained : lines).slice(-3).map((line) => shown(line, file));
      } catch {
        return [];
      }
    });
  const end = performance.now() + LOG_MS;
  for (;;) {
    const lines = look();
    if (lines.length > 0 || performance.now() > end || logs.length === 0) return lines;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Pure: what came through the web server, beside what the application says itself. */
export function findings(
  {
    url,
    server,
    wasNamed,
    untried,
  }: Pick<Target, "url" | "server" | "wasNamed"> & { readonly untried?: string | undefined },
  visited: Visit,
  direct: Answer | undefined,
  lines: readonly string[],
): Finding[] {
  const shownUrl = escapeControls(`${url.origin}${url.pathname}`);
  const bad = (id: string, says: string, evidence: readonly string[], ...remedy: Remedy[]): Finding => ({
    id: `request.${id}`,
    verdict: "bad",
    says,
    evidence: [...evidence, ...lines],
    remedy,
  });
  const name = server === undefined ? "the web server" : server.server;
  const directly = direct === undefined ? [] : [`the application itself: ${inWords(direct)}`];
  const advice = { advice: explained(server, lines) ?? "see its error log, and the other findings" };
  switch (visited.kind) {
    case "unconnected": {
      const says = `nobody answers at ${shownUrl}: ${escapeControls(visited.message)}`;
      if (!wasNamed) return [{ id: "request.refused", verdict: "unknown", says, evidence: [], remedy: [] }];
      return [bad("refused", says, [], { advice: "start the web server, or mend the address" })];
    }
    case "silent":
      return [
        bad(
          "no-answer",
          `${name} does not answer ${shownUrl} within ${PATIENCE_MS / 1000} s`,
          directly,
          advice,
        ),
      ];
    case "broken":
      return [
        bad(
          "cut",
          `the answer to ${shownUrl} breaks off: ${escapeControls(visited.message)}`,
          directly,
          advice,
        ),
      ];
    case "answered":
      break;
  }
  const evidence = [`through ${name}: ${visited.status}`, ...directly];
  const isWell = direct?.kind === "answered" && direct.status < 400;
  if (visited.status === 401 && isWell && url.username === "") {
    const says = `${name} asks visitors of ${shownUrl} for a password`;
    return [{ id: "request.password", verdict: "good", says, evidence, remedy: [] }];
  }
  if (visited.status >= 500) {
    const trial =
      untried === undefined
        ? []
        : [{ advice: `let the doctor start it as a test: postern doctor ${shWord("program", untried)}` }];
    return [bad("failed", `visitors of ${shownUrl} get ${visited.status}`, evidence, advice, ...trial)];
  }
  if (visited.status === 403 && isWell) {
    const says = `${name} itself forbids ${shownUrl}: the request does not reach the application`;
    return [
      bad(
        "forbidden",
        says,
        evidence,
        {
          advice:
            "allow it: a folder without an index page, Require, deny, or a file that the web server's user may not read",
        },
        ...again(server),
      ),
    ];
  }
  if (visited.status === 404 && isWell) {
    const says = `${name} itself answers ${shownUrl} with 404: the request does not reach the application`;
    return [
      bad(
        "not-passed-on",
        says,
        evidence,
        {
          advice:
            "compare the URL with the place in the configuration that leads to the application, and the host name with its server names",
        },
        ...again(server),
      ),
    ];
  }
  if (visited.status === 413)
    return [bad("too-large", `${name} refuses the request for its size`, evidence, advice)];
  const more = [prefix(visited, url, name), heldBack(visited, direct, name)].filter(
    (one) => one !== undefined,
  );
  const says = `visitors of ${shownUrl} get ${visited.status} after ${visited.headMs} ms`;
  return [...more, { id: "request.answer", verdict: "good", says, evidence: directly, remedy: [] }];
}

function again(server: WebServerFact | undefined): Remedy[] {
  return server === undefined ? [] : taking(server);
}

function explained(server: WebServerFact | undefined, lines: readonly string[]): string | undefined {
  if (server === undefined) return undefined;
  const found = lines.map((line) => explainLogLine(server.server, line)).find((one) => one !== undefined);
  return found === undefined ? undefined : escapeControls(`${found.means}: ${found.remedy}`);
}

/** A redirect that sends visitors to a doubled mount, or shows them the program's file. */
function prefix(
  { location = "" }: Visit & { kind: "answered" },
  url: URL,
  name: string,
): Finding | undefined {
  const path = location.replace(/^https?:\/\/[^/]+/, "");
  const mount = /^\/[^/]+/.exec(url.pathname)?.[0] ?? "";
  const isDoubled = mount !== "" && path.startsWith(`${mount}${mount}/`);
  const hasFile = /\.fcgi(?:\/|$)/.test(path) && !url.pathname.includes(".fcgi");
  if (!isDoubled && !hasFile) return undefined;
  return {
    id: isDoubled ? "request.prefix-doubled" : "request.file-shown",
    verdict: isDoubled ? "bad" : "doubtful",
    says: isDoubled
      ? `the application sends visitors to ${mount} twice: it is told its mount by ${name} and adds it again`
      : "the application shows visitors the name of its .fcgi file",
    evidence: [`Location: ${escapeControls(location)}`],
    remedy: [
      {
        advice: isDoubled
          ? "let one of both add it: no prefix in the application's own settings"
          : 'tell Postern its mount: --base ""',
      },
    ],
  };
}

function heldBack(
  visited: Visit & { kind: "answered" },
  direct: Answer | undefined,
  name: string,
): Finding | undefined {
  if (direct?.kind !== "answered" || direct.totalMs - direct.firstByteMs < HELD_MS) return undefined;
  if (visited.firstByteMs < direct.totalMs - HELD_MS / 2) return undefined;
  return {
    id: "request.held-back",
    verdict: "doubtful",
    says: `${name} holds the answer back until it is whole: event streams and progress do not reach visitors`,
    evidence: [
      `the application: first byte after ${direct.firstByteMs} ms, the last after ${direct.totalMs} ms`,
      `through ${name}: first byte after ${visited.firstByteMs} ms`,
    ],
    remedy: [
      { advice: `let ${name} pass answers on as they come: postern config ${name} --streaming writes how` },
    ],
  };
}

function inWords(answer: Answer): string {
  switch (answer.kind) {
    case "answered":
      return `${answer.status} after ${answer.firstByteMs} ms`;
    case "silent":
      return `nothing within ${answer.waitedMs} ms`;
    case "stranger":
      return `speaks ${escapeControls(answer.name)}`;
    default:
      return escapeControls(answer.message);
  }
}
