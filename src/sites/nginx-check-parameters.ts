/** What nginx tells the application in parameters: what is missing, swapped, or said by visitors instead of nginx. */
import type { Finding } from "./model.ts";
import {
  around,
  inForce,
  listensOf,
  locationName,
  type Parameters,
  type Pass,
  type Place,
  parameter,
  parametersOf,
} from "./nginx-places.ts";

/** Without these no request can be told. */
const NEEDED = ["REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH"];

/**
 * @param entries the locations that lead to the pass
 * @param mount of the application, if it is known
 */
export function checkParameters(pass: Pass, entries: readonly Place[], mount: string | undefined): Finding[] {
  const parameters = parametersOf(pass.place);
  const where = mount ?? mountOf(entries);
  return [
    ...missing(pass, parameters),
    ...scriptName(pass, parameters, where),
    ...splitPattern(pass, where),
    ...strangers(pass, parameters),
    ...host(pass, parameters),
    ...scheme(pass, parameters),
  ];
}

/** What the locations suggest; undefined when they differ, or match by a pattern. */
function mountOf(entries: readonly Place[]): string | undefined {
  const mounts = new Set(
    entries.map((entry) => {
      const { modifier, text } = locationName(entry) ?? { modifier: "~", text: "" };
      return modifier.startsWith("~") ? undefined : text.replace(/\/$/, "");
    }),
  );
  const [only] = mounts;
  return mounts.size === 1 ? only : undefined;
}

function missing({ line }: Pass, { all, isKnown }: Parameters): Finding[] {
  const names = NEEDED.filter((name) => !all.some((one) => one.name === name));
  if (!isKnown || names.length === 0) return [];
  return [
    {
      rule: "parameters-missing",
      severity: "error",
      line,
      what: `${names.join(", ")} ${names.length === 1 ? "is" : "are"} not sent; fastcgi_param lines of outer blocks do not count where a block has its own`,
      remedy: "include fastcgi_params; beside the fastcgi_pass",
    },
  ];
}

function scriptName({ place, line }: Pass, parameters: Parameters, mount: string | undefined): Finding[] {
  const { all, isKnown } = parameters;
  const script = parameter(parameters, "SCRIPT_NAME");
  const path = parameter(parameters, "PATH_INFO");
  const isSplit = inForce(place, "fastcgi_split_path_info") !== undefined;
  const remedy = remedyFor(mount);
  const hidden = all.find(({ name, value }) => name === "SCRIPT_NAME" && value !== script?.value);
  if (hidden !== undefined && script?.value === "$fastcgi_script_name") {
    return [
      {
        rule: "parameter-overridden",
        severity: "error",
        line: hidden.line,
        what: `SCRIPT_NAME is set again behind this line, at line ${script.line}, and the last one counts`,
        remedy: "put include fastcgi_params; before the fastcgi_param lines",
      },
    ];
  }
  const isSwapped =
    script?.value === "$fastcgi_path_info" || (isSplit && path?.value === "$fastcgi_script_name");
  if (isSwapped) {
    const at = (script?.value === "$fastcgi_path_info" ? script.line : path?.line) ?? line;
    return [
      {
        rule: "script-name-swapped",
        severity: "error",
        line: at,
        what: "SCRIPT_NAME is the mount and PATH_INFO the path below it; here they are the other way round",
        remedy,
      },
    ];
  }
  if (!isKnown) return [];
  const isWhole = script === undefined || /^\$(?:fastcgi_script_name|uri|document_uri)$/.test(script.value);
  if (path === undefined) {
    const isMounted = mount !== undefined && mount !== "";
    return [
      {
        rule: "path-info-missing",
        severity: isMounted ? "error" : "warning",
        line,
        what: isMounted
          ? `PATH_INFO is not sent: the application cannot know that it is mounted at ${mount}`
          : "PATH_INFO is not sent: the application has to guess that it is at the root",
        remedy,
      },
    ];
  }
  if (!isWhole || isSplit) {
    return script === undefined ? [withoutScriptName(line, remedy)] : [];
  }
  return script === undefined
    ? [withoutScriptName(line, remedy)]
    : [
        {
          rule: "script-name-whole",
          severity: "error",
          line: script.line,
          what: "SCRIPT_NAME is the whole path, and PATH_INFO is sent too: the application takes the path for its mount",
          remedy,
        },
      ];
}

function withoutScriptName(line: number, remedy: string): Finding {
  return {
    rule: "script-name-missing",
    severity: "error",
    line,
    what: "SCRIPT_NAME is not sent: the application cannot know where it is mounted",
    remedy,
  };
}

