/**
 * What an existing Caddyfile gets wrong. Each rule is documented by its name in docs/configure.md. Files that it imports
 * are not seen: where there are such, nothing is said to be missing.
 */
import { type Address, printAddress } from "../base/address.ts";
import { addressFindings, bodyFindings, finding, isExpected, meant } from "./balancer-findings.ts";
import { type CaddyDirective, findAll, parseCaddyfile } from "./caddy-parse.ts";
import type { Expected, Finding } from "./model.ts";

/** A `reverse_proxy` that speaks FastCGI. */
interface Pass {
  readonly line: number;
  readonly upstreams: readonly string[];
  readonly options: readonly CaddyDirective[];
  readonly transport: CaddyDirective;
}

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` for a text that is no Caddyfile */
export function checkCaddy(text: string, expected: Expected): Finding[] {
  const tree = parseCaddyfile(text);
  const proxies = findAll(tree, ({ name }) => name === "reverse_proxy");
  const passes = meant(proxies.flatMap(passOf), ({ upstreams }) => upstreams, expected);
  const overHttp = proxies.filter(
    (proxy) =>
      passOf(proxy).length === 0 &&
      expected.addresses !== undefined &&
      upstreamsOf(proxy).some((upstream) => isExpected(upstream, expected)),
  );
  const hasImports = findAll(tree, ({ name }) => name === "import").length > 0;
  const found = [
    ...overHttp.map(({ line }) => spokenHttp(line)),
    ...findAll(tree, ({ name }) => name === "php_fastcgi").map(({ line }) => forPhp(line)),
    ...passes.flatMap((pass) => checkPass(pass, tree, expected)),
    ...limits(tree, expected),
    ...certificates(tree),
  ];
  if (passes.length === 0 && found.length === 0 && !hasImports) found.push(nothingPassed());
  return found;
}

function passOf(proxy: CaddyDirective): Pass[] {
  const options = proxy.block ?? [];
  const transport = options.find(({ name, words }) => name === "transport" && words[0] === "fastcgi");
  if (transport === undefined) return [];
  return [{ line: proxy.line, upstreams: upstreamsOf(proxy), options, transport }];
}

/** The addresses of a `reverse_proxy`: what follows its matcher, and `to` in its block. */
function upstreamsOf({ words, block }: CaddyDirective): string[] {
  const own = words.filter((word, index) => index > 0 || !/^[@*]|^\//.test(word));
  const more = (block ?? []).filter(({ name }) => name === "to").flatMap((to) => to.words);
  return [...own, ...more].map((word) => word.replace(/^unix\//, "").replace(/^fcgi:\/\//, ""));
}

function nothingPassed(): Finding {
  return finding(
    "no-fastcgi",
    "error",
    0,
    "there is no reverse_proxy with transport fastcgi: no request reaches the application",
    "reverse_proxy unix//run/NAME/app.sock {\n\ttransport fastcgi {\n\t\troot /var/empty\n\t}\n}",
  );
}

function spokenHttp(line: number): Finding {
  return finding(
    "http-to-fastcgi",
    "error",
    line,
    "Caddy speaks HTTP to the address where the application expects FastCGI; visitors get 502",
    "write transport fastcgi in the block of reverse_proxy",
  );
}

function forPhp(line: number): Finding {
  return finding(
    "php-fastcgi",
    "error",
    line,
    "php_fastcgi looks for .php files and makes index.php of every other URL, which the application then sees",
    "use reverse_proxy with transport fastcgi",
  );
}

function checkPass(pass: Pass, tree: readonly CaddyDirective[], expected: Expected): Finding[] {
  const { line, upstreams, options, transport } = pass;
  const found = addressFindings(
    upstreams.map((text) => ({ text, line })),
    expected,
    (address) => `reverse_proxy ${upstreamOf(address)}`,
  );
  found.push(...mounts(transport, expected));
  const isNamed = (name: string) => (directive: CaddyDirective) => directive.name === name;
  const settings = transport.block ?? [];
  if (!settings.some(isNamed("root")) && findAll(tree, isNamed("root")).length === 0) {
    found.push(
      finding(
        "root-missing",
        "warning",
        transport.line,
        "without root, DOCUMENT_ROOT is the folder that Caddy was started in",
        "root /var/empty",
      ),
    );
  }
  if (!options.some(({ name, words }) => name === "header_up" && /^-proxy$/i.test(words[0] ?? ""))) {
    found.push(
      finding(
        "proxy-header-passed",
        "warning",
        line,
        "a visitor's header Proxy becomes HTTP_PROXY, which many programs take for their own setting; Postern ignores it",
        "header_up -Proxy",
      ),
    );
  }
  for (const { line: at, words } of settings.filter(isNamed("split"))) {
    found.push(
      finding(
        "split-path",
        "warning",
        at,
        `URLs with ${words[0] ?? ""} in them are split there, and the rest of the path is lost to the application's routes`,
        "leave split out",
      ),
    );
  }
  for (const { line: at, words } of settings.filter(isNamed("read_timeout"))) {
    found.push(
      finding(
        "answer-cut",
        "warning",
        at,
        `read_timeout is for a whole answer: long downloads and event streams are cut after ${words[0] ?? "it"}`,
        "leave read_timeout out; Postern ends requests that take too long (--request-terminate-timeout)",
      ),
    );
  }
  for (const { line: at, words } of options.filter(isNamed("flush_interval"))) {
    if (/^-/.test(words[0] ?? "")) continue;
    found.push(
      finding(
        "pieces-held-back",
        "warning",
        at,
        `pieces of an answer are held back for ${words[0] ?? "a while"}`,
        "flush_interval -1",
      ),
    );
  }
  const asksForPassword = findAll(tree, ({ name }) => /^basic_?auth$/.test(name)).length > 0;
  if (asksForPassword && envOf(transport, "REMOTE_USER") === undefined) {
    found.push(
      finding(
        "user-not-told",
        "warning",
        transport.line,
        "Caddy asks for a password and does not tell the application who gave it",
        "env REMOTE_USER {http.auth.user.id}",
      ),
    );
  }
  return found;
}

