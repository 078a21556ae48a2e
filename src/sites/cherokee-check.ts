/** What an existing cherokee.conf gets wrong. */
import { type Address, printAddress } from "../base/address.ts";
import type { Expected, Finding } from "./model.ts";
import { quoted, refused } from "./parts.ts";

interface Line {
  readonly value: string;
  readonly line: number;
}

/** Everything below `vserver!1!rule!300` or `source!2`, and that itself. */
interface Node {
  readonly name: string;
  readonly keys: ReadonlyMap<string, Line>;
  readonly line: number;
}

/** A program that takes longer to start is started twice. */
const SHORT_START_SECONDS = 10;

export function checkCherokee(text: string, expected: Expected): Finding[] {
  const lines = parse(text);
  const rules = nodesOf(lines, /^vserver!\d+!rule!\d+(?=!)/);
  const sources = nodesOf(lines, /^source!\d+(?=!)/);
  const ours = rules.filter(({ keys }) => keys.get("handler")?.value === "fcgi");
  if (ours.length === 0) {
    return [
      finding("no-fastcgi", "error", 0, "no rule has the handler fcgi", "vserver!1!rule!100!handler = fcgi"),
    ];
  }
  return [
    ...ours.flatMap((rule) => ruleFindings(rule, rules, sources)),
    ...sources.flatMap((source) => sourceFindings(source)),
    ...addressFindings(sources, expected),
    ...mountFindings(ours, expected),
  ];
}

/** @throws {SettingError} for a line that is neither `key = value` nor a comment */
function parse(text: string): Map<string, Line> {
  const lines = new Map<string, Line>();
  text.split(/\r\n|\r|\n/).forEach((raw, at) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return;
    const [, key, value] = /^(\S+) +=(?: +(.*))?$/.exec(line) ?? [];
    if (key === undefined) {
      throw refused(`line ${at + 1}: ${quoted(line)} is not cherokee.conf's "key = value"`);
    }
    lines.set(key, { value: value ?? "", line: at + 1 });
  });
  return lines;
}

function nodesOf(lines: ReadonlyMap<string, Line>, shape: RegExp): Node[] {
  const nodes = new Map<string, Map<string, Line>>();
  for (const [key, line] of lines) {
    const name = shape.exec(key)?.[0];
    if (name === undefined) continue;
    const keys = nodes.get(name) ?? new Map<string, Line>();
    nodes.set(name, keys.set(key.slice(name.length + 1), line));
  }
  return [...nodes].map(([name, keys]) => ({
    name,
    keys,
    line: Math.min(...[...keys.values()].map(({ line }) => line)),
  }));
}

function ruleFindings(
  { name, keys, line }: Node,
  rules: readonly Node[],
  sources: readonly Node[],
): Finding[] {
  const findings: Finding[] = [];
  const add = (
    rule: string,
    severity: Finding["severity"],
    key: string,
    what: string,
    remedy: string,
  ): void => {
    findings.push(finding(rule, severity, keys.get(key)?.line ?? line, what, remedy));
  };
  if (keys.get("handler!check_file")?.value !== "0") {
    add(
      "check-file",
      "error",
      "handler!check_file",
      "unless check_file is 0 Cherokee looks for a file of that name first, and answers 404 when there is none",
      `${name}!handler!check_file = 0`,
    );
  }
  if (keys.get("handler!pass_req_headers")?.value !== "1") {
    add(
      "headers-dropped",
      "error",
      "handler!pass_req_headers",
      "unless pass_req_headers is 1 the application sees the headers that Cherokee knows and no other",
      `${name}!handler!pass_req_headers = 1`,
    );
  }
  if (keys.get("handler!xsendfile")?.value === "1") {
    add(
      "xsendfile-anywhere",
      "warning",
      "handler!xsendfile",
      "with xsendfile Cherokee sends any file that it can read and the application names; Postern does not use it",
      `${name}!handler!xsendfile = 0`,
    );
  }
  const chosen = [...keys].filter(([key]) => key.startsWith("handler!balancer!source!"));
  if (!keys.has("handler!balancer") || chosen.length === 0) {
    add(
      "balancer-missing",
      "error",
      "handler",
      "the rule names no source: no request gets to the application",
      `${name}!handler!balancer = round_robin, ${name}!handler!balancer!source!1 = 1`,
    );
  }
  for (const [key, { value }] of chosen) {
    if (sources.some((source) => source.name === `source!${value}`)) continue;
    add("source-missing", "error", key, `there is no source!${value}`, `source!${value}!type = host`);
  }
  const directory = keys.get("match!directory")?.value;
  if (directory !== undefined && directory.length > 1 && directory.endsWith("/")) {
    add(
      "mount-with-slash",
      "warning",
      "match!directory",
      `with a slash at its end ${quoted(directory)} becomes a part of SCRIPT_NAME, and is not the mount`,
      `${name}!match!directory = ${directory.slice(0, -1)}`,
    );
  }
  return [...findings, ...orderFindings({ name, keys, line }, rules)];
}

