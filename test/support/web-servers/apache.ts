/** Apache with mod_proxy_fcgi and mpm_event, from a configuration of its own: nothing in /etc/apache2 is read. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { programOf } from "./available.ts";
import {
  ERROR_LOG,
  type FastCgiAddress,
  startWebServer,
  versionOf,
  type WebServer,
  type WebServerOptions,
} from "./web-server.ts";

/** Those that distributions build in are skipped: there is no file of them. */
const MODULES = [
  "mpm_event",
  "unixd",
  "authz_core",
  "log_config",
  "headers",
  "setenvif",
  "proxy",
  "proxy_fcgi",
];
const MODULE_FOLDERS = ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"];

export function startApache(options: WebServerOptions): Promise<WebServer> {
  const program = programOf("apache");
  const mount = options.mount ?? "";
  return startWebServer({
    name: "apache",
    program,
    version: versionOf(program, ["-v"], /Apache\/(\S+)/),
    mount,
    documentRoot: options.documentRoot,
    reloadSignal: "SIGUSR1",
    readyLine: /resuming normal operations/,
    prepare({ port, folder, documentRoot, user }) {
      const config = `
ServerRoot "${folder}"
DefaultRuntimeDir "${folder}"
PidFile "${join(folder, "apache.pid")}"
Listen 127.0.0.1:${port}
ServerName example.com
${loadModules()}
${user ? `User ${user.user}\nGroup ${user.group}` : ""}
StartServers 1
ServerLimit 2
ErrorLog "${join(folder, ERROR_LOG)}"
LogLevel notice proxy_fcgi:info
DocumentRoot "${documentRoot}"
<Directory "${documentRoot}">
  Require all granted
</Directory>
# Off, the default, answers every %2F with 404.
AllowEncodedSlashes NoDecode
# FPM, the default, puts "proxy:fcgi://" in front of SCRIPT_FILENAME.
ProxyFCGIBackendType GENERIC
RequestHeader unset Proxy early
${options.globalDirectives ?? ""}
ProxyPass "/static/" !
ProxyPass "${mount === "" ? "/" : mount}" "${target(options.application)}" ${parameters(options)}
<Location "${mount === "" ? "/" : mount}">
  # Without these two SCRIPT_NAME is the whole path, and there is no PATH_INFO.
  ProxyFCGISetEnvIf "true" SCRIPT_NAME "${mount}"
  ProxyFCGISetEnvIf "%{REQUEST_URI} =~ m#^${mount}(${mount === "" ? ".*" : "/.*"})${mount === "" ? "" : "?"}$#" PATH_INFO "$1"
  CGIPassAuth On
  ${options.directives ?? ""}
</Location>
`;
      return {
        files: { "apache.conf": config },
        args: ["-d", folder, "-f", join(folder, "apache.conf"), "-D", "FOREGROUND"],
      };
    },
  });
}

function target(application: FastCgiAddress): string {
  return "unix" in application
    ? `unix:${application.unix}|fcgi://application/`
    : `fcgi://${application.host}:${application.port}/`;
}

function parameters(options: WebServerOptions): string {
  const list = ["timeout=60"];
  if (options.keepConn) list.push("enablereuse=on");
  if (options.streaming) list.push("flushpackets=on");
  return list.join(" ");
}

function loadModules(): string {
  const folder = MODULE_FOLDERS.find((path) => existsSync(path));
  if (!folder) throw new Error(`no Apache modules in ${MODULE_FOLDERS.join(", ")}`);
  return MODULES.map((name) => ({ name, file: join(folder, `mod_${name}.so`) }))
    .filter(({ file }) => existsSync(file))
    .map(({ name, file }) => `LoadModule ${name}_module "${file}"`)
    .join("\n");
}
