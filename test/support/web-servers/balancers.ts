/** HAProxy and Caddy, the newest ones: web servers that pass on and do little else. At the root only. */
import { join } from "node:path";
import { currentCommand } from "./current.ts";
import { type FastCgiAddress, startWebServer, versionOf, type WebServer } from "./web-server.ts";

export function startHaproxy(application: FastCgiAddress): Promise<WebServer> {
  const command = currentCommand("haproxy");
  const server =
    "unix" in application ? `unix@${application.unix}` : `${application.host}:${application.port}`;
  return startWebServer({
    name: "haproxy",
    program: command.program,
    version: versionOf(command.program, [...command.args, "-v"], /version (\S+)/),
    mount: "",
    reloadSignal: "SIGUSR2",
    readyLine: /./,
    prepare({ port, folder, documentRoot }) {
      const config = `
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  # Else each piece of an answer is held back for a fifth of a second.
  option http-no-delay
frontend visitors
  bind 127.0.0.1:${port}
  default_backend application
backend application
  use-fcgi-app yourapplication
  server one ${server} proto fcgi
fcgi-app yourapplication
  docroot ${documentRoot}
  path-info ^()(/.*)$
`;
      return {
        files: { "haproxy.cfg": config },
        args: [...command.args, "-db", "-f", join(folder, "haproxy.cfg")],
      };
    },
  });
}

export function startCaddy(application: FastCgiAddress): Promise<WebServer> {
  const command = currentCommand("caddy");
  const server =
    "unix" in application ? `unix/${application.unix}` : `${application.host}:${application.port}`;
  return startWebServer({
    name: "caddy",
    program: command.program,
    version: versionOf(command.program, [...command.args, "version"], /(\d+\.\d+\S*)/),
    mount: "",
    reloadSignal: "SIGUSR1",
    readyLine: /./,
    prepare({ port, folder, documentRoot }) {
      const config = `
{
	admin off
	auto_https off
}
http://127.0.0.1:${port} {
	root * ${documentRoot}
	reverse_proxy ${server} {
		header_up -Proxy
		transport fastcgi {
			root ${documentRoot}
			env SCRIPT_NAME ""
			env PATH_INFO {path}
		}
	}
}
`;
      return {
        files: { Caddyfile: config },
        args: [...command.args, "run", "--config", join(folder, "Caddyfile"), "--adapter", "caddyfile"],
        env: { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
      };
    },
  });
}
