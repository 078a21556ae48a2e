/** What an `.htaccess` of a shared host gets wrong, where mod_fcgid starts the program and mod_rewrite hides its name. */
import type { Directive } from "./apache-parse.ts";
import { finding, named, passesAuthorization, type Scope } from "./apache-scopes.ts";
import type { Finding } from "./model.ts";

/** Directives that only a server's own configuration can hold. */
const SERVER_ONLY = new Set([
  "proxypass",
  "balancermember",
  "scriptalias",
  "alias",
  "documentroot",
  "servername",
  "listen",
  "loadmodule",
  "fastcgiserver",
  "fastcgiexternalserver",
]);
const SERVER_SECTIONS = new Set([
  "virtualhost",
  "directory",
  "directorymatch",
  "location",
  "locationmatch",
  "proxy",
]);

/** A file of directives that may all stand in an `.htaccess`, and among them what starts a program. */
export function isHtaccess(directives: readonly Directive[]): boolean {
  return (
    directives.some(({ name }) => name === "addhandler" || name === "sethandler" || name === "rewriterule") &&
    !directives.some(
      ({ name, within }) =>
        SERVER_ONLY.has(name) || within.some((section) => SERVER_SECTIONS.has(section.name)),
    )
  );
}

export function checkHtaccess(scope: Scope): Finding[] {
  return [...options(scope), ...rewriting(scope), ...base(scope), ...authorization(scope)];
}

function options(scope: Scope): Finding[] {
  const all = named(scope, "options");
  const found = all.flatMap(({ args, line }) => {
    const signed = args.filter((option) => /^[+-]/.test(option)).length;
    return signed === 0 || signed === args.length
      ? []
      : [
          finding(
            "options-mixed",
            "error",
            line,
            "some options have a sign and some have none: Apache refuses that, and answers 500 to everything",
            "a + before each of them",
          ),
        ];
  });
  const links = all.find(({ args }) =>
    args.some((option) => /^\+?(?:FollowSymLinks|SymLinksIfOwnerMatch)$/i.test(option)),
  );
  if (links !== undefined) {
    found.push(
      finding(
        "follow-symlinks",
        "warning",
        links.line,
        "many hosts do not allow options about symbolic links in .htaccess, and answer 500 to everything when one is there",
        "leave it out: mod_rewrite asks for it only where the log says AH00670",
      ),
    );
  }
  if (!all.some(({ args }) => args.some((option) => /^(?:\+?ExecCGI|All)$/i.test(option)))) {
    found.push(
      finding(
        "exec-not-allowed",
        "error",
        named(scope, "sethandler", "addhandler")[0]?.line ?? 0,
        "Apache may not run programs there: it answers 403",
        "Options +ExecCGI",
      ),
    );
  }
  return found;
}

/** A rule that leaves the program's own URL as it is: `^yourapplication\.fcgi - [L]`. */
function endsAtProgram({ args: [pattern = "", target = "", flags = ""] }: Directive): boolean {
  return target === "-" && /fcgi/.test(pattern) && /(?:\[|,)(?:L|last|END)(?:,|\])/i.test(flags);
}

/** The rule that hands requests to the program. */
function toProgram(scope: Scope): Directive | undefined {
  return named(scope, "rewriterule").find(({ args }) => /\.f?cgi(?:\/|$)/.test(args[1] ?? ""));
}

function rewriting(scope: Scope): Finding[] {
  const rule = toProgram(scope);
  if (rule === undefined) {
    return [
      finding(
        "program-in-urls",
        "warning",
        0,
        "no RewriteRule hands requests to the program: its name has to stand in every URL",
        "RewriteRule ^(.*)$ yourapplication.fcgi/$1 [QSA,L], below RewriteCond %{REQUEST_FILENAME} !-f",
      ),
    ];
  }
  const found: Finding[] = [];
  if (!named(scope, "rewriteengine").some(({ args }) => args[0]?.toLowerCase() === "on")) {
    found.push(
      finding(
        "rewrite-engine-off",
        "error",
        rule.line,
        "the rules are not looked at: 404",
        "RewriteEngine On",
      ),
    );
  }
  const own = conditionsOf(scope, rule);
  const spares = own.some(({ args }) => args[1] === "!-f");
  const isNamed =
    own.some(({ args }) => /\.f?cgi|\bfcgi/.test(args[1] ?? "")) ||
    /fcgi/.test(rule.args[0] ?? "") ||
    named(scope, "rewriterule").some((one) => one.line < rule.line && endsAtProgram(one));
  if (!spares) {
    found.push(
      isNamed
        ? finding(
            "files-not-spared",
            "warning",
            rule.line,
            "files that are there go to the application too: Apache could send them itself",
            "RewriteCond %{REQUEST_FILENAME} !-f, right above the rule",
          )
        : finding(
            "rewrite-loop",
            "error",
            rule.line,
            "the rule takes its own result again and again: 500, and AH00124 in the log",
            "RewriteCond %{REQUEST_FILENAME} !-f, right above the rule",
          ),
    );
  }
  return found;
}

/** Conditions belong to the one rule below them. */
function conditionsOf(scope: Scope, rule: Directive): Directive[] {
  const rewriting = named(scope, "rewritecond", "rewriterule");
  const at = rewriting.indexOf(rule);
  const above = rewriting.slice(0, at).findLastIndex(({ name }) => name === "rewriterule");
  return rewriting.slice(above + 1, at);
}

function base(scope: Scope): Finding[] {
  const { mount } = scope.expected;
  const last = named(scope, "rewritebase").at(-1);
  if (mount === undefined || toProgram(scope) === undefined) return [];
  if (last === undefined || (last.args[0] ?? "").replace(/\/*$/, "") === mount) return [];
  return [
    finding(
      "rewrite-base-differs",
      "error",
      last.line,
      `RewriteBase leads to ${last.args[0] ?? ""}, and the file is for ${mount === "" ? "the root" : mount}: 404 for each request`,
      `RewriteBase ${mount}/`,
    ),
  ];
}

function authorization(scope: Scope): Finding[] {
  const [first] = named(scope, "cgipassauth");
  if (first !== undefined) {
    return [
      finding(
        "pass-auth-in-htaccess",
        "warning",
        first.line,
        "hosts whose AllowOverride has no AuthConfig do not allow CGIPassAuth here, and answer 500 to everything",
        "RewriteRule ^ - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}], right below RewriteEngine On",
      ),
    ];
  }
  if (passesAuthorization(scope.directives)) return [];
  return [
    finding(
      "authorization-dropped",
      "warning",
      0,
      "the Authorization header does not reach the application",
      "RewriteRule ^ - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}], right below RewriteEngine On",
    ),
  ];
}
