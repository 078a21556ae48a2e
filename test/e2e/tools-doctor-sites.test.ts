/**
 * Two sites on one web server, of which one is broken: `postern doctor --url` speaks of the one that was asked for, and
 * finds its socket or program by itself.
 */

import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { serve } from "../../src/serve.ts";
import { built } from "../support/e2e/built.ts";
import { CLI } from "../support/e2e/service.ts";
import { request } from "../support/http.ts";
import { run } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import {
  ERROR_LOG,
  giveToServerGroup,
  type Preparation,
  type Recipe,
  startWebServer,
  type WebServer,
} from "../support/web-servers/web-server.ts";
import { commandIn, makePlace, sharedLibrary } from "../support/zoo/place.ts";

/** Two names of this machine: a site for each. */
const BROKEN = "localhost";
const WELL = "127.0.0.1";

interface Report {
  readonly findings: readonly {
    readonly id: string;
    readonly verdict: string;
    readonly says: string;
    readonly evidence: readonly string[];
    readonly remedy: readonly { readonly advice?: string }[];
  }[];
}

beforeAll(built);

async function doctor(web: WebServer, host: string): Promise<Report["findings"]> {
  const args = ["doctor", "--url", `http://${host}:${web.port}/`, "--json"];
  const { stdout, stderr } = await run(process.execPath, [CLI, ...args], { input: "", timeoutMs: 55_000 });
  expect(stderr).toBe("");
  return (JSON.parse(stdout) as Report).findings;
}

const visit = async (web: WebServer, host: string): Promise<number> =>
  (await request(`${web.origin}/`, { headers: { Host: `${host}:${web.port}` } })).status;

/** The configuration of two sites, by the sockets of their applications; and how the server is started with it. */
type TwoSites = (
  prepared: Preparation,
  sockets: Readonly<Record<string, string>>,
) => readonly [file: string, text: string, args: (file: string) => readonly string[]];

const SERVERS: Readonly<Record<"nginx" | "lighttpd" | "caddy" | "h2o", TwoSites>> = {
  nginx: ({ port, folder, user }, sockets) => [
    "nginx.conf",
    `${user ? `user ${user.user} ${user.group};` : ""}
pid ${folder}/nginx.pid;
error_log ${folder}/${ERROR_LOG} notice;
events {}
http {
  access_log off;
  client_max_body_size 0;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  fastcgi_param REQUEST_METHOD $request_method;
  fastcgi_param SCRIPT_NAME "";
  fastcgi_param PATH_INFO $fastcgi_script_name;
  fastcgi_param REQUEST_URI $request_uri;
  fastcgi_param QUERY_STRING $query_string;
  fastcgi_param CONTENT_TYPE $content_type;
  fastcgi_param CONTENT_LENGTH $content_length;
  fastcgi_param SERVER_PROTOCOL $server_protocol;
  fastcgi_param HTTP_HOST $http_host;
${Object.entries(sockets)
  .map(
    ([name, socket]) =>
      `  server {\n    listen 127.0.0.1:${port};\n    server_name ${name};\n    location / { fastcgi_pass unix:${socket}; }\n  }`,
  )
  .join("\n")}
}
`,
    (file) => ["-p", folder, "-c", file, "-g", "daemon off;"],
  ],
  lighttpd: ({ port, folder, documentRoot, user }, sockets) => [
    "lighttpd.conf",
    `server.modules = ( "mod_fastcgi" )
server.document-root = "${documentRoot}"
server.bind = "127.0.0.1"
server.port = ${port}
${user ? `server.username = "${user.user}"\nserver.groupname = "${user.group}"` : ""}
server.errorlog = "${folder}/${ERROR_LOG}"
${Object.entries(sockets)
  .map(
    ([name, socket]) =>
      `$HTTP["host"] == "${name}" {\n  fastcgi.server = ( "/" => (( "socket" => "${socket}", "check-local" => "disable", "fix-root-scriptname" => "enable" )) )\n}`,
  )
  .join("\n")}
`,
    (file) => ["-D", "-f", file],
  ],
  caddy: ({ port }, sockets) => [
    "Caddyfile",
    `{
  admin off
}
${Object.entries(sockets)
  .map(
    ([name, socket]) =>
      `http://${name}:${port} {\n  bind 127.0.0.1\n  reverse_proxy unix/${socket} {\n    transport fastcgi\n  }\n}`,
  )
  .join("\n")}
`,
    (file) => ["run", "--config", file, "--adapter", "caddyfile"],
  ],
  h2o: ({ port, folder, user }, sockets) => [
    "h2o.conf",
    `${user ? `user: ${user.user}\n` : ""}error-log: ${folder}/${ERROR_LOG}
listen:
  host: 127.0.0.1
  port: ${port}
hosts:
${Object.entries(sockets)
  .map(
    ([name, socket]) =>
      `  "${name}:${port}":\n    paths:\n      "/":\n        fastcgi.connect:\n          port: ${socket}\n          type: unix`,
  )
  .join("\n")}
