/** What systemd says of a web server, where it is the one that runs services; and how a server is made to read again. */
import { existsSync } from "node:fs";
import { shWord } from "../../../generate/quoting.ts";
import type { WebServerName } from "../../../sites/model.ts";
import { runs } from "./commands.ts";
import { contentOf, type RunningServer } from "./processes.ts";

/** The service that a process belongs to: `nginx.service`. */
export function unitOf(pid: number): string | undefined {
  if (!hasSystemd()) return undefined;
  return /\/([^/\n]+\.service)(?:\/|$)/m.exec(contentOf(`/proc/${pid}/cgroup`))?.[1];
}

function hasSystemd(): boolean {
  return existsSync("/run/systemd/system");
}

/** Names of services, of Debian and of Red Hat. */
const UNITS: Readonly<Record<WebServerName, readonly string[]>> = {
  nginx: ["nginx"],
  apache: ["apache2", "httpd"],
  lighttpd: ["lighttpd"],
  caddy: ["caddy"],
  haproxy: ["haproxy"],
  h2o: ["h2o"],
  cherokee: ["cherokee"],
};

/** Folders that the service of a server which does not run now will not see. */
export async function hiddenByUnit(server: WebServerName, signal: AbortSignal): Promise<string[]> {
  if (!hasSystemd()) return [];
  const properties = ["LoadState", "PrivateTmp", "ProtectHome", "RootDirectory"];
  for (const unit of UNITS[server]) {
    const { text } = await runs(["systemctl", "show", unit, `--property=${properties.join(",")}`], signal);
    const say = (name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(text)?.[1] ?? "";
    if (say("LoadState") !== "loaded") continue;
    return [
      ...(say("PrivateTmp") === "yes" ? ["/tmp", "/var/tmp"] : []),
      ...(/^(?:yes|tmpfs)$/.test(say("ProtectHome")) ? ["/home", "/root"] : []),
    ];
  }
  return [];
}

/** A line by which a running server reads its configuration again; undefined where it has no way, or does not run. */
export function reloadOf(
  server: WebServerName,
  running: RunningServer | undefined,
  unit: string | undefined,
  text: string,
  file: string | undefined,
): string | undefined {
  if (running === undefined) return undefined;
  const { pid, args, program } = running.master;
  if (unit !== undefined && server !== "h2o") return `systemctl reload ${shWord("unit", unit)}`;
  switch (server) {
    case "nginx":
      return `kill -HUP ${pid}`;
    case "apache":
    case "lighttpd":
      return `kill -USR1 ${pid}`;
    case "haproxy":
      return running.workers.length > 0 ? `kill -USR2 ${pid}` : undefined;
    case "caddy":
      if (/^\s*admin\s+off\b/m.test(text) || file === undefined) return undefined;
      return `${program.map((word) => shWord("program", word)).join(" ")} reload --config ${shWord("file", file)}${/Caddyfile/.test(file) ? " --adapter caddyfile" : ""}`;
    case "cherokee":
      return `kill -HUP ${pid}`;
    case "h2o":
      return args.includes("worker") ? undefined : `kill -HUP ${pid}`;
  }
}

export function restartOf(unit: string | undefined): string | undefined {
  return unit === undefined ? undefined : `systemctl restart ${shWord("unit", unit)}`;
}
