/** The beginning of a whole configuration of Apache, which needs nothing of the system's but the modules. */
import { word } from "./apache-words.ts";
import type { Site, Standalone } from "./model.ts";
import { hostAndPort } from "./parts.ts";

/** Where Debian has them. */
const MODULES = "/usr/lib/apache2/modules";

/** What every Apache needs before a site. `unixd` and `log_config` are built in with some. */
const ALWAYS = ["mpm_event", "unixd", "authz_core", "log_config", "mime"];

/** Enough for a site; a system's own list has a thousand. */
const TYPES: readonly (readonly [type: string, endings: string])[] = [
  ["text/html", ".html .htm"],
  ["text/css", ".css"],
  ["text/javascript", ".js .mjs"],
  ["text/plain", ".txt"],
  ["application/json", ".json .map"],
  ["application/xml", ".xml"],
  ["application/wasm", ".wasm"],
  ["application/pdf", ".pdf"],
  ["image/svg+xml", ".svg"],
  ["image/png", ".png"],
  ["image/jpeg", ".jpg .jpeg"],
  ["image/gif", ".gif"],
  ["image/webp", ".webp"],
  ["image/x-icon", ".ico"],
  ["font/woff2", ".woff2"],
];

export function standaloneHead(
  site: Site,
  standalone: Standalone,
  modules: readonly string[],
  more: (folder: string) => readonly string[],
): string[] {
  const { folder, user, group } = standalone;
  const { host, port } = site.listen;
  const own = (name: string): string => word("--standalone", `${folder}/${name}`);
  return [
    `ServerRoot ${word("--standalone", folder)}`,
    `DefaultRuntimeDir ${word("--standalone", folder)}`,
    `PidFile ${own("apache.pid")}`,
    `ErrorLog ${own("error.log")}`,
    "LogLevel notice",
    `ServerName ${site.serverNames[0]?.replace(/^\*\./, "") ?? "localhost"}`,
    `Listen ${host === undefined || host === "" ? port : hostAndPort({ host, port })}`,
    "",
    "# some are built in with some distributions",
    ...[...ALWAYS, ...modules].flatMap((name) => loadLines(name, standalone.modules ?? MODULES)),
    "",
    ...(user === undefined ? [] : [`User ${word("user", user)}`]),
    ...(group === undefined ? [] : [`Group ${word("group", group)}`]),
    "StartServers 1",
    "TypesConfig /dev/null",
    ...TYPES.map(([type, endings]) => `AddType ${type} ${endings}`),
    "",
    "<Directory />",
    "    AllowOverride None",
    "    Require all denied",
    "</Directory>",
    ...more(folder),
    "",
  ];
}

function loadLines(name: string, folder: string): string[] {
  return [
    `<IfModule !${name}_module>`,
    `    LoadModule ${name}_module ${word("modules", `${folder}/mod_${name}.so`)}`,
    "</IfModule>",
  ];
}