`,
    (file) => ["-c", file],
  ],
};

function recipe(name: string, prepare: Recipe["prepare"]): Recipe {
  const program = programOf(name as "nginx");
  return { name, program, version: "", mount: "", reloadSignal: "SIGHUP", readyLine: /./, prepare };
}

for (const [name, twoSites] of Object.entries(SERVERS)) {
  describeWithServer(name as "nginx", `two sites on one ${name}`, () => {
    it("are told apart by the URL: what is wrong with one is not said of the other", async () => {
      const folder = temporaryFolder("s");
      const sockets = { [BROKEN]: join(folder, "broken.sock"), [WELL]: join(folder, "well.sock") };
      const server = await serve((_request, response) => response.end("well"), {
        bind: `unix:${sockets[WELL]}`,
        signals: false,
      });
      giveToServerGroup(sockets[WELL]!);
      const web = await startWebServer(
        recipe(name, (prepared) => {
          const [file, text, args] = twoSites(prepared, sockets);
          const home = prepared.folder;
          return {
            files: { [file]: text },
            args: args(join(home, file)),
            env: { HOME: home, XDG_CONFIG_HOME: home, XDG_DATA_HOME: home },
            runAs: name === "caddy" ? prepared.user : undefined,
          };
        }),
      );
      try {
        expect(await visit(web, WELL), web.errorLog()).toBe(200);
        expect(await visit(web, BROKEN)).toBeGreaterThanOrEqual(502);
        const [cause] = await doctor(web, BROKEN);
        expect(cause).toMatchObject({ id: "socket.missing", verdict: "bad" });
        expect(cause?.says).toContain(sockets[BROKEN]);
        const others = await doctor(web, WELL);
        expect(others.filter(({ verdict }) => verdict === "bad")).toEqual([]);
        expect(others.map(({ id }) => id)).toContain("request.answer");
        expect(JSON.stringify(others)).not.toContain("broken.sock");
        // Not every server's log says of whom it speaks.
        for (const { id, says } of others.filter(({ verdict }) => verdict === "doubtful")) {
          expect(`${id} ${says}`).toMatch(/^log\..*perhaps of another site/);
        }
      } finally {
        await web.stop();
        await server.close();
      }
    });
  });
}

describeWithServer(["apache", "apache-fcgid"], "two sites on one Apache, each with a .htaccess", () => {
  it("are told apart by the URL, and the program that the .htaccess starts is found", async () => {
    await using place = await makePlace();
    const command = commandIn(await sharedLibrary());
    place.write("package.json", '{ "type": "module" }');
    const app = (dir: string, text: string): void => {
      place.write(`${dir}/app.js`, text);
      const exec = `exec ${process.execPath} ${command} serve ${place.path(`${dir}/app.js`)}`;
      place.write(`${dir}/public/${dir}.fcgi`, `#!/bin/sh\n${exec}\n`, 0o755);
      place.write(
        `${dir}/public/.htaccess`,
        `<Files "${dir}.fcgi">\n  Options +ExecCGI\n  SetHandler fcgid-script\n</Files>\nRewriteEngine On\nRewriteRule ^ - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]\nRewriteRule ^${dir}\\.fcgi - [L]\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^ ${dir}.fcgi [L]\n`,
      );
    };
    app("dying", "export default () => process.exit(3);");
    app("fine", 'export default (request, response) => response.end("well");');
    const web = await startWebServer(recipe("apache", (prepared) => twoHosts(prepared, place.folder)));
    place.later(() => web.stop());
    expect(await visit(web, WELL), web.errorLog()).toBe(200);
    expect(await visit(web, BROKEN)).toBe(500);
    const program = place.path("dying/public/dying.fcgi");
    const [cause] = await doctor(web, BROKEN);
    expect(cause).toMatchObject({ id: "request.failed", verdict: "bad" });
    expect(cause?.evidence.join("\n")).toMatch(/before headers: dying\.fcgi/);
    expect(cause?.remedy.map(({ advice }) => advice).join("\n")).toContain(`postern doctor ${program}`);
    // What has just been logged names the other program, or the same visitor as such a line.
    const others = await doctor(web, WELL);
    expect(others.filter(({ verdict }) => verdict === "bad" || verdict === "doubtful")).toEqual([]);
    expect(JSON.stringify(others)).toContain(place.path("fine/public/fine.fcgi"));
  });
});

const MODULES = "/usr/lib/apache2/modules";

function twoHosts({ port, folder, user }: Preparation, at: string): ReturnType<Recipe["prepare"]> {
  const names = ["mpm_event", "authz_core", "alias", "rewrite", "fcgid"];
  const hosts = [
    [BROKEN, "dying"],
    [WELL, "fine"],
  ].map(
    ([name, dir]) =>
      `<VirtualHost *:${port}>\n  ServerName ${name}\n  DocumentRoot "${at}/${dir}/public"\n</VirtualHost>`,
  );
  const config = `
ServerRoot "${folder}"
DefaultRuntimeDir "${folder}"
PidFile "${folder}/apache.pid"
ErrorLog "${folder}/${ERROR_LOG}"
Listen 127.0.0.1:${port}
ServerName example.com
${names.map((name) => `<IfModule !${name}_module>\nLoadModule ${name}_module "${MODULES}/mod_${name}.so"\n</IfModule>`).join("\n")}
${user ? `User ${user.user}\nGroup ${user.group}` : ""}
StartServers 1
FcgidIPCDir "${folder}/fcgid"
FcgidProcessTableFile "${folder}/fcgid.table"
<Directory "${at}">
  Require all granted
  Options FollowSymLinks
  AllowOverride All
</Directory>
${hosts.join("\n")}
`;
  return {
    files: { "apache.conf": config },
    args: ["-d", folder, "-f", join(folder, "apache.conf"), "-D", "FOREGROUND"],
  };
}