/** Rules are tried from the largest number on, and `default` takes everything. */
function orderFindings({ name, keys, line }: Node, rules: readonly Node[]): Finding[] {
  if (keys.get("match")?.value === "default") return [];
  const host = name.slice(0, name.indexOf("!rule!"));
  const first = rules.find(
    (rule) =>
      rule.name.startsWith(`${host}!rule!`) &&
      rule.keys.get("match")?.value === "default" &&
      numberOf(rule) > numberOf({ name }),
  );
  if (first === undefined) return [];
  return [
    finding(
      "default-first",
      "error",
      line,
      `${first.name} takes every request before ${name} is looked at: larger numbers come first`,
      `a smaller number for the rule with match = default`,
    ),
  ];
}

function numberOf({ name }: Pick<Node, "name">): number {
  return Number(name.slice(name.lastIndexOf("!") + 1));
}

function sourceFindings({ name, keys, line }: Node): Finding[] {
  const host = keys.get("host");
  const findings: Finding[] = [];
  if (host === undefined || !/^\/|:\d+$/.test(host.value)) {
    findings.push(
      finding(
        "source-address",
        "error",
        host?.line ?? line,
        `${name} names neither the path of a unix socket nor host:port`,
        `${name}!host = /run/yourapplication/app.sock`,
      ),
    );
  }
  if (keys.get("type")?.value !== "interpreter" || host === undefined) return findings;
  const command = keys.get("interpreter");
  const variables = [...keys].filter(([key]) => key.startsWith("env!"));
  const told = [command?.value ?? "", ...variables.map(([, { value }]) => value)];
  if (!told.some((one) => one.includes(host.value))) {
    findings.push(
      finding(
        "interpreter-without-address",
        "error",
        command?.line ?? line,
        `Cherokee passes no socket to the programs it starts, and nothing tells this one to listen on ${host.value}`,
        `${name}!env!POSTERN_BIND = unix:${host.value}`,
      ),
    );
  }
  if (keys.get("env_inherited")?.value === "0" && !keys.has("env!PATH")) {
    findings.push(
      finding(
        "interpreter-path",
        "warning",
        keys.get("env_inherited")?.line ?? line,
        "the program is started without a PATH: it finds node in /usr/bin at best",
        `${name}!env!PATH = /usr/local/bin:/usr/bin:/bin`,
      ),
    );
  }
  const timeout = keys.get("timeout");
  if (timeout !== undefined && Number(timeout.value) < SHORT_START_SECONDS) {
    findings.push(
      finding(
        "interpreter-timeout",
        "warning",
        timeout.line,
        `an application that takes longer than ${timeout.value} s to start is started again and again`,
        `${name}!timeout = 30`,
      ),
    );
  }
  return findings;
}

function addressFindings(sources: readonly Node[], { addresses }: Expected): Finding[] {
  if (addresses === undefined || addresses.length === 0) return [];
  const wanted = addresses.map(textOf);
  if (sources.some(({ keys }) => wanted.includes(keys.get("host")?.value ?? ""))) return [];
  return sources.flatMap(({ name, keys }) => {
    const host = keys.get("host");
    if (host === undefined || keys.get("type")?.value === "interpreter") return [];
    return [
      finding(
        "address-differs",
        "error",
        host.line,
        `requests go to ${host.value}, and the application listens on ${addresses.map(printAddress).join(", ")}`,
        `${name}!host = ${wanted[0]}`,
      ),
    ];
  });
}

/** As a source has it. */
function textOf(address: Address): string {
  if (address.kind === "unix") return address.path;
  if (address.kind !== "tcp") return "";
  const host = /^(?:|0\.0\.0\.0|::)$/.test(address.host) ? "127.0.0.1" : address.host;
  return host.includes(":") ? `[${host}]:${address.port}` : `${host}:${address.port}`;
}

function mountFindings(rules: readonly Node[], { mount }: Expected): Finding[] {
  if (mount === undefined) return [];
  const isThere = rules.some(({ keys }) =>
    mount === ""
      ? keys.get("match")?.value === "default" || keys.get("match!directory")?.value === "/"
      : keys.get("match!directory")?.value.replace(/(?<=.)\/$/, "") === mount,
  );
  const [first] = rules;
  if (isThere || first === undefined) return [];
  const wanted =
    mount === "" ? "match = default" : `match = directory, ${first.name}!match!directory = ${mount}`;
  return [
    finding(
      "mount-differs",
      "error",
      first.line,
      `no rule passes ${quoted(mount === "" ? "/" : mount)} on to the application`,
      `${first.name}!${wanted}`,
    ),
  ];
}

function finding(
  rule: string,
  severity: Finding["severity"],
  line: number,
  what: string,
  remedy: string,
): Finding {
  return { rule, severity, line, what, remedy };
}
