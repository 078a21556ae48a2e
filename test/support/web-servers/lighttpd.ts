/** lighttpd with mod_fastcgi: mounted, at the root, and at the root without its fix for SCRIPT_NAME. */
import { join } from "node:path";
import { programOf } from "./available.ts";
import { type Command, currentCommand, currentFolder } from "./current.ts";
import { ERROR_LOG, startWebServer, versionOf, type WebServer, type WebServerOptions } from "./web-server.ts";

export interface LighttpdOptions extends WebServerOptions {
  /** `fix-root-scriptname`: without it the first path segment is in SCRIPT_NAME. @default true */
  readonly fixRootScriptName?: boolean;
  /** The newest lighttpd instead of this machine's. @default false */
  readonly isCurrent?: boolean;
  /** More entries for the application in `fastcgi.server`, each ending with a comma. */
  readonly entries?: string;
  /** Tunnels for upgraded connections: WebSocket. Only the newest can. @default false */
  readonly upgrade?: boolean;
}

export function startLighttpd(options: LighttpdOptions): Promise<WebServer> {
  if (options.keepConn) throw new Error("lighttpd never keeps a connection to a FastCGI application open");
  const command = commandOf(options.isCurrent === true);
  const mount = options.mount ?? "";
  const application = options.application;
  const address =
    "unix" in application
      ? `"socket" => "${application.unix}"`
      : `"host" => "${application.host}", "port" => ${application.port}`;
  const isFixed = mount === "" && options.fixRootScriptName !== false;
  return startWebServer({
    name: "lighttpd",
    program: command.program,
    version: versionOf(command.program, [...command.args, "-v"], /lighttpd\/(\S+)/),
    mount,
    documentRoot: options.documentRoot,
    reloadSignal: "SIGUSR1",
    readyLine: /server started/,
    prepare({ port, folder, documentRoot, user }) {
      const config = `
server.modules = ( "mod_fastcgi" )
server.document-root = "${documentRoot}"
server.bind = "127.0.0.1"
server.port = ${port}
${user ? `server.username = "${user.user}"\nserver.groupname = "${user.group}"` : ""}
server.errorlog = "${join(folder, ERROR_LOG)}"
server.pid-file = "${join(folder, "lighttpd.pid")}"
server.upload-dirs = ( "${folder}" )
server.max-request-size = 0
${options.upgrade ? 'server.feature-flags = ( "server.h2proto" => "disable" )' : ""}
${options.streaming ? "server.stream-request-body = 1\nserver.stream-response-body = 1" : ""}
${options.globalDirectives ?? ""}
$HTTP["url"] !~ "^/static/" {
  fastcgi.server = ( "${mount === "" ? "/" : mount}" => ((
    ${address},
    ${isFixed ? '"fix-root-scriptname" => "enable",' : ""}
    ${options.upgrade ? '"upgrade" => "enable",' : ""}
    ${options.entries ?? ""}
    "check-local" => "disable" )) )
  ${options.directives ?? ""}
}
`;
      return {
        files: { "lighttpd.conf": config },
        args: [...command.args, "-D", "-f", join(folder, "lighttpd.conf")],
      };
    },
  });
}

function commandOf(isCurrent: boolean): Command {
  if (!isCurrent) return { program: programOf("lighttpd"), args: [] };
  const { program, args } = currentCommand("lighttpd");
  return { program, args: [...args, "-m", join(currentFolder(), "usr", "lib", "lighttpd")] };
}
