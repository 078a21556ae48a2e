/**
 * mod_fastcgi: the application is started by Apache, at once or with the first request, or runs by itself. The module is
 * no longer maintained or packaged: directives, their order and places are those of a configuration that was verified
 * with a build from source; a test compares them.
 */
import type { Address } from "../base/address.ts";
import { type Attached, splitPath, USUAL_PATH, urlOf } from "./apache-attached.ts";
import { place, word } from "./apache-words.ts";
import type { External, Site, Spawned } from "./model.ts";
import { hostAndPort, reachable, refused } from "./parts.ts";

export function fastcgiAttached(site: Site): Attached {
  const { application, mount, timeoutSeconds } = site;
  const [program, server] =
    application.kind === "external" ? external(site, application) : spawned(application, timeoutSeconds);
  const [folder] = splitPath(program);
  const url = urlOf(mount);
  const isStarted = application.kind === "spawned";
  return {
    modules: ["alias", "fastcgi"],
    server: [...server, ""],
    host: [],
    routes: [
      "",
      ...(isStarted ? ["AddHandler fastcgi-script fcgi"] : []),
      ...(mount === "" && isStarted ? ["# the slash at the end makes PATH_INFO begin with one"] : []),
      mount === ""
        ? `ScriptAlias "/" ${word("--spawn", `${program}/`)}`
        : `Alias ${word("--mount", mount)} ${word("--spawn", program)}`,
      `<Directory ${place("--spawn", folder)}>`,
      "    Require all granted",
      "</Directory>",
      `<Location ${place("--mount", url)}>`,
      "    SetHandler fastcgi-script",
      ...(mount === "" ? [] : ["    Options +ExecCGI"]),
      "</Location>",
      // The handler of the Location above would take files for programs.
      ...site.statics.flatMap(({ url: files }) =>
        mount === "" || files.startsWith(`${mount}/`)
          ? [`<Location ${place("--static", files)}>`, "    SetHandler None", "</Location>"]
          : [],
      ),
    ],
    // SetHandler of the Location would win.
    fileRule: undefined,
    standalone: (own) => [`FastCgiIpcDir ${word("--standalone", `${own}/fastcgi`)}`],
    notes: [
      "mod_fastcgi is no longer maintained, and current systems do not have it: this was compared with a configuration that was verified once, and not run; mod_proxy_fcgi does the same and more",
      "mod_fastcgi answers 411 to bodies in chunks",
      ...(site.publicFolder !== undefined && mount === ""
        ? [
            "files of the document root do not come before the application here: name their folders with --static",
          ]
        : []),
    ],
  };
}

/** A program that Apache starts: the options of FastCgiServer, or for all dynamic ones those of FastCgiConfig. */
function spawned(application: Spawned, timeoutSeconds: number): [program: string, lines: string[]] {
  const { program, processes, isDynamic, environment } = application;
  const variables = Object.entries({ PATH: USUAL_PATH, ...environment }).map(
    ([name, text]) => `-initial-env ${word(name, `${name}=${text}`)}`,
  );
  const common = ["-flush", "-pass-header Authorization", ...variables].join(" ");
  if (isDynamic) {
    return [
      program,
      [
        "# started with the first request; the options are those of all such programs",
        `FastCgiConfig -idle-timeout ${timeoutSeconds} -maxClassProcesses ${processes} ${common}`,
      ],
    ];
  }
  return [
    program,
    [
      "# started with Apache, all on one socket; they get no PATH unless told",
      `FastCgiServer ${word("--spawn", program)} -idle-timeout ${timeoutSeconds} -processes ${processes} ${common}`,
    ],
  ];
}

/** One that runs by itself. */
function external(site: Site, { addresses }: External): [program: string, lines: string[]] {
  const [first, ...others] = reachable("apache", addresses);
  if (first === undefined || others.length > 0) {
    throw refused("--bind: mod_fastcgi takes one address; several take --module proxy_fcgi");
  }
  // Only a name, but in a folder that Apache is allowed to read.
  const name = `/var/www/${site.name}/external`;
  return [
    name,
    [
      "# runs by itself; the path only names it, and nothing has to be there",
      `FastCgiExternalServer ${word("--name", name)} ${whereOf(first)} -idle-timeout ${site.timeoutSeconds} -flush -pass-header Authorization`,
    ],
  ];
}

function whereOf(address: Address): string {
  if (address.kind === "unix") return `-socket ${word("--bind", address.path)}`;
  return address.kind === "tcp" ? `-host ${word("--bind", hostAndPort(address))}` : "";
}
