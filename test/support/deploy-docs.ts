/** The configurations in docs/deploy as real web servers take them: ports and paths replaced, the rest as it is shown. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import type { CodeBlock } from "./markdown.ts";
import { repositoryRoot } from "./paths.ts";
import { programOf, type ServerName } from "./web-servers/available.ts";
import type { ServerUser } from "./web-servers/web-server.ts";

/** What stands for the paths and addresses of the documents. */
export interface Place {
  /** For everything the web server writes. */
  readonly folder: string;
  /** For `listen 80`. */
  readonly port: number;
  /** For /run/yourapplication. */
  readonly run: string;
  /** For /var/www/yourapplication. */
  readonly site: string;
  /** For 127.0.0.1:9000. */
  readonly tcpPort: number;
  readonly user: ServerUser | undefined;
}

export interface Rendered {
  readonly files: Readonly<Record<string, string>>;
  /** Arguments that check the configuration. */
  readonly check: readonly string[];
  /** Arguments that run it in the foreground. */
  readonly run: readonly string[];
  /** What it is told by its environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export const LANGUAGES: Readonly<Record<string, ServerName>> = {
  nginx: "nginx",
  apache: "apache",
  lighttpd: "lighttpd",
  caddy: "caddy",
  haproxy: "haproxy",
  yaml: "h2o",
};

const APACHE_MODULES = ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"];

/** Whether the block needs an Apache module that is not on this machine. */
export function lacksModule({ info }: CodeBlock): boolean {
  return modulesOf(info).some((module) => apacheModule(module) === undefined);
}

/** `modules=a,b` in the fence of a block. */
function modulesOf(info: string): string[] {
  return /modules=([\w,]+)/.exec(info)?.[1]?.split(",") ?? [];
}

/** `serves=/x` in the fence of a block: the mount it configures, `""` for the root. */
export function markOf(
  block: CodeBlock,
  mark: "serves" | "spawns" | "authorizes" | "sends",
): string | undefined {
  const path = new RegExp(`\\b${mark}=(\\S+)`).exec(block.info)?.[1];
  return path?.replace(/\/$/, "");
}

/** An application that sends a file without telling how long it is: whoever does tell has sent it. */
const SENDS = `import { createReadStream } from "node:fs";
export default (req, res) => createReadStream(new URL("./files/report.txt", import.meta.url).pathname).pipe(res);
`;

/** The site of the documents: files, and the program that a web server starts. */
export function makeSite(folder: string): void {
  mkdirSync(join(folder, "public", "static"), { recursive: true });
  writeFileSync(join(folder, "public", "static", "a.txt"), "from disk");
  mkdirSync(join(folder, "files"));
  writeFileSync(join(folder, "files", "report.txt"), "a report", { mode: 0o644 });
  writeFileSync(join(folder, "sends.js"), SENDS);
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(repositoryRoot, join(folder, "node_modules", "postern"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  for (const name of ["yourapplication.fcgi", "serve.js", "app.js"]) {
    writeFileSync(join(folder, name), readFileSync(join(repositoryRoot, "examples", "shared-hosting", name)));
  }
  // Apache looks whether an authorizer is there.
  cpSync(join(folder, "yourapplication.fcgi"), join(folder, "door.fcgi"));
  chmodSync(join(folder, "yourapplication.fcgi"), 0o755);
  cpSync(join(repositoryRoot, "test", "support", "tls"), join(folder, "tls"), { recursive: true });
  const secret = createHash("sha1").update("secret").digest("base64");
  writeFileSync(join(folder, "passwords"), `kim:{SHA}${secret}\n`);
}

export function render(block: CodeBlock, place: Place): Rendered {
  const { run, site, tcpPort, port } = place;
  const text = block.text
    .replaceAll("/run/yourapplication", run)
    .replaceAll("/var/www/yourapplication", site)
    .replaceAll("127.0.0.1:9000", `127.0.0.1:${tcpPort}`)
    .replace(/("port"\s*=> )9000/g, `$1${tcpPort}`)
    .replace(/listen (?:80|443)( ssl)?;/g, `listen 127.0.0.1:${port}$1;`)
    .replace(/<VirtualHost \*:(?:80|443)>/g, `<VirtualHost 127.0.0.1:${port}>`)
    .replace(/^example\.com \{$/gm, `http://127.0.0.1:${port} {`)
    .replace(/bind \*:(?:80|443)/g, `bind 127.0.0.1:${port}`)
    .replace("host: 127.0.0.1, port: 9000", `host: 127.0.0.1, port: ${tcpPort}`)
    .replace(/listen: \{ port: 80 \}/g, `listen: { host: 127.0.0.1, port: ${port} }`);
  switch (LANGUAGES[block.language]) {
    case "nginx":
      return renderNginx(text, place);
    case "apache":
      return renderApache(text, place, block.info);
    case "lighttpd":
      return renderLighttpd(text, place);
    case "caddy":
      return renderCaddy(text, place);
    case "haproxy":
      return renderHaproxy(text, place);
    case "h2o":
      return renderH2o(text, place);
    default:
      throw new Error(`${block.file}:${block.line}: no server takes ${block.language}`);
  }
}

function renderNginx(text: string, { folder, user }: Place): Rendered {
  const program = programOf("nginx");
  const output = execFileSync("sh", ["-c", '"$0" -V 2>&1', program], { encoding: "utf8" });
  const standard = dirname(/--conf-path=(\S+)/.exec(output)?.[1] ?? "/etc/nginx/nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const config = `
${user ? `user ${user.user} ${user.group};` : ""}
daemon off;
pid ${join(folder, "nginx.pid")};
error_log ${join(folder, "error.log")} notice;
events {}
http {
access_log off;
${temporary.map((name) => `${name}_temp_path ${join(folder, name)};`).join("\n")}
${text}
}
`;
  const params = readFileSync(join(standard, "fastcgi_params"), "utf8");
  const args = ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", join(folder, "error.log")];
  return { files: { "nginx.conf": config, fastcgi_params: params }, check: ["-t", ...args], run: args };
}

function renderApache(text: string, { folder, port, user }: Place, info: string): Rendered {
  const names = [
    "mpm_event",
    "unixd",
    "authz_core",
    "headers",
    "alias",
    "dir",
    "mime",
    "rewrite",
    "setenvif",
  ];
  names.push("proxy", "proxy_fcgi", ...modulesOf(info));
  // Those that are built in have no file.
  const modules = names.map((name) => [name, apacheModule(name)]).filter(([, file]) => file !== undefined);
  const body = info.includes("htaccess") ? `<Directory "${folder}">\n${text}\n</Directory>` : text;
  writeFileSync(join(folder, "mime.types"), "text/html html\ntext/plain txt\n");
  const config = `
ServerRoot "${folder}"
DefaultRuntimeDir "${folder}"
PidFile "${join(folder, "apache.pid")}"
ServerName example.com
Listen 127.0.0.1:${port}
${modules.map(([name, file]) => `LoadModule ${name}_module "${file}"`).join("\n")}
${user ? `User ${user.user}\nGroup ${user.group}` : ""}
TypesConfig "${join(folder, "mime.types")}"
StartServers 1
ErrorLog "${join(folder, "error.log")}"
${body}
`;
  const args = ["-d", folder, "-f", join(folder, "apache.conf")];
  return { files: { "apache.conf": config }, check: [...args, "-t"], run: [...args, "-D", "FOREGROUND"] };
}

function renderLighttpd(text: string, { folder, port, site, user }: Place): Rendered {
  const modules = /^server\.modules\s*=/m.test(text) ? "" : 'server.modules = ( "mod_fastcgi" )';
  const config = `
${modules}
server.document-root = "${join(site, "public")}"
server.bind = "127.0.0.1"
server.port = ${port}
${user ? `server.username = "${user.user}"\nserver.groupname = "${user.group}"` : ""}
server.errorlog = "${join(folder, "error.log")}"
server.upload-dirs = ( "${folder}" )
${text}
`;
  const file = join(folder, "lighttpd.conf");
  return { files: { "lighttpd.conf": config }, check: ["-tt", "-f", file], run: ["-D", "-f", file] };
}

function renderCaddy(text: string, { folder }: Place): Rendered {
  const args = ["--config", join(folder, "Caddyfile"), "--adapter", "caddyfile"];
  return {
    files: { Caddyfile: `{\n\tadmin off\n\tauto_https off\n}\n${text}` },
    check: ["validate", ...args],
    run: ["run", ...args],
    env: { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
  };
}

function renderHaproxy(text: string, { folder, user }: Place): Rendered {
  const config = `global
    log stderr format raw daemon
${user ? `    user ${user.user}\n    group ${user.group}` : ""}
${text}`;
  const file = join(folder, "haproxy.cfg");
  return { files: { "haproxy.cfg": config }, check: ["-c", "-f", file], run: ["-db", "-f", file] };
}

/** As root and without a user h2o becomes nobody. */
function renderH2o(text: string, { folder, user }: Place): Rendered {
  const config = `
user: ${user?.user ?? userInfo().username}
pid-file: ${join(folder, "h2o.pid")}
error-log: ${join(folder, "error.log")}
${text}`;
  const file = join(folder, "h2o.conf");
  return { files: { "h2o.conf": config }, check: ["-t", "-c", file], run: ["-m", "worker", "-c", file] };
}

function apacheModule(name: string): string | undefined {
  return APACHE_MODULES.map((folder) => join(folder, `mod_${name}.so`)).find((file) => existsSync(file));
}
