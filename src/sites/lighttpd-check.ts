/**
 * What an existing configuration of lighttpd gets wrong as a whole: modules, URLs, limits, buffers. The entries of
 * `fastcgi.server` are looked at in lighttpd-check-entries.ts.
 */
import { type Backend, backendsOf, checkBackend, isOn, textOf } from "./lighttpd-check-entries.ts";
import { type Assignment, parseLighttpd } from "./lighttpd-parse.ts";
import type { Expected, Finding } from "./model.ts";

/** Settings and the module that knows them; without it lighttpd takes no notice of them. */
const MODULES: readonly (readonly [setting: RegExp, module: string])[] = [
  [/^fastcgi\./, "mod_fastcgi"],
  [/^url\.rewrite/, "mod_rewrite"],
  [/^alias\./, "mod_alias"],
  [/^auth\./, "mod_auth"],
  [/^proxy\./, "mod_proxy"],
  [/^url\.access-/, "mod_access"],
];

export function checkLighttpd(text: string, expected: Expected): Finding[] {
  const assignments = parseLighttpd(text);
  const backends = backendsOf(assignments);
  const findings = [...moduleFindings(assignments), ...globalFindings(assignments, backends, expected)];
  if (!assignments.some(({ name }) => name === "fastcgi.server")) {
    findings.push({
      rule: "no-fastcgi",
      severity: "error",
      line: 0,
      what: "no request goes to a FastCGI application: there is no fastcgi.server",
      remedy:
        'fastcgi.server = ( "/" => (( "socket" => "…", "check-local" => "disable", "fix-root-scriptname" => "enable" )) )',
    });
  }
  for (const backend of backends) findings.push(...checkBackend(backend, backends, assignments, expected));
  return [...findings, ...mountFindings(backends, expected)];
}

function moduleFindings(assignments: readonly Assignment[]): Finding[] {
  const lists = assignments.filter(({ name }) => name === "server.modules");
  const loaded = lists.flatMap(({ value }) =>
    value.kind === "list" ? value.entries.map((entry) => textOf(entry.value) ?? "") : [],
  );
  // A part of a configuration adds to a list that is somewhere else.
  const isWhole = lists.some(({ operator }) => operator !== "+=");
  const findings: Finding[] = [];
  for (const [setting, module] of MODULES) {
    const user = assignments.find(({ name }) => setting.test(name));
    if (user === undefined || loaded.includes(module)) continue;
    findings.push({
      rule: "module-missing",
      severity: isWhole ? "error" : "warning",
      line: user.line,
      what: `${module} is not in server.modules${isWhole ? "" : " here"}, and without it lighttpd takes no notice of ${user.name}`,
      remedy: `server.modules += ( "${module}" )`,
    });
  }
  return [...findings, ...orderFindings(loaded, assignments)];
}

/** Modules that look at a request one after the other. */
function orderFindings(loaded: readonly string[], assignments: readonly Assignment[]): Finding[] {
  const findings: Finding[] = [];
  const [proxy, fastcgi, auth] = ["mod_proxy", "mod_fastcgi", "mod_auth"].map((name) =>
    loaded.indexOf(name),
  ) as [number, number, number];
  const passwords = assignments.find(({ name }) => name === "auth.require");
  if (passwords !== undefined && fastcgi >= 0 && fastcgi < auth) {
    findings.push({
      rule: "auth-not-asked",
      severity: "error",
      line: passwords.line,
      what: "mod_fastcgi comes before mod_auth in server.modules, and leaves it no path to compare: the application is reached without a password",
      remedy: 'server.modules = ( "mod_auth", "mod_authn_file", "mod_fastcgi" )',
    });
  }
  const webSocket = assignments.find(
    ({ name, conditions, value }) =>
      name === "proxy.server" && value.kind === "list" && value.entries.length > 0 && conditions.length > 0,
  );
  if (webSocket !== undefined && fastcgi >= 0 && fastcgi < proxy && hasBoth(assignments, webSocket)) {
    findings.push({
      rule: "module-order",
      severity: "error",
      line: webSocket.line,
      what: "mod_fastcgi comes before mod_proxy in server.modules, and takes the requests that both are told to",
      remedy:
        'fastcgi.server in the else of that block, or "mod_proxy" before "mod_fastcgi" in server.modules',
    });
  }
  return findings;
}

