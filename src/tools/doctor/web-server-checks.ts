/** Questions about the web servers themselves: whether they run, with which configuration, and what is wrong in it. */
import { statSync } from "node:fs";
import { clip, escapeControls } from "../../base/text.ts";
import { holderOfPort } from "../../server/socket-holder.ts";
import { logsOf, relevant } from "./log-checks.ts";
import { addressesIn, shown } from "./log-reading.ts";
import { tailOf } from "./log-tail.ts";
import type { Check, Facts, Finding, Remedy, WebServerFact } from "./model.ts";
import { runs } from "./servers/commands.ts";
import { nameOf } from "./servers/index.ts";
import { contentOf, environmentOf } from "./servers/processes.ts";
import { configurationChecks } from "./web-server-checks-configuration.ts";
import { kernelCheck } from "./web-server-checks-kernel.ts";
import { limitsCheck } from "./web-server-checks-limits.ts";
import { modulesCheck } from "./web-server-checks-modules.ts";
import { edit, taking } from "./web-server-remedies.ts";

const readable: Check = {
  id: "web-server.configuration",
  question: "Is there a web server with FastCGI in its configuration, and can that be read?",
  async examine({ webServers, options }) {
    const wasNamed = options?.server !== undefined || options?.configFile !== undefined;
    if (webServers.length === 0 && wasNamed) {
      const says = `there is no ${options?.server ?? "web server"} on this machine that could be looked at`;
      return [{ id: "web-server.none", verdict: "unknown", says, evidence: [], remedy: [] }];
    }
    return webServers.flatMap((server): Finding[] => {
      if (server.problem !== undefined) {
        const says = `the configuration of ${nameOf(server)} could not be read`;
        return [
          {
            id: "web-server.unreadable",
            verdict: "unknown",
            says,
            evidence: [escapeControls(server.problem)],
            remedy: [],
          },
        ];
      }
      if (server.backends.length === 0) return [];
      const places = [...new Set(server.backends.map(({ place }) => place))];
      const says = `${nameOf(server)} passes requests on by FastCGI`;
      return [{ id: "web-server.configuration", verdict: "good", says, evidence: places, remedy: [] }];
    });
  },
};

/** A message of a server's own check that comes of who asks. */
const NOT_OURS = /Permission denied|must be run as root|Operation not permitted|cannot become/i;

const syntax: Check = {
  id: "web-server.syntax",
  question: "Does the web server itself accept its configuration?",
  async examine(facts, signal) {
    const found: Finding[] = [];
    for (const server of relevant(facts)) {
      const { check, master } = server;
      if (check === undefined) continue;
      // Apache's refers to variables that its starter sets.
      const environment = master === undefined ? undefined : environmentOf(master.pid);
      const { text, code } = await runs(check, signal, { environment });
      if (code === undefined) continue;
      const lines = text
        .split("\n")
        .filter((line) => line.trim() !== "")
        .map((line) => clip(escapeControls(line), 300));
      const id = "web-server.syntax";
      if (code === 0) {
        found.push({
          id,
          verdict: "good",
          says: `${server.server} accepts its configuration`,
          evidence: [],
          remedy: [],
        });
      } else if (process.getuid?.() !== 0 && NOT_OURS.test(text)) {
        const says = `only root can let ${server.server} check its configuration`;
        found.push({ id, verdict: "unknown", says, evidence: lines.slice(0, 3), remedy: [] });
      } else {
        const says = `${server.server} refuses its configuration: ${server.running ? "a reload fails, and what was changed has no effect" : "it does not start"}`;
        found.push({
          id,
          verdict: "bad",
          says,
          evidence: lines.slice(0, 6),
          remedy: [...mended(server, text), ...taking(server)],
        });
      }
    }
    return found;
  },
};

/** A directive that nobody knows is taken out of the way; everything else needs a person. */
function mended(server: WebServerFact, message: string): Remedy[] {
  const [, directive, file, line] =
    /unknown directive "([^"]+)" in (\S+):(\d+)/.exec(message) ??
    /"([^"]+)" directive is (?:not allowed here|duplicate) in (\S+):(\d+)/.exec(message) ??
    apacheMistake(message) ??
    [];
  const at = server.lines?.findIndex((one) => one.file === file && one.line === Number(line)) ?? -1;
  const step =
    directive === undefined
      ? undefined
      : edit(server, at + 1, new RegExp(escaped(directive)), (found) => `# ${found}`);
  return step ?? [{ advice: `mend the line that it names${file === undefined ? "" : `: ${file}:${line}`}` }];
}

function apacheMistake(message: string): readonly [string, string, string, string] | undefined {
  const [, line = "", file = ""] = /Syntax error on line (\d+) of ([^:\n]+):/.exec(message) ?? [];
  const name = /Invalid command '([^']+)'/.exec(message)?.[1];
  return name === undefined ? undefined : ["", name, file, line];
}

function escaped(text: string): string {
  return text.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");
}

