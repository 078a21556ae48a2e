/**
 * What an existing configuration of Apache gets wrong: a server's or virtual host's, an `.htaccess`, or the `.fcgi` file
 * that it starts. Here is what concerns all of them; what a module has of its own is in the apache-check-*.ts beside it.
 */
import { printAddress } from "../base/address.ts";
import { checkFcgiFile } from "./apache-check-file.ts";
import { checkHtaccess, isHtaccess } from "./apache-check-htaccess.ts";
import { checkProxy } from "./apache-check-proxy.ts";
import { checkSpawned } from "./apache-check-spawned.ts";
import { checkTimeout } from "./apache-check-timeout.ts";
import { type Directive, parseApache } from "./apache-parse.ts";
import {
  finding,
  hasFastCgi,
  named,
  passesAuthorization,
  type Scope,
  scopesOf,
  sectionOf,
  spawning,
} from "./apache-scopes.ts";
import type { Expected, Finding } from "./model.ts";

/** @throws {SettingError} when the sections of the text do not fit together */
export function checkApache(text: string, expected: Expected): Finding[] {
  if (/^\uFEFF?#!/.test(text)) return checkFcgiFile(text);
  const directives = parseApache(text);
  const misplaced = isHtaccess(directives) ? [] : passAuth(directives);
  const scopes = scopesOf(directives, expected);
  const serving = scopes.filter(hasFastCgi);
  if (serving.length === 0) return [...misplaced, ...nothing(scopes)];
  const found = serving.flatMap((scope) =>
    isHtaccess(directives)
      ? checkHtaccess(scope)
      : [
          ...checkProxy(scope),
          ...checkSpawned(scope),
          ...checkTimeout(scope),
          ...encodedSlashes(scope),
          ...authorization(scope),
          ...bodyLimit(scope),
          ...readable(scope),
          ...sentFiles(scope),
        ],
  );
  return withoutTwins([...misplaced, ...found]);
}

/** What is outside of all virtual hosts is looked at with each of them. */
function withoutTwins(found: readonly Finding[]): Finding[] {
  const seen = new Map(
    found.map((one) => [`${one.rule}:${one.line}:${one.line === 0 ? one.what : ""}`, one]),
  );
  return [...seen.values()];
}

function nothing(scopes: readonly Scope[]): Finding[] {
  const wrong = scopes.flatMap((scope) =>
    scope.passes.flatMap(({ scheme, address, directive }) =>
      scheme === "http" &&
      address !== undefined &&
      scope.expected.addresses?.some((one) => printAddress(one) === printAddress(address))
        ? [httpToFastCgi(directive)]
        : [],
    ),
  );
  if (wrong.length > 0) return wrong;
  return [
    finding(
      "no-fastcgi",
      "error",
      0,
      "nothing here speaks FastCGI: there is no ProxyPass to fcgi://, no fcgid-script and no fastcgi-script",
      'ProxyPass "/" "unix:/run/yourapplication/app.sock|fcgi://yourapplication/", or all of it by: postern config apache',
    ),
  ];
}

function httpToFastCgi({ line }: Directive): Finding {
  return finding(
    "http-to-fastcgi",
    "error",
    line,
    "requests are passed on by HTTP to the address where the application speaks FastCGI: every one fails",
    "write fcgi:// in place of http://",
  );
}

/** Apache itself does not start with it. */
function passAuth(directives: readonly Directive[]): Finding[] {
  return directives.flatMap((directive) =>
    directive.name === "cgipassauth" &&
    sectionOf(
      directive,
      "directory",
      "directorymatch",
      "location",
      "locationmatch",
      "files",
      "filesmatch",
    ) === undefined
      ? [
          finding(
            "pass-auth-misplaced",
            "error",
            directive.line,
            "CGIPassAuth is not allowed outside of a Directory, Location or Files section: Apache does not start",
            '<Location "/"> CGIPassAuth On </Location>, on three lines',
          ),
        ]
      : [],
  );
}

function encodedSlashes(scope: Scope): Finding[] {
  const last = named(scope, "allowencodedslashes").at(-1);
  if (last !== undefined && last.args[0]?.toLowerCase() !== "off") return [];
  return [
    finding(
      "encoded-slashes-refused",
      "warning",
      last?.line ?? 0,
      "URLs with %2F are answered 404 by Apache itself",
      "AllowEncodedSlashes NoDecode",
    ),
  ];
}

function authorization(scope: Scope): Finding[] {
  if (passesAuthorization(scope.directives)) return [];
  return [
    finding(
      "authorization-dropped",
      "warning",
      0,
      "the Authorization header does not reach the application",
      spawning(scope, "fastcgi").length > 0 && scope.passes.length === 0
        ? "add to FastCgiServer or FastCgiExternalServer: -pass-header Authorization"
        : "CGIPassAuth On, inside the Location, Directory or Files section of the application",
    ),
  ];
}

/** LimitRequestBody ends before anything that is passed on. */
function bodyLimit(scope: Scope): Finding[] {
  return named(scope, "limitrequestbody").flatMap(({ line, args }) => {
    if (args[0] === "0") return [];
    const isSpawned = spawning(scope, "fcgid").length > 0;
    return [
      finding(
        "body-limit-without-effect",
        isSpawned ? "error" : "warning",
        line,
        isSpawned
          ? "mod_fcgid does not refuse a body larger than LimitRequestBody: the application is given an empty one"
          : "LimitRequestBody does nothing for what is passed on: bodies of any size reach the application",
        `RewriteCond expr "%{HTTP:Content-Length} -gt ${args[0] ?? ""}" and RewriteRule "^" "-" [R=413,L]`,
      ),
    ];
  });
}

/** Folders of programs and files: without a word Apache answers 403. */
function readable(scope: Scope): Finding[] {
  const places = named(scope, "alias", "scriptalias", "documentroot").flatMap((directive) => {
    const path = directive.args.at(-1);
    // Nothing needs to be there for an external server; and these folders distributions open themselves.
    if (path === undefined || !path.startsWith("/") || /^\/(?:var\/www|usr\/share)\//.test(`${path}/`))
      return [];
    return [{ line: directive.line, path: `${path}/` }];
  });
  const granted = named(scope, "require", "allow").flatMap((directive) => {
    if (directive.args.some((word) => /^(?:denied|not)$/i.test(word))) return [];
    const section = sectionOf(directive, "directory", "directorymatch", "location", "locationmatch");
    const where = section?.args.at(-1) ?? "";
    // What a regular expression or a URL covers is not looked into.
    return section?.name === "directory" && section.args.length === 1 ? [where.replace(/\/*$/, "/")] : ["/"];
  });
  return places.flatMap(({ line, path }) =>
    granted.some((folder) => path.startsWith(folder))
      ? []
      : [
          finding(
            "folder-not-granted",
            "warning",
            line,
            `nothing here lets anybody into ${path.replace(/\/+$/, "")}: unless it is said elsewhere, Apache answers 403`,
            `<Directory "${path.replace(/\/[^/]*\.fcgi\/*$/, "").replace(/\/+$/, "")}"> Require all granted </Directory>, on three lines`,
          ),
        ],
  );
}

/** The application says which file, Apache is to send it. */
function sentFiles(scope: Scope): Finding[] {
  const folders = scope.expected.sendFile?.filter(({ url }) => url === undefined) ?? [];
  if (folders.length === 0) return [];
  const isOn = named(scope, "xsendfile").some(({ args }) => args[0]?.toLowerCase() === "on");
  const paths = named(scope, "xsendfilepath").map(({ args }) => `${args[0] ?? ""}/`.replace(/\/+$/, "/"));
  return folders.flatMap(({ folder }) =>
    isOn && paths.some((path) => `${folder}/`.startsWith(path))
      ? []
      : [
          finding(
            "send-file-off",
            "error",
            0,
            `the application leaves files of ${folder} to Apache, which does not send them: visitors get an empty page`,
            `XSendFile On and XSendFilePath "${folder}", with mod_xsendfile`,
          ),
        ],
  );
}
