/** What a Caddyfile says of its FastCGI; judged in caddy-check.ts. Of JSON only what the adapter of a Caddyfile writes. */
import { type CaddyDirective, findAll, parseCaddyfile } from "./caddy-parse.ts";
import {
  addressOf,
  limitOf,
  type Reading,
  type SaidBackend,
  type SaidListen,
  type SaidSite,
  secondsOf,
  siteOf,
} from "./reading-model.ts";

export function readCaddy(text: string): Reading {
  const tree = parseCaddyfile(text);
  const logs = findAll(tree, ({ name, words }) => name === "output" && words[0] === "file");
  const limit = findAll(tree, ({ name }) => name === "max_size")[0];
  const bodyLimit = limit === undefined ? undefined : limitOf(limit.words[0], true);
  return {
    backends: tree.flatMap((one) => {
      const listens = listensOf(one);
      const site = listens.length === 0 ? undefined : siteOf(listens);
      return proxiesOf([one], undefined).flatMap(({ proxy, url }) => backendsOf(proxy, bodyLimit, site, url));
    }),
    listens: tree.flatMap(listensOf),
    errorLogs: logs
      .map(({ words, line }) => ({ path: words[1] ?? "", line }))
      .filter(({ path }) => path !== ""),
    user: undefined,
    group: undefined,
    chroot: undefined,
  };
}

interface Proxy {
  readonly proxy: CaddyDirective;
  /** Of the `handle_path /yourapplication/*` and the like around it. */
  readonly url: string | undefined;
}

function proxiesOf(directives: readonly CaddyDirective[], url: string | undefined): Proxy[] {
  return directives.flatMap((one) => {
    if (one.name === "reverse_proxy" || one.name === "php_fastcgi") return [{ proxy: one, url }];
    const own = /^(?:handle|handle_path|route)$/.test(one.name) ? pathOf(one.words[0]) : undefined;
    return proxiesOf(one.block ?? [], own ?? url);
  });
}

/** `/yourapplication/*` */
function pathOf(matcher: string | undefined): string | undefined {
  return matcher?.startsWith("/") ? matcher.replace(/\/?\*$/, "/") : undefined;
}

function backendsOf(
  { name, words, block, line }: CaddyDirective,
  bodyLimit: number | undefined,
  site: SaidSite | undefined,
  around: string | undefined,
): SaidBackend[] {
  const transport = block?.find((one) => one.name === "transport" && one.words[0] === "fastcgi");
  if (name === "reverse_proxy" && transport === undefined) return [];
  const matcher = words[0] !== undefined && /^(?:[@*]|\/)/.test(words[0]) ? words[0] : undefined;
  const own = words.slice(matcher === undefined ? 0 : 1).map((text) => ({ text, line }));
  const more = (block ?? [])
    .filter((one) => one.name === "to")
    .flatMap((to) => to.words.map((text) => ({ text, line: to.line })));
  const timeout = secondsOf(
    [...(transport?.block ?? []), ...(block ?? [])].find((one) => one.name === "read_timeout")?.words[0],
  );
  return [...own, ...more].flatMap((upstream) => {
    const address = addressOf(
      upstream.text.replace(/^unix\/\/?(?=\/)/, "").replace(/^(?:fcgi|tcp):?\/\//, ""),
    );
    if (address === undefined) return [];
    const url = pathOf(matcher) ?? around;
    const { line: at } = upstream;
    return [{ address, program: undefined, environment: {}, line: at, timeout, bodyLimit, url, site }];
  });
}

/** Of a block of a site: its addresses are its first words. */
function listensOf({ name, words, line, block }: CaddyDirective): SaidListen[] {
  if (block === undefined || /^[(&]/.test(name) || name === "") return [];
  const binds = block.filter((one) => one.name === "bind").flatMap((one) => one.words);
  return [name, ...words].flatMap((word) => {
    const [, scheme, host = "", port] =
      /^(?:(https?):\/\/)?(\[[^\]]*\]|[^:/{}]*)(?::(\d+))?(?:\/.*)?,?$/.exec(word.replace(/,$/, "")) ?? [];
    if (scheme === undefined && host === "" && port === undefined) return [];
    const isTls = scheme === "https" || (scheme === undefined && host !== "" && port !== "80");
    const names = host === "" || host.includes("*") ? [] : [host];
    const at = binds.length > 0 ? binds : [""];
    return at.map((bind) => ({
      host: bind,
      port: Number(port ?? (isTls ? 443 : 80)),
      // A port alone speaks HTTP.
      isTls: isTls && !(scheme === undefined && host === ""),
      names,
      line,
    }));
  });
}