/** Whether a `fastcgi.server` holds inside of the block of a `proxy.server`, too. */
function hasBoth(assignments: readonly Assignment[], proxy: Assignment): boolean {
  return assignments.some(
    ({ name, conditions }) =>
      name === "fastcgi.server" && conditions.every((condition, at) => proxy.conditions[at] === condition),
  );
}

function globalFindings(
  assignments: readonly Assignment[],
  backends: readonly Backend[],
  expected: Expected,
): Finding[] {
  const findings: Finding[] = [];
  const first = backends[0];
  const all = (name: string): readonly Assignment[] => assignments.filter((one) => one.name === name);
  if (
    first !== undefined &&
    !all("server.stream-response-body").some(({ value }) => Number(textOf(value)) > 0)
  ) {
    findings.push({
      rule: "response-collected",
      severity: "warning",
      line: first.line,
      what: "lighttpd collects each answer before it passes it on, so that event streams arrive when they end",
      remedy: "server.stream-response-body = 1",
    });
  }
  const { maxBodyBytes } = expected;
  for (const { value, line } of all("server.max-request-size")) {
    const limit = Number(textOf(value));
    if (maxBodyBytes === undefined || limit === 0 || !Number.isFinite(limit)) continue;
    if (maxBodyBytes === 0 || limit * 1024 < maxBodyBytes) {
      const wanted = Math.ceil(maxBodyBytes / 1024);
      findings.push({
        rule: "body-limit",
        severity: "error",
        line,
        what: `bodies above ${limit} KiB are refused with 413, and the application takes ${wanted === 0 ? "any" : `up to ${wanted} KiB`}`,
        remedy: `server.max-request-size = ${wanted} # in KiB`,
      });
    }
  }
  const tag = all("server.tag").find(({ value }) => textOf(value)?.startsWith("lighttpd") === false);
  if (tag !== undefined) {
    findings.push({
      rule: "server-tag",
      severity: "warning",
      line: tag.line,
      what: "Postern knows lighttpd by its name: with another server.tag it sends no files by X-Sendfile and opens no WebSockets",
      remedy: "leave server.tag out, or say --upgrade for WebSockets",
    });
  }
  return [...findings, ...http2Findings(assignments, backends)];
}

function http2Findings(assignments: readonly Assignment[], backends: readonly Backend[]): Finding[] {
  const upgrading = backends.find(({ words }) => isOn(words.get("upgrade")));
  const isOff = assignments.some(
    ({ name, value }) =>
      name === "server.feature-flags" &&
      value.kind === "list" &&
      value.entries.some((entry) => entry.key === "server.h2proto" && !isOn(entry.value)),
  );
  if (upgrading === undefined || isOff) return [];
  return [
    {
      rule: "upgrade-with-http2",
      severity: "error",
      line: upgrading.words.get("upgrade")?.line ?? upgrading.line,
      what: "lighttpd announces WebSocket over HTTP/2 and cannot carry it in FastCGI: browsers that take the offer wait for ever",
      remedy: 'server.feature-flags = ( "server.h2proto" => "disable" )',
    },
  ];
}

function mountFindings(backends: readonly Backend[], { mount }: Expected): Finding[] {
  const responders = backends.filter(({ words }) => textOf(words.get("mode")) !== "authorizer");
  const [first] = responders;
  if (mount === undefined || first === undefined) return [];
  const wanted = mount === "" ? "/" : mount;
  // A rewrite leads to a script from anywhere.
  const isServed = responders.some(
    ({ key }) => key === wanted || key.endsWith(".fcgi") || key === `${wanted}/`,
  );
  if (isServed) return [];
  return [
    {
      rule: "mount-differs",
      severity: "error",
      line: first.line,
      what: `the application is to be at ${JSON.stringify(wanted)}, and fastcgi.server has ${responders.map(({ key }) => JSON.stringify(key)).join(", ")}`,
      remedy: `fastcgi.server = ( ${JSON.stringify(wanted)} => …`,
    },
  ];
}
