/**
 * Files for a shared host, where the web server starts the application: a `.fcgi` program and its `.htaccess`.
 *
 * The program is a shell script, because Node refuses to run a file ending in `.fcgi` as an ES module; for an application
 * in Python it is Python.
 */
import type { GeneratedService, ServiceModel, ServicePython } from "./model.ts";
import { bindsOf, madeBy, refused, shEnvironment, shLines, withoutSockets } from "./parts.ts";
import { checked, shWord } from "./quoting.ts";

export function sharedHostingFiles(model: ServiceModel): GeneratedService {
  withoutSockets(model, "shared hosting");
  if (bindsOf(model).length > 0) {
    throw refused("--bind: on a shared host the web server opens the socket and passes it; leave it out");
  }
  const { name, publicDirectory: folder = model.workingDirectory, python } = model;
  const program = `${name}.fcgi`;
  const script = python === undefined ? shellScript(model) : pythonScript(model, python);
  const htaccess = `${madeBy(model, "shared-hosting")}
${htaccessRules(program, model.mount)}`;
  const isManaged = python === undefined && hasManager(model);
  const running =
    python === undefined
      ? `^[^ ]*node .* serve ${literally(model.arguments[1] ?? "")}`
      : `^[^ ]*python[^ ]* .*/${literally(program)}$`;
  const reload = isManaged
    ? `mkdir -p ${shWord("folder", `${model.workingDirectory}/tmp`)} && touch ${shWord("folder", `${model.workingDirectory}/tmp/restart.txt`)}`
    : `pkill -TERM -u "$(id -un)" -f ${shWord("application", running)}`;
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
      isManaged
        ? "mod_fcgid starts as many programs as it likes, and each would have workers of its own: leave --workers out there"
        : "the web server starts it with the first request; to load new code, end it with the command for reload, and the next request starts it anew",
    ],
  };
}

function shellScript(model: ServiceModel): string {
  return `#!/bin/sh
${madeBy(model, "shared-hosting")}
# Started by the web server, with the socket as descriptor 0. Messages go to the error log of the site.
${shEnvironment(model.environment)}cd ${shWord("working directory", model.workingDirectory)} || exit 1
exec ${shLines([model.node, model.postern, ...model.arguments], "\t")}
`;
}

/** Node has no part in it. */
function pythonScript(model: ServiceModel, { program, app, library }: ServicePython): string {
  if (!/^\/[\w./+-]{1,120}$/.test(program)) {
    throw refused(
      `python ${JSON.stringify(program)}: the first line of a program can name no such path; choose another with -- --python`,
    );
  }
  return `#!${program}
${madeBy(model, "shared-hosting")}
# Started by the web server, with the socket as descriptor 0. Messages go to the error log of the site.
import os
import sys

os.chdir(${pythonText(model.workingDirectory)})
sys.path.append(${pythonText(library)})

from postern_wsgi import run_application

run_application(${pythonText(app)})
`;
}

/** A string of JSON is one of Python, outside of surrogates. */
function pythonText(text: string): string {
  return JSON.stringify(checked("path", text));
}

/**
 * Everything that is no file goes to the program, whose name no URL shows. The path is not passed along: REQUEST_URI has
 * it, and Apache would refuse %25 and %3F in it. Nothing here needs more than AllowOverride FileInfo Options=ExecCGI.
 */
function htaccessRules(program: string, mount: string | undefined): string {
  const escaped = program.replaceAll(".", "\\.");
  const base = mount === undefined ? "" : `RewriteBase ${checkedMount(mount)}/\n`;
  return `<Files "${program}">
    Options +ExecCGI
    <IfModule mod_fcgid.c>
        SetHandler fcgid-script
    </IfModule>
    <IfModule !mod_fcgid.c>
        # slower: a process for each request
        SetHandler cgi-script
    </IfModule>
</Files>

RewriteEngine On
${base}# else the application would not see it
RewriteCond %{HTTP:Authorization} .
RewriteRule ^ - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
# the name of the program is in no URL
RewriteCond %{ENV:REDIRECT_STATUS} ^$
RewriteCond %{REQUEST_URI} ^(.*?)/${escaped}(?:/(.*))?$
RewriteRule ^${escaped}(?:/|$) %1/%2 [R=308,L]
RewriteRule ^${escaped} - [L]
# files that are there are sent by Apache, but no hidden ones
RewriteCond %{REQUEST_FILENAME} !-f [OR]
RewriteCond %{REQUEST_URI} /\\.(?!well-known/)
RewriteRule ^ ${program} [L]
`;
}

/** The URL of the public folder, without the slash at its end. @throws {SettingError} */
function checkedMount(mount: string): string {
  const path = mount.replace(/\/+$/, "");
  if (/^(?:\/[\w.~-]+)*$/.test(path)) return path;
  throw refused(
    `--mount ${JSON.stringify(mount)}: a path such as /yourapplication, of letters, digits and . _ ~ -`,
  );
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
