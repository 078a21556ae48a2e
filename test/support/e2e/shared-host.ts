/** A shared host with Apache: its administrator's configuration, and in the public folder what `postern init` writes. */
import { chmodSync, copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sharedHostingFiles } from "../../../src/generate/shared-hosting.ts";
import { programOf } from "../web-servers/available.ts";
import { ERROR_LOG, startWebServer, versionOf, type WebServer } from "../web-servers/web-server.ts";

const MODULES = ["mpm_event", "authz_core", "mime", "dir", "rewrite", "setenvif", "unixd", "fcgid"];
const MODULE_FOLDER = "/usr/lib/apache2/modules";

/** Apache, with `program` as the only `.fcgi` file of the public folder, and the `.htaccess` that leads to it. */
export function startSharedHost(program: string, publicFolder: string): Promise<WebServer> {
  writeOurFiles(program, publicFolder);
  return startApacheForUsers(publicFolder);
}

/** The same with files that a user has from elsewhere. */
export function startSharedHostWith(
  files: { readonly program: string; readonly name: string; readonly htaccess: string },
  publicFolder: string,
): Promise<WebServer> {
  const path = join(publicFolder, files.name);
  copyFileSync(files.program, path);
  chmodSync(path, 0o755);
  writeFileSync(join(publicFolder, ".htaccess"), files.htaccess);
  return startApacheForUsers(publicFolder);
}

function writeOurFiles(program: string, publicFolder: string): void {
  const { files } = sharedHostingFiles({
    name: "probe",
    description: "the probe",
    user: "www-data",
    group: "www-data",
    node: process.execPath,
    postern: "postern",
    arguments: ["serve", "app.js"],
    workingDirectory: publicFolder,
    environment: {},
    runtimeDirectory: publicFolder,
    logDirectory: publicFolder,
    sockets: [],
    drainTimeoutSeconds: 5,
  });
  for (const { path, text, mode } of files) {
    if (path.endsWith(".fcgi")) copyFileSync(program, path);
    else writeFileSync(path, text);
    chmodSync(path, mode);
  }
}

function startApacheForUsers(publicFolder: string): Promise<WebServer> {
  const apache = programOf("apache");
  return startWebServer({
    name: "apache",
    program: apache,
    version: versionOf(apache, ["-v"], /Apache\/(\S+)/),
    mount: "",
    documentRoot: publicFolder,
    reloadSignal: "SIGUSR1",
    readyLine: /resuming normal operations/,
    prepare: ({ port, folder, user }) => ({
      files: {
        "apache.conf": `
ServerRoot "${folder}"
DefaultRuntimeDir "${folder}"
PidFile "${join(folder, "apache.pid")}"
ErrorLog "${join(folder, ERROR_LOG)}"
Listen 127.0.0.1:${port}
ServerName example.com
${MODULES.map((name) => `<IfModule !${name}_module>\nLoadModule ${name}_module "${MODULE_FOLDER}/mod_${name}.so"\n</IfModule>`).join("\n")}
${user ? `User ${user.user}\nGroup ${user.group}` : ""}
StartServers 1
TypesConfig /dev/null
FcgidIPCDir "${join(folder, "fcgid")}"
FcgidProcessTableFile "${join(folder, "fcgid.table")}"
FcgidMaxRequestLen 1073741824
FcgidOutputBufferSize 0
AllowEncodedSlashes NoDecode
DocumentRoot "${publicFolder}"
<Directory "${publicFolder}">
  Require all granted
  Options FollowSymLinks
  AllowOverride All
</Directory>
`,
      },
      args: ["-d", folder, "-f", join(folder, "apache.conf"), "-D", "FOREGROUND"],
    }),
  });
}

/** The .htaccess of the classic guide. */
export function classicRules(program: string): string {
  return `<IfModule mod_fcgid.c>
   AddHandler fcgid-script .fcgi
   <Files ~ (\\.fcgi)>
       SetHandler fcgid-script
       Options +FollowSymLinks +ExecCGI
   </Files>
</IfModule>

<IfModule mod_rewrite.c>
   Options +FollowSymlinks
   RewriteEngine On
   RewriteBase /
   RewriteCond %{REQUEST_FILENAME} !-f
   RewriteRule ^(.*)$ ${program}/$1 [QSA,L]
</IfModule>
`;
}
