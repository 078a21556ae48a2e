/** nginx, in the two forms of the classic guide: mounted with a split path, and at the root. */
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { programOf } from "./available.ts";
import { type Command, currentCommand, currentFolder } from "./current.ts";
import { ERROR_LOG, startWebServer, versionOf, type WebServer, type WebServerOptions } from "./web-server.ts";

export interface NginxOptions extends WebServerOptions {
  /** The newest nginx instead of this machine's. @default false */
  readonly isCurrent?: boolean;
}

export function startNginx(options: NginxOptions): Promise<WebServer> {
  const command: Command = options.isCurrent
    ? currentCommand("nginx")
    : { program: programOf("nginx"), args: [] };
  const { program } = command;
  const mount = options.mount ?? "";
  const application = options.application;
  const address =
    "unix" in application ? `unix:${application.unix}` : `${application.host}:${application.port}`;
  return startWebServer({
    name: "nginx",
    program,
    version: versionOf(program, [...command.args, "-v"], /nginx\/(\S+)/),
    mount,
    documentRoot: options.documentRoot,
    reloadSignal: "SIGHUP",
    readyLine: /start worker processes/,
    prepare({ port, folder, documentRoot, user }) {
      const path = (name: string): string => join(folder, name);
      // Only the notices in the log say when a reload is done.
      const config = `
${user ? `user ${user.user} ${user.group};` : ""}
daemon off;
worker_processes 1;
pid ${path("nginx.pid")};
error_log ${path(ERROR_LOG)} notice;
events { worker_connections 2048; }
http {
  access_log ${path("access.log")};
  client_body_temp_path ${path("client-body")};
  proxy_temp_path ${path("proxy")};
  fastcgi_temp_path ${path("fastcgi")};
  uwsgi_temp_path ${path("uwsgi")};
  scgi_temp_path ${path("scgi")};
  client_max_body_size 0;
  default_type application/octet-stream;
  ${options.globalDirectives ?? ""}
  upstream application { server ${address}; ${options.keepConn ? "keepalive 8;" : ""} }
  server {
    listen 127.0.0.1:${port};
    server_name example.com;
    root ${documentRoot};
    location /static/ { }
    ${options.hostDirectives ?? ""}
    ${mount === "" ? ROOT : mounted(mount)}
    location @application {
      include ${join(options.isCurrent ? join(currentFolder(), "etc", "nginx") : configurationFolder(program), "fastcgi_params")};
      ${mount === "" ? ROOT_PARAMS : mountedParams(mount)}
      fastcgi_pass application;
      ${options.keepConn ? "fastcgi_keep_conn on;" : ""}
      ${options.streaming ? "fastcgi_request_buffering off; fastcgi_buffering off;" : ""}
      ${options.directives ?? ""}
    }
  }
}
`;
      return {
        files: { "nginx.conf": config },
        args: [...command.args, "-p", folder, "-c", path("nginx.conf"), "-e", path(ERROR_LOG)],
      };
    },
  });
}

const ROOT = "location / { try_files $uri @application; }";
const ROOT_PARAMS = `fastcgi_param PATH_INFO $fastcgi_script_name;
      fastcgi_param SCRIPT_NAME "";`;

function mounted(mount: string): string {
  return `location = ${mount} { rewrite ^ ${mount}/ last; }
    location ${mount} { try_files $uri @application; }`;
}

function mountedParams(mount: string): string {
  return `fastcgi_split_path_info ^(${mount})(.*)$;
      fastcgi_param PATH_INFO $fastcgi_path_info;
      fastcgi_param SCRIPT_NAME $fastcgi_script_name;`;
}

/** Where the distribution keeps fastcgi_params: what users include is what is tested. */
function configurationFolder(program: string): string {
  const output = execFileSync("sh", ["-c", '"$0" -V 2>&1', program], { encoding: "utf8" });
  return dirname(/--conf-path=(\S+)/.exec(output)?.[1] ?? "/etc/nginx/nginx.conf");
}