const ports: Check = {
  id: "web-server.port",
  question: "Does the web server have the ports that its configuration names?",
  async examine(facts) {
    return relevant(facts).flatMap((server) =>
      (server.listens ?? []).flatMap(({ host, port, place }): Finding[] => {
        const holder = holderOfPort(host, port);
        const pid = Number(/pid (\d+)/.exec(holder)?.[1] ?? 0);
        const isOwn = server.running && (holder === "" || isOf(pid, server));
        if (holder === "" || isOwn) return [];
        const other = facts.webServers.find((one) => one !== server && isOf(pid, one));
        const stop = other?.unit === undefined ? `kill ${pid}` : `systemctl stop ${other.unit}`;
        const evidence = [`${place}: port ${port}`, `held by another process${escapeControls(holder)}`];
        const says = `port ${port} of ${nameOf(server)} is taken by another process: visitors reach that one`;
        return [
          {
            id: "web-server.port-taken",
            verdict: "bad",
            says,
            evidence,
            remedy: [{ run: stop }, ...taking(server)],
          },
        ];
      }),
    );
  },
};

/** A process of a server, or one that it has made. */
function isOf(pid: number, { master }: WebServerFact): boolean {
  if (master === undefined) return false;
  for (let at = pid, depth = 0; at > 1 && depth < 10; depth++) {
    if (at === master.pid) return true;
    at = parentOf(at);
  }
  return false;
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)/m.exec(contentOf(`/proc/${pid}/status`))?.[1] ?? 0);
}

const running: Check = {
  id: "web-server.running",
  question: "Does the web server run?",
  async examine(facts) {
    return relevant(facts).map((server): Finding => {
      if (server.running) {
        return {
          id: "web-server.running",
          verdict: "good",
          says: `${nameOf(server)} runs`,
          evidence: [],
          remedy: [],
        };
      }
      const { options } = facts;
      const wasNamed = options?.server !== undefined || options?.configFile !== undefined;
      const says = `${nameOf(server)} does not run`;
      return {
        id: "web-server.not-running",
        verdict: wasNamed ? "bad" : "doubtful",
        says,
        evidence: server.files.slice(0, 1),
        remedy: taking(server),
      };
    });
  },
};

/** The clock of files and that of processes do not agree to the millisecond. */
const SLACK_MS = 100;

const reloaded: Check = {
  id: "web-server.reloaded",
  question: "Does the web server run with the configuration that is on the disk?",
  async examine(facts) {
    return relevant(facts).flatMap((server): Finding[] => {
      const { master } = server;
      if (master === undefined) return [];
      const loadedAt = master.loadedAt ?? master.startedAt;
      const lines = strangeLines(facts, server, loadedAt);
      const newer = server.files.filter((file) => changedAt(file) > loadedAt + SLACK_MS);
      if (newer.length === 0 && lines.length === 0) {
        const says = `${server.server} runs with the configuration that is on the disk`;
        return [{ id: "web-server.reloaded", verdict: "good", says, evidence: [], remedy: [] }];
      }
      const isSure = lines.length > 0;
      const evidence = [
        ...newer
          .slice(0, 5)
          .map((file) => `${file} was changed at ${new Date(changedAt(file)).toISOString()}`),
        `it read its configuration at ${new Date(loadedAt).toISOString()}${master.loadedAt === undefined ? ", or later" : ""}`,
        ...lines.slice(0, 2),
      ];
      const says = isSure
        ? `${server.server} runs with an older configuration than the one on the disk: it goes to an address that is not in there any more`
        : `the configuration of ${server.server} was changed after it was read: ${master.loadedAt === undefined ? "unless it was reloaded, " : ""}the change has no effect yet`;
      const verdict = isSure ? "bad" : "doubtful";
      return [{ id: "web-server.not-reloaded", verdict, says, evidence, remedy: taking(server) }];
    });
  },
};

/** Lines of its log, newer than the configuration on the disk, about sockets that this does not name. */
function strangeLines(facts: Facts, server: WebServerFact, loadedAt: number): string[] {
  const { text = "", files } = server;
  const since = Math.max(loadedAt, ...files.map(changedAt));
  // A path in HAProxy's chroot, or one put together of variables, is not written like this; lighttpd counts its own.
  const isStrange = (line: string): boolean =>
    addressesIn(line).some((one) => one.startsWith("/") && !text.includes(one.replace(/-\d+$/, "")));
  if (text === "" || server.chroot !== undefined || /unix:[^;\s]*\$/.test(text)) return [];
  return logsOf(facts, server).flatMap((file) => {
    try {
      return tailOf(file, server.server)
        .filter((line) => line.time !== undefined && line.time >= Math.floor(since / 1000) * 1000)
        .filter((line) => isStrange(line.text))
        .slice(-2)
        .map((line) => shown(line, file));
    } catch {
      return []; // not ours to read: said elsewhere
    }
  });
}

function changedAt(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

export const webServerChecks: readonly Check[] = [
  readable,
  modulesCheck,
  syntax,
  ports,
  running,
  reloaded,
  ...configurationChecks,
  limitsCheck,
  kernelCheck,
];
