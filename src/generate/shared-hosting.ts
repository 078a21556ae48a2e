/**
 * Files for a shared host, where the web server starts the application: a `.fcgi` program and its `.htaccess`.
 *
 * The program is a shell script, because Node refuses to run a file ending in `.fcgi` as an ES module.
 */
import type { GeneratedService, ServiceModel } from "./model.ts";
import { bindsOf, madeBy, refused, shEnvironment, shLines, withoutSockets } from "./parts.ts";
import { shWord } from "./quoting.ts";

export function sharedHostingFiles(model: ServiceModel): GeneratedService {
  withoutSockets(model, "shared hosting");
  if (bindsOf(model).length > 0) {
    throw refused("--bind: on a shared host the web server opens the socket and passes it; leave it out");
  }
  const { name, publicDirectory: folder = model.workingDirectory } = model;
  const program = `${name}.fcgi`;
  const script = `#!/bin/sh
${madeBy(model, "shared-hosting")}
# Started by the web server, with the socket as descriptor 0. Messages go to the error log of the site.
${shEnvironment(model.environment)}cd ${shWord("working directory", model.workingDirectory)} || exit 1
exec ${shLines([model.node, model.postern, ...model.arguments], "\t")}
`;
  const htaccess = `${madeBy(model, "shared-hosting")}
<IfModule mod_fcgid.c>
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
  const reload = hasManager(model)
    ? `mkdir -p ${shWord("folder", `${model.workingDirectory}/tmp`)} && touch ${shWord("folder", `${model.workingDirectory}/tmp/restart.txt`)}`
    : `pkill -TERM -u "$(id -un)" -f ${shWord("application", `^[^ ]*node .* serve ${literally(model.arguments[1] ?? "")}`)}`;
  return {
    folder,
    files: [
      { path: `${folder}/${program}`, mode: 0o755, text: script },
      { path: `${folder}/.htaccess`, mode: 0o644, text: htaccess },
    ],
    steps: [
      { what: "try", command: shWord("folder", `${folder}/${program}`) },
      { what: "reload", command: reload },
    ],
    notes: [
      `${folder} is public: only ${program} and .htaccess belong there, the application somewhere else`,
      `to try it, run ${program} in a shell: it must say "nothing to listen on"; anything else is what is wrong`,
      hasManager(model)
        ? "mod_fcgid starts as many programs as it likes, and each would have workers of its own: leave --workers out there"
        : "the web server starts it with the first request; to load new code, end it with the command for reload, and the next request starts it anew",
    ],
  };
}

/** Whether it has workers of its own, and then watches tmp/restart.txt. */
function hasManager({ arguments: words }: ServiceModel): boolean {
  const workers = words[words.indexOf("--workers") + 1];
  return words.includes("--config") || (words.includes("--workers") && workers !== "0");
}

/** Text in a regular expression. */
function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
