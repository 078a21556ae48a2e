/** What configurations of mod_fcgid and mod_fastcgi get wrong: programs that Apache starts. */
import { elsewhere } from "./apache-check-proxy.ts";
import type { Directive } from "./apache-parse.ts";
import { finding, named, optionOf, type Scope, spawning, tcpOf } from "./apache-scopes.ts";
import type { Finding } from "./model.ts";

const MOD_FCGID_BODY_BYTES = 131_072;

export function checkSpawned(scope: Scope): Finding[] {
  const fcgid = spawning(scope, "fcgid");
  const fastcgi = spawning(scope, "fastcgi");
  return [
    ...(fcgid.length > 0 ? [...requestLength(scope), ...outputBuffer(scope)] : []),
    ...(fcgid.length > 0 || fastcgi.length > 0 ? mayRun(scope, [...fcgid, ...fastcgi]) : []),
    ...named(scope, "scriptalias", "alias").flatMap(aliasSlash),
    ...external(scope),
  ];
}

function requestLength(scope: Scope): Finding[] {
  const last = named(scope, "fcgidmaxrequestlen", "maxrequestlen").at(-1);
  const bytes = last === undefined ? MOD_FCGID_BODY_BYTES : Number(last.args[0]);
  const { maxBodyBytes } = scope.expected;
  if (last === undefined || bytes <= MOD_FCGID_BODY_BYTES) {
    return [
      finding(
        "body-limit-default",
        "error",
        last?.line ?? 0,
        `mod_fcgid answers 500 to every body of more than ${bytes} bytes`,
        `FcgidMaxRequestLen ${maxBodyBytes || 104_857_600}`,
      ),
    ];
  }
  if (maxBodyBytes === undefined || maxBodyBytes === 0 || bytes >= maxBodyBytes) return [];
  return [
    finding(
      "body-limit-small",
      "error",
      last.line,
      `mod_fcgid answers 500 to bodies of more than ${bytes} bytes, and ${maxBodyBytes} are to be allowed`,
      `FcgidMaxRequestLen ${maxBodyBytes}`,
    ),
  ];
}

function outputBuffer(scope: Scope): Finding[] {
  const last = named(scope, "fcgidoutputbuffersize", "outputbuffersize").at(-1);
  if (last?.args[0] === "0") return [];
  return [
    finding(
      "answers-collected",
      "warning",
      last?.line ?? 0,
      "mod_fcgid collects 64 KiB of an answer before it passes anything on: event streams are held back",
      "FcgidOutputBufferSize 0",
    ),
  ];
}

/** ScriptAlias says that there are programs; everywhere else ExecCGI has to. */
function mayRun(scope: Scope, handlers: readonly Directive[]): Finding[] {
  const isAllowed = named(scope, "options").some(({ args }) =>
    args.some((option) => /^(?:\+?ExecCGI|All)$/i.test(option)),
  );
  const [first] = handlers;
  if (isAllowed || named(scope, "scriptalias", "scriptaliasmatch").length > 0 || first === undefined)
    return [];
  return [
    finding(
      "exec-not-allowed",
      "error",
      first.line,
      "Apache may not run programs there: it answers 403",
      "Options +ExecCGI, in the section of the program",
    ),
  ];
}

/** `/x` of `ScriptAlias "/" "/srv/app.fcgi"` becomes `/srv/app.fcgix`. */
function aliasSlash({ line, name, args }: Directive): Finding[] {
  const [url = "", path = ""] = args;
  if (!url.endsWith("/") || path.endsWith("/") || !(name === "scriptalias" || /\.f?cgi$/.test(path)))
    return [];
  return [
    finding(
      "trailing-slash-missing",
      "error",
      line,
      `what follows ${url} is put right behind ${path}: there is no such file, 404 or 403`,
      `"${path}/", with a slash at the end`,
    ),
  ];
}

function external(scope: Scope): Finding[] {
  return named(scope, "fastcgiserver", "fastcgiexternalserver").flatMap((directive) => {
    const { name, args, line } = directive;
    const host = optionOf(args, "-host");
    if (name === "fastcgiserver" && host !== undefined) {
      return [
        finding(
          "external-server",
          "error",
          line,
          "FastCgiServer starts a program and takes no -host: Apache does not start (invalid option: -host)",
          `FastCgiExternalServer ${args.join(" ")}`,
        ),
      ];
    }
    if (name === "fastcgiserver") return [];
    const socket = optionOf(args, "-socket");
    // A relative path is one below FastCgiIpcDir.
    const address = socket?.startsWith("/")
      ? ({ kind: "unix", path: socket } as const)
      : host === undefined
        ? undefined
        : tcpOf(host);
    return elsewhere(address, directive, scope.expected.addresses);
  });
}
