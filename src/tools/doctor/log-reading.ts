/** What the lines of a log tell of the application: explained, gathered by cause, the newest first. Pure. */
import { basename } from "node:path";
import { printAddress } from "../../base/address.ts";
import { clip, escapeControls } from "../../base/text.ts";
import { type Explanation, explainLogLine, type Failure } from "../../sites/failures.ts";
import type { WebServerName } from "../../sites/model.ts";
import type { LogLine } from "./log-tail.ts";
import type { BackendFact, Facts, WebServerFact } from "./model.ts";

export interface Told {
  readonly failure: Failure & Explanation;
  /** Those that say so, the newest first. */
  readonly lines: readonly LogLine[];
}

const MOST_CHARACTERS = 300;

/** @param since ms since 1970; lines of no known time count as new */
export function told(
  server: WebServerName,
  lines: readonly LogLine[],
  since: number,
  isOthers: (line: string) => boolean = () => false,
): Told[] {
  const byCause = new Map<string, { failure: Failure & Explanation; lines: LogLine[] }>();
  for (const line of [...lines].reverse()) {
    // Most logs know whole seconds.
    if (line.time !== undefined && line.time < Math.floor(since / 1000) * 1000) continue;
    const failure = explainLogLine(server, line.text);
    if (failure === undefined || isOthers(line.text) || isOnlyTalk(failure, line.text)) continue;
    const key = `${failure.cause} ${failure.means}`;
    const found = byCause.get(key);
    if (found === undefined) byCause.set(key, { failure, lines: [line] });
    else found.lines.push(line);
  }
  return [...byCause.values()];
}

/** What a program writes to its standard error is mostly no failure. */
function isOnlyTalk({ cause }: Failure, line: string): boolean {
  return cause === "threw" && !/\b(?:[A-Z]\w*Error|[Ee]xception|Traceback|[Uu]ncaught|fatal)\b/.test(line);
}

/** A line with its time, as evidence. */
export function shown({ text }: LogLine, file: string): string {
  return `${file}: ${clip(escapeControls(text.trim()), MOST_CHARACTERS)}`;
}

