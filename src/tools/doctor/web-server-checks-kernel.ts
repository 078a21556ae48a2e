/** Whether SELinux or AppArmor has forbidden something to a web server: what its user may do is not all there is. */
import { existsSync } from "node:fs";
import { clip, escapeControls } from "../../base/text.ts";
import { relevant } from "./log-checks.ts";
import { tailOf } from "./log-tail.ts";
import type { Check, Finding, Remedy } from "./model.ts";
import { contentOf } from "./servers/processes.ts";

const LOGS = ["/var/log/audit/audit.log", "/var/log/kern.log", "/var/log/syslog", "/var/log/messages"];

export const kernelCheck: Check = {
  id: "web-server.kernel",
  question: "Has SELinux or AppArmor forbidden something to the web server?",
  async examine(facts) {
    const isSelinux = contentOf("/sys/fs/selinux/enforce").trim() === "1";
    const isApparmor = contentOf("/sys/module/apparmor/parameters/enabled").startsWith("Y");
    if (!isSelinux && !isApparmor) return [];
    const names = relevant(facts).flatMap(({ server, binary = server }) => [
      binary.slice(binary.lastIndexOf("/") + 1),
    ]);
    if (names.length === 0) return [];
    return denials(LOGS.filter((file) => existsSync(file)).flatMap(linesOf), names);
  },
};

/** Pure. @param names of the web servers' programs */
export function denials(lines: readonly string[], names: readonly string[]): Finding[] {
  const found = lines.filter(
    (line) =>
      (/avc:\s+denied/.test(line) || /apparmor="DENIED"/.test(line)) &&
      names.some(
        (name) =>
          line.includes(`comm="${name}"`) ||
          line.includes(`comm=${Buffer.from(name).toString("hex").toUpperCase()}`),
      ),
  );
  const last = found.at(-1);
  if (last === undefined) return [];
  const isSelinux = /avc:/.test(last);
  return [
    {
      id: isSelinux ? "web-server.selinux" : "web-server.apparmor",
      verdict: "bad",
      says: `${isSelinux ? "SELinux" : "AppArmor"} has forbidden the web server to ${whatOf(last)}`,
      evidence: found.slice(-3).map((line) => clip(escapeControls(line), 300)),
      remedy: [
        isSelinux
          ? selinux(last)
          : { advice: "allow it in the profile below /etc/apparmor.d, then apparmor_parser -r on that file" },
      ],
    },
  ];
}

function whatOf(line: string): string {
  const operation = /denied\s+\{ ([^}]+) \}/.exec(line)?.[1] ?? /operation="([^"]+)"/.exec(line)?.[1];
  const target = /(?:path|name|dest)="?([^"\s]+)/.exec(line)?.[1];
  return escapeControls([operation?.trim() ?? "do what it needs", target].filter(Boolean).join(" "));
}

function selinux(line: string): Remedy {
  if (/name_connect|tclass=tcp_socket/.test(line)) return { run: "setsebool -P httpd_can_network_connect 1" };
  const path = /(?:path|name)="?(\/[^"\s]+)/.exec(line)?.[1];
  return {
    advice: `give the socket a type that web servers may use: semanage fcontext -a -t httpd_var_run_t ${path ?? "PATH"} and restorecon -v on it`,
  };
}

function linesOf(file: string): string[] {
  try {
    return tailOf(file, "h2o").map(({ text }) => text);
  } catch {
    return []; // only root reads it
  }
}