function mounts(transport: CaddyDirective, { mount }: Expected): Finding[] {
  if (mount === undefined) return [];
  const script = envOf(transport, "SCRIPT_NAME");
  // What a placeholder stands for cannot be seen here.
  if (script?.words[1]?.includes("{")) return [];
  const told = script?.words[1] ?? "";
  if (told === mount) return [];
  return [
    finding(
      "mount-not-told",
      "error",
      script?.line ?? transport.line,
      `the application is told that it is mounted at "${told}", and it is at "${mount}": its routes do not match`,
      mount === ""
        ? 'env SCRIPT_NAME ""\nenv PATH_INFO {path}'
        : `@application path_regexp application ^(${mount})(/.*)?$\nenv SCRIPT_NAME {http.regexp.application.1}\nenv PATH_INFO {http.regexp.application.2}`,
    ),
  ];
}

function envOf(transport: CaddyDirective, wanted: string): CaddyDirective | undefined {
  return (transport.block ?? []).find(({ name, words }) => name === "env" && words[0] === wanted);
}

function limits(tree: readonly CaddyDirective[], expected: Expected): Finding[] {
  const sizes = findAll(tree, ({ name }) => name === "request_body").flatMap(({ block, line, words }) => {
    const size = block?.find(({ name }) => name === "max_size");
    return size === undefined
      ? []
      : [{ bytes: bytesOf(size.words[0] ?? ""), line: size.line ?? line, words }];
  });
  return sizes.flatMap(({ bytes, line }) =>
    bodyFindings(bytes, line, expected, (wanted) =>
      wanted === 0 ? "leave max_size out" : `max_size ${wanted}`,
    ),
  );
}

const UNITS: Readonly<Record<string, number>> = { "": 0, k: 1, m: 2, g: 3, t: 4 };

/** `10MB`, `10MiB`, `1000`; 0 for what is none of these. */
function bytesOf(text: string): number {
  const [, number = "", unit = "", binary] = /^(\d+(?:\.\d+)?)([kmgt]?)(i?)b?$/i.exec(text) ?? [];
  const power = UNITS[unit.toLowerCase()] ?? 0;
  return Math.floor(Number(number) * (binary ? 1024 : 1000) ** power);
}

/** A proof that everybody has is none. Caddy 2.11 gives a fingerprint and a serial to who has shown no certificate. */
function certificates(tree: readonly CaddyDirective[]): Finding[] {
  const isForAll = ({ name, words }: CaddyDirective): boolean =>
    (name === "env" && words[0] === "SSL_CLIENT_VERIFY" && words[1] === "SUCCESS") ||
    (name === "map" &&
      /^\{(?:http\.request\.tls\.client|tls_client)[._](?:fingerprint|serial)\}$/.test(words[0] ?? ""));
  return findAll(tree, isForAll).map(({ line }) =>
    finding(
      "certificate-not-verified",
      "error",
      line,
      "the application is told of every visitor that a certificate was verified, also of those who have shown none",
      "map {http.request.tls.client.certificate_der_base64} {client_verify} {\n\t~.+ SUCCESS\n\tdefault NONE\n}\nenv SSL_CLIENT_VERIFY {client_verify}",
    ),
  );
}

function upstreamOf(address: Address): string {
  return address.kind === "unix" ? `unix/${address.path}` : printAddress(address);
}