/** Addresses that a line is about. */
export function addressesIn(line: string): string[] {
  const unix = [...line.matchAll(/(?:unix:|Unix domain socket |dial unix )(\/[^\s:"'|,)]+)/g)];
  const tcp = [
    ...line.matchAll(/(?:fastcgi:\/\/|dial tcp |connect to |fcgi:\/\/)((?:[\w.-]+|\[[\da-f:]+\]):\d+)/gi),
  ];
  return [...unix, ...tcp].map(([, address = ""]) => address);
}

/**
 * Whether a line is about another application: the configuration has a place for ours, and the line names one of the
 * others. Where ours is not among them, every line may be about it.
 * @param lines all of the log: of what happened to one visitor not every line says more than the visitor's address
 */
export function aboutOthers(
  facts: Facts,
  server: WebServerFact,
  lines: readonly LogLine[] = [],
): (line: string) => boolean {
  const isOurs = aboutOurs(server);
  const namesAddress = namesOtherAddress(facts, server);
  const namesSite = namesOtherSite(server);
  const names: IsAbout = (line) => namesAddress(line) || namesSite(line);
  // A visitor may have been with both.
  const isAbout = withVisitors(names, lines);
  if (server.others === undefined || server.others.length === 0) return isAbout;
  return (line) => names(line) || (!isOurs(line) && isAbout(line));
}

/** Lines that name something, and all others of the visitors of whom these speak. */
function withVisitors(names: IsAbout, lines: readonly LogLine[]): IsAbout {
  const named = lines.filter(({ text }) => names(text)).map(({ text }) => visitorIn(text));
  const visitors = new Set(named.filter((one) => one !== undefined));
  return (line) => names(line) || visitors.has(visitorIn(line) ?? "");
}

type IsAbout = (line: string) => boolean;

function namesOtherAddress(facts: Facts, { backends }: WebServerFact): IsAbout {
  const ours = [
    ...(facts.application?.listens ?? []),
    ...(facts.connect === undefined ? [] : [facts.connect]),
  ].map(spelled);
  const said = backends.flatMap(({ address }) => (address === undefined ? [] : [spelled(address)]));
  if (ours.length === 0 || !said.some((one) => ours.includes(one))) return () => false;
  return (line) => {
    const named = addressesIn(line).map((one) => one.replace(/^\/var\/run\//, "/run/"));
    return named.length > 0 && !named.some((one) => ours.includes(one));
  };
}

/** By the host that was asked for, the socket, or the program of a site that the question is not about. */
function namesOtherSite({ backends, others = [] }: WebServerFact): IsAbout {
  if (others.length === 0) return () => false;
  const owner = ownerBy(backends, others);
  return (line) => owner(line) === "theirs";
}

/**
 * Whether a line says that it is about ours: on a server with other sites, those that name none may be anybody's. Without
 * other sites every line is about ours.
 */
export function aboutOurs(
  { backends, others = [] }: WebServerFact,
  lines: readonly LogLine[] = [],
): (line: string) => boolean {
  if (others.length === 0) return () => true;
  const owner = ownerBy(backends, others);
  return withVisitors((line) => owner(line) === "ours", lines);
}

/** Whose a line is. A socket or program says more than the host that was asked for: one host has several of them. */
function ownerBy(
  ours: readonly BackendFact[],
  theirs: readonly BackendFact[],
): (line: string) => "ours" | "theirs" | undefined {
  // Many a site calls its program index.fcgi.
  const files = new Map<string, Set<string>>();
  for (const { program } of [...ours, ...theirs]) {
    if (program === undefined) continue;
    const same = files.get(basename(program)) ?? new Set();
    files.set(basename(program), same.add(program));
  }
  const isClear = (mark: string): boolean => (files.get(mark)?.size ?? 1) === 1;
  const kinds = [
    { of: placesOf, in: placesIn },
    { of: hostsOf, in: hostsIn },
  ].map((kind) => ({
    ours: new Set(ours.flatMap(kind.of).filter(isClear)),
    theirs: new Set(theirs.flatMap(kind.of).filter(isClear)),
    marksIn: kind.in,
  }));
  return (line) => {
    for (const kind of kinds) {
      const marks = kind.marksIn(line);
      if (marks.some((mark) => kind.ours.has(mark))) return "ours";
      if (marks.some((mark) => kind.theirs.has(mark))) return "theirs";
    }
    return undefined;
  };
}

/** How lines of logs name a place. */
function placesOf({ address, program }: BackendFact): string[] {
  return [
    ...(address === undefined ? [] : [spelled(address)]),
    ...(program === undefined ? [] : [program, basename(program)]),
  ];
}

function placesIn(line: string): string[] {
  return [
    ...addressesIn(line).map((one) => one.replace(/^\/var\/run\//, "/run/")),
    ...[...line.matchAll(/[\w./-]+\.fcgi\b/g)].flatMap(([program]) => [program, basename(program)]),
  ];
}

function hostsOf({ site }: BackendFact): string[] {
  return site?.names.map((name) => name.toLowerCase()) ?? [];
}

function hostsIn(line: string): string[] {
  return [...line.matchAll(/\bhost: "([^":]+)/g)].map(([, host = ""]) => host.toLowerCase());
}

/** `[client 192.0.2.1:50000]`, as Apache has it. */
function visitorIn(line: string): string | undefined {
  return /\[client [^\]\s]+:\d+\]/.exec(line)?.[0];
}

function spelled(address: Parameters<typeof printAddress>[0]): string {
  return printAddress(address)
    .replace(/^unix:/, "")
    .replace(/^\/var\/run\//, "/run/")
    .replace(/^localhost:/, "127.0.0.1:");
}
