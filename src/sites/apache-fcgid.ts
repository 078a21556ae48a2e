/** mod_fcgid: Apache starts the application, as many processes as requests want, and ends them. */
import { type Attached, splitPath, USUAL_PATH, urlOf } from "./apache-attached.ts";
import { place, word } from "./apache-words.ts";
import type { Site } from "./model.ts";
import { refused } from "./parts.ts";

/** mod_fcgid knows no "unlimited": one TiB. */
const UNLIMITED_BYTES = 2 ** 40;
/** mod_fcgid ends a process that serves one request for this long; event streams are such requests. */
const BUSY_SECONDS = 86_400;

export function fcgidAttached(site: Site): Attached {
  const { application, mount, maxBodyBytes, timeoutSeconds } = site;
  if (application.kind === "external") {
    throw refused(
      "--bind: mod_fcgid reaches only what it starts itself; use --module proxy_fcgi, or name a program with --spawn",
    );
  }
  const [folder, file] = splitPath(application.program);
  const environment = { PATH: USUAL_PATH, ...application.environment };
  return {
    modules: ["alias", "fcgid"],
    server: [],
    host: [
      "",
      "# 128 KiB by default, and 500 for whoever sends more",
      `FcgidMaxRequestLen ${maxBodyBytes > 0 ? maxBodyBytes : UNLIMITED_BYTES}`,
      "# 64 KiB by default, which holds back event streams",
      "FcgidOutputBufferSize 0",
      `FcgidIOTimeout ${timeoutSeconds}`,
      "# 300 by default: a process whose request takes longer is ended, an event stream too",
      `FcgidBusyTimeout ${Math.max(BUSY_SECONDS, timeoutSeconds)}`,
      "# one request each at a time",
      `FcgidMaxProcessesPerClass ${application.processes}`,
      "# how many idle ones are left",
      "FcgidMinProcessesPerClass 1",
      ...Object.entries(environment).map(([name, text]) => `FcgidInitialEnv ${name} ${word(name, text)}`),
    ],
    routes: [
      "",
      ...(mount === "" ? ["# the slash at the end makes PATH_INFO begin with one"] : []),
      `ScriptAlias ${word("--mount", urlOf(mount))} ${word("--spawn", mount === "" ? `${application.program}/` : application.program)}`,
      `<Directory ${place("--spawn", folder)}>`,
      `    <Files ${place("--spawn", file)}>`,
      "        Require all granted",
      "        SetHandler fcgid-script",
      "        Options +ExecCGI",
      "        # else Authorization would not reach the application",
      "        CGIPassAuth On",
      "    </Files>",
      "</Directory>",
    ],
    fileRule: 'RewriteRule "^" "%{DOCUMENT_ROOT}%{REQUEST_URI}" [L]',
    standalone: (own) => [
      `FcgidIPCDir ${word("--standalone", `${own}/fcgid`)}`,
      `FcgidProcessTableFile ${word("--standalone", `${own}/fcgid.table`)}`,
    ],
    notes: [
      `mod_fcgid gives each of the ${application.processes} processes one request at a time: mod_proxy_fcgi serves far more with one`,
      ...(site.isStreaming
        ? ["--stream: mod_fcgid collects each request body before it passes it on; answers stream"]
        : []),
    ],
  };
}