function remedyFor(mount: string | undefined): string {
  return mount === undefined || mount === ""
    ? 'fastcgi_param SCRIPT_NAME "";\nfastcgi_param PATH_INFO   $fastcgi_script_name;'
    : `fastcgi_split_path_info ^(${mount})(.*)$;\nfastcgi_param SCRIPT_NAME $fastcgi_script_name;\nfastcgi_param PATH_INFO   $fastcgi_path_info;`;
}

/** What the pattern does to a path below the mount. */
function splitPattern({ place }: Pass, mount: string | undefined): Finding[] {
  const split = inForce(place, "fastcgi_split_path_info");
  const pattern = split?.args[0];
  if (split === undefined || pattern === undefined || mount === undefined) return [];
  const matched = matchOf(pattern, `${mount}/a/b`);
  if (matched === "unknown") return [];
  if (matched?.[1] === mount && matched[2] === "/a/b") return [];
  const what =
    matched === null
      ? `the pattern does not match ${mount}/a/b: SCRIPT_NAME is the whole path then, and PATH_INFO empty`
      : `the pattern takes ${mount}/a/b apart into ${JSON.stringify(matched[1] ?? "")} and ${JSON.stringify(matched[2] ?? "")}, not into the mount and the path below it`;
  return [{ rule: "split-pattern", severity: "error", line: split.line, what, remedy: remedyFor(mount) }];
}

/** JavaScript reads most of what nginx's library reads. */
function matchOf(pattern: string, path: string): RegExpExecArray | null | "unknown" {
  const [, flags = "", rest = ""] = /^(?:\(\?([is]+)\))?(.*)$/s.exec(pattern) ?? [];
  try {
    return new RegExp(rest, flags).exec(path);
  } catch {
    return "unknown";
  }
}

/** What visitors can say in nginx's name. */
function strangers({ place, line }: Pass, parameters: Parameters): Finding[] {
  const found: Finding[] = [];
  const user = parameter(parameters, "REMOTE_USER");
  const realm = inForce(place, "auth_basic")?.args[0];
  const isAsked = realm !== undefined && realm !== "off";
  if (user?.value === "$remote_user" && !isAsked && !isProvenOtherwise(place)) {
    found.push({
      rule: "user-unproved",
      severity: "warning",
      line: user.line,
      what: "REMOTE_USER is whatever name a visitor sends in an Authorization header: nobody has asked for a password here",
      remedy: 'fastcgi_param REMOTE_USER ""; behind the include; or auth_basic with auth_basic_user_file',
    });
  }
  const proxy = parameter(parameters, "HTTP_PROXY");
  if (parameters.isKnown && proxy?.value !== "") {
    found.push({
      rule: "proxy-header",
      severity: "warning",
      line: proxy?.line ?? line,
      what: "a visitor's header Proxy becomes HTTP_PROXY, which many programs take for a setting (httpoxy)",
      remedy: 'fastcgi_param HTTP_PROXY "";',
    });
  }
  return found;
}

function isProvenOtherwise(place: Place): boolean {
  return ["auth_jwt", "auth_pam", "auth_ldap", "auth_request"].some((name) => {
    const found = inForce(place, name)?.args[0];
    return found !== undefined && found !== "off";
  });
}

/** Debian's `fastcgi_params` sends the name without the port. */
function host({ place, line }: Pass, parameters: Parameters): Finding[] {
  const server = around(place, "server");
  if (server === undefined || listensOf(server).every(({ port }) => /^(?:80|443|)$/.test(port))) return [];
  const given = parameter(parameters, "HTTP_HOST");
  const isDebians = given === undefined && parameters.all.some(({ isIncluded }) => isIncluded);
  if (given?.value !== "$host" && !isDebians) return [];
  return [
    {
      rule: "host-without-port",
      severity: "warning",
      line: given?.line ?? line,
      what: `${isDebians ? "Debian's fastcgi_params sends the host" : "HTTP_HOST is sent"} without its port, and this server does not listen on an ordinary one: absolute links and redirects go wrong`,
      remedy: `fastcgi_param HTTP_HOST $host:$server_port;${isDebians ? " behind the include" : ""}`,
    },
  ];
}

function scheme({ place, line }: Pass, parameters: Parameters): Finding[] {
  const server = around(place, "server");
  if (!parameters.isKnown || server === undefined) return [];
  const isTls = listensOf(server).some((listen) => listen.isTls) || inForce(server, "ssl")?.args[0] === "on";
  const isTold = ["HTTPS", "REQUEST_SCHEME"].some((name) => parameter(parameters, name) !== undefined);
  if (!isTls || isTold) return [];
  return [
    {
      rule: "https-missing",
      severity: "error",
      line,
      what: "neither HTTPS nor REQUEST_SCHEME is sent: the application takes visitors over TLS for such over plain HTTP",
      remedy: "fastcgi_param HTTPS $https if_not_empty;\nfastcgi_param REQUEST_SCHEME $scheme;",
    },
  ];
}
