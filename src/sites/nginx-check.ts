/**
 * What an existing configuration of nginx gets wrong: where requests go, and what surrounds them. What the parameters
 * say is in `nginx-check-parameters.ts`. Each rule is a function from the configuration to findings, and documented by
 * its name in docs/configure.md.
 */
import type { Expected, Finding } from "./model.ts";
import { isExpected, otherAddresses, proxiesToFastCgi } from "./nginx-check-addresses.ts";
import { aliases, fileLocations } from "./nginx-check-files.ts";
import { checkParameters } from "./nginx-check-parameters.ts";
import { parseNginx } from "./nginx-parse.ts";
import {
  entriesOf,
  inForce,
  locationName,
  type Pass,
  type Place,
  passesOf,
  placesOf,
  serversOf,
} from "./nginx-places.ts";

/** What a rule is given. */
interface Checked {
  readonly places: readonly Place[];
  /** Those that are for the application. */
  readonly passes: readonly Pass[];
  readonly expected: Expected;
}

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` for a text that is no configuration of nginx */
export function checkNginx(text: string, expected: Expected): Finding[] {
  const places = placesOf(parseNginx(text));
  const all = passesOf(places);
  const proxies = proxiesToFastCgi(places, all, expected);
  if (all.length === 0) return proxies.length > 0 ? proxies : [nothingPassed()];
  const matching = expected.addresses === undefined ? [] : all.filter((pass) => isExpected(pass, expected));
  // PHP beside the application is not ours to judge.
  const others = all.filter(({ place }) => !/\\\.php/.test(place.directive.args.join(" ")));
  const passes = [matching, others, all].find(({ length }) => length > 0) ?? [];
  const checked: Checked = { places, passes, expected };
  const found = [
    ...proxies,
    ...(matching.length > 0 ? [] : otherAddresses(passes, expected)),
    ...passes.flatMap((pass) => RULES.flatMap((rule) => rule(pass, checked))),
    ...passes.flatMap((pass) => checkParameters(pass, entriesOf(places, pass), expected.mount)),
    ...mountElsewhere(checked),
    ...aliases(places),
    ...fileLocations(places, passes, expected),
  ];
  return unique(found);
}

/** Several passes in one server meet the same line. */
function unique(findings: readonly Finding[]): Finding[] {
  const byPlace = new Map(findings.map((finding) => [`${finding.rule} ${finding.line}`, finding]));
  return [...byPlace.values()];
}

function nothingPassed(): Finding {
  return {
    rule: "no-fastcgi-pass",
    severity: "error",
    line: 0,
    what: "there is no fastcgi_pass: no request reaches the application",
    remedy: "location / {\n    include fastcgi_params;\n    fastcgi_pass unix:/run/NAME/app.sock;\n}",
  };
}

type Rule = (pass: Pass, checked: Checked) => Finding[];

const RULES: readonly Rule[] = [
  /** A path that nginx takes for the name of a host. */
  ({ line, target, addresses, upstream }) =>
    addresses
      .filter((address) => address.startsWith("/"))
      .map((address) => ({
        rule: "address-without-unix",
        severity: "error",
        line,
        what: `${address} is taken for the name of a host${upstream ? ` in upstream ${target}` : ""}; nginx does not start`,
        remedy: `${upstream ? "server" : "fastcgi_pass"} unix:${address};`,
      })),

  ({ place, line, target }) =>
    /\$/.test(target) && !target.startsWith("unix:") && inForce(place, "resolver") === undefined
      ? [
          {
            rule: "variable-without-resolver",
            severity: "error",
            line,
            what: `${target} is looked up for each request, and there is no resolver: names give 502`,
            remedy:
              "write the address out, in an upstream block if there are several; or add resolver 127.0.0.53;",
          },
        ]
      : [],

  ({ place, line }) =>
    place.directive.name === "if"
      ? [
          {
            rule: "pass-in-if",
            severity: "warning",
            line,
            what: "fastcgi_pass in an if: of several ifs the last one counts, and other directives of the location are left out",
            remedy: "put it into a location of its own, and lead there with try_files or error_page",
          },
        ]
      : [],

  (pass, { places }) =>
    entriesOf(places, pass).flatMap((entry) => {
      const { modifier, text } = locationName(entry) ?? { modifier: "=", text: "" };
      const isLoose =
        ((modifier === "" || modifier === "^~") && text !== "/" && !text.endsWith("/")) ||
        (/^~/.test(modifier) && modifier !== "^~" && /^\^\/[\w.-]+$/.test(text));
      if (!isLoose) return [];
      const path = text.replace(/^\^/, "");
      return [
        {
          rule: "mount-without-slash",
          severity: "warning",
          line: entry.directive.line,
          what: `${path}x leads to the application too: the location matches whatever begins with ${path}`,
          remedy: `location = ${path} { … }\nlocation ${path}/ { … }`,
        },
      ];
    }),

  ({ place, upstream, line, target }) => {
    const isKept = inForce(place, "fastcgi_keep_conn")?.args[0] === "on";
    const keepalive = upstream?.block.find(({ name }) => name === "keepalive");
    if (keepalive !== undefined && !isKept) {
      return [
        {
          rule: "keepalive-without-keep-conn",
          severity: "warning",
          line: keepalive.line,
          what: "keepalive alone keeps nothing: the application is told to close the connection after each request",
          remedy: "fastcgi_keep_conn on; beside the fastcgi_pass",
        },
      ];
    }
    if (!isKept || keepalive !== undefined) return [];
    return [
      {
        rule: "keep-conn-without-keepalive",
        severity: "warning",
        line: inForce(place, "fastcgi_keep_conn")?.line ?? line,
        what: "fastcgi_keep_conn alone keeps nothing: nginx closes the connection itself after each request",
        remedy: `upstream NAME { server ${upstream ? serversOf(upstream)[0] : target}; keepalive 16; }\nfastcgi_pass NAME;`,
      },
    ];
  },

  ({ place }) => {
    const size = inForce(place, "fastcgi_buffer_size");
    const buffers = inForce(place, "fastcgi_buffers");
    const remedy = "fastcgi_buffer_size 32k;\nfastcgi_buffers 8 32k;";
    const bytes = size === undefined ? undefined : bytesOf(size.args[0]);
    if (size !== undefined && bytes !== undefined && bytes < 8192) {
      const what = `the head of an answer must fit into ${size.args[0]}: with large cookies visitors get 502`;
      return [{ rule: "small-buffer", severity: "warning", line: size.line, what, remedy }];
    }
    if (size !== undefined || buffers === undefined) return [];
    const what =
      "fastcgi_buffers is for bodies: the head of an answer must fit into fastcgi_buffer_size, which is 4 or 8 KiB; beyond it visitors get 502";
    return [{ rule: "small-buffer", severity: "warning", line: buffers.line, what, remedy }];
  },

  ({ place, line }, { expected }) => {
    const limit = inForce(place, "client_max_body_size");
    const most = expected.maxBodyBytes;
    if (limit === undefined) {
      if (most !== undefined && most !== 0 && most <= 1024 ** 2) return [];
      return [
        {
          rule: "body-limit",
          severity: most === undefined ? "warning" : "error",
          line,
          what: "request bodies of more than 1 MiB are refused with 413: there is no client_max_body_size",
          remedy: `client_max_body_size ${most === undefined ? "100m" : most};`,
        },
      ];
    }
    const bytes = bytesOf(limit.args[0]);
    if (most === undefined || bytes === undefined || bytes === 0 || (most !== 0 && bytes >= most)) return [];
    return [
      {
        rule: "body-limit",
        severity: "error",
        line: limit.line,
        what: `request bodies of more than ${limit.args[0]} are refused with 413; ${most === 0 ? "there should be no limit" : `${most} bytes should pass`}`,
        remedy: `client_max_body_size ${most};`,
      },
    ];
  },

  ({ place, line }, { expected }) => {
    const limit = inForce(place, "fastcgi_read_timeout");
    const seconds = limit === undefined ? 60 : secondsOf(limit.args[0]);
    const wanted = expected.timeoutSeconds;
    if (wanted === undefined || seconds === undefined || seconds >= wanted) return [];
    return [
      {
        rule: "timeout-too-short",
        severity: "warning",
        line: limit?.line ?? line,
        what: `after ${seconds} s without a byte nginx answers 504, and the application may take ${wanted} s`,
        remedy: `fastcgi_read_timeout ${wanted}s;`,
      },
    ];
  },

  (pass, { places }) =>
    entriesOf(places, pass).flatMap((entry) => {
      const tried = entry.block.find(({ name }) => name === "try_files");
      if (tried?.args.includes("$uri/") !== true) return [];
      const isListed = inForce(entry, "autoindex")?.args[0] === "on";
      return [
        {
          rule: isListed ? "folder-listed" : "folder-before-application",
          severity: "warning",
          line: tried.line,
          what: isListed
            ? "$uri/ with autoindex on: visitors see lists of the files in folders, where the application should answer"
            : "$uri/: a folder of that name takes the application's place, and the root of the site is always one: 403 without an index file",
          remedy: `try_files $uri ${tried.args.at(-1)};`,
        },
      ];
    }),
];

/** Nothing leads to the application below its mount. */
function mountElsewhere({ places, passes, expected }: Checked): Finding[] {
  const { mount } = expected;
  const entries = passes.flatMap((pass) => entriesOf(places, pass));
  const [first] = entries;
  if (mount === undefined || first === undefined) return [];
  const isFound = entries.some((entry) => {
    const { modifier, text } = locationName(entry) ?? { modifier: "", text: "" };
    if (/^~\*?$/.test(modifier)) return true;
    return (
      modifier !== "=" && (mount === "" ? text === "/" : text === "/" || text.replace(/\/$/, "") === mount)
    );
  });
  if (isFound) return [];
  return [
    {
      rule: "mount-differs",
      severity: "error",
      line: first.directive.line,
      what: `nothing leads to the application below ${mount === "" ? "the root" : mount}: the location is ${first.directive.args.join(" ")}`,
      remedy: `location ${mount}/ { … }`,
    },
  ];
}

function bytesOf(text: string | undefined): number | undefined {
  const [, digits = "", unit = ""] = /^(\d+)([kmg]?)$/i.exec(text ?? "") ?? [];
  if (digits === "") return undefined;
  return Number(digits) * ({ k: 1024, m: 1024 ** 2, g: 1024 ** 3 }[unit.toLowerCase()] ?? 1);
}

function secondsOf(text: string | undefined): number | undefined {
  const parts = [...(text ?? "").matchAll(/(\d+)(ms|[smhd]?)/g)];
  if (parts.length === 0) return undefined;
  const units: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };
  return parts.reduce((sum, [, digits, unit = ""]) => sum + Number(digits) * (units[unit] ?? 1), 0);
}
