/** How long Apache waits for an application that is silent, by every module's own way to say it. */
import type { Directive } from "./apache-parse.ts";
import { finding, named, optionOf, type Scope, spawning } from "./apache-scopes.ts";
import type { Finding } from "./model.ts";

/** What holds where nothing is said. */
const PROXY_SECONDS = 60;
const FCGID_SECONDS = 40;
const FASTCGI_SECONDS = 30;

/** A wait, who says so, and how a longer one is written. */
interface Wait {
  readonly seconds: number;
  readonly directive: Directive | undefined;
  readonly remedy: (seconds: number) => string;
}

export function checkTimeout(scope: Scope): Finding[] {
  const wanted = scope.expected.timeoutSeconds;
  if (wanted === undefined) return [];
  const waits = [...proxied(scope), ...started(scope)];
  return waits.flatMap(({ seconds, directive, remedy }) =>
    seconds > 0 && seconds < wanted
      ? [
          finding(
            "timeout-too-short",
            "warning",
            directive?.line ?? 0,
            `Apache gives up after ${seconds} s of silence, and the application may take ${wanted} s`,
            remedy(Math.ceil(wanted)),
          ),
        ]
      : [],
  );
}

function proxied(scope: Scope): Wait[] {
  const general = named(scope, "proxytimeout").at(-1) ?? named(scope, "timeout").at(-1);
  return scope.passes
    .filter(({ scheme, directive }) => scheme === "fcgi" && directive.name !== "sethandler")
    .map(({ directive, parameters }) => {
      const own = parameters.map((parameter) => /^timeout=(\d+)$/i.exec(parameter)?.[1]).find(Boolean);
      return {
        seconds: Number(own ?? general?.args[0] ?? PROXY_SECONDS),
        directive,
        remedy: (seconds) => `timeout=${seconds}, behind the target`,
      };
    });
}

function started(scope: Scope): Wait[] {
  const waits: Wait[] = [];
  if (spawning(scope, "fcgid").length > 0) {
    const directive = named(scope, "fcgidiotimeout", "ipccommtimeout").at(-1);
    const seconds = Number(directive?.args[0] ?? FCGID_SECONDS);
    waits.push({ seconds, directive, remedy: (longer) => `FcgidIOTimeout ${longer}` });
  }
  for (const directive of named(scope, "fastcgiserver", "fastcgiexternalserver", "fastcgiconfig")) {
    const seconds = Number(optionOf(directive.args, "-idle-timeout") ?? FASTCGI_SECONDS);
    waits.push({ seconds, directive, remedy: (longer) => `-idle-timeout ${longer}` });
  }
  return waits;
}
