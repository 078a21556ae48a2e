/** What the command line of a web server says of its configuration: which file, which folder. Pure. */
import type { WebServerName } from "../../../sites/model.ts";
import { below } from "./source-text.ts";

export interface CommandLine {
  /** The files of its configuration; empty: where it looks by itself. */
  readonly files: readonly string[];
  /** nginx `-p`, Apache `-d`. */
  readonly prefix: string | undefined;
  /** nginx `-e`, Apache `-E`. */
  readonly errorLog: string | undefined;
  /** Arguments that a check of the same configuration needs. */
  readonly kept: readonly string[];
}

/** Options that name the configuration, and those that are to be kept for a check. */
const OPTIONS: Readonly<
  Record<WebServerName, { readonly file: readonly string[]; readonly kept: readonly string[] }>
> = {
  nginx: { file: ["-c"], kept: ["-c", "-p", "-g", "-e"] },
  apache: { file: ["-f"], kept: ["-f", "-d", "-D", "-c", "-C"] },
  lighttpd: { file: ["-f"], kept: ["-f", "-m"] },
  caddy: { file: ["--config", "-config", "-c"], kept: ["--config", "--adapter"] },
  haproxy: { file: ["-f"], kept: ["-f", "-C"] },
  h2o: { file: ["-c", "--conf"], kept: ["-c"] },
  cherokee: { file: ["-C", "--config"], kept: ["-C"] },
};

/** Where each looks when nobody tells it. */
const DEFAULTS: Readonly<Record<WebServerName, readonly string[]>> = {
  nginx: ["/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf", "/usr/local/etc/nginx/nginx.conf"],
  apache: [
    "/etc/apache2/apache2.conf",
    "/etc/httpd/conf/httpd.conf",
    "/usr/local/apache2/conf/httpd.conf",
    "/etc/apache2/httpd.conf",
  ],
  lighttpd: ["/etc/lighttpd/lighttpd.conf"],
  caddy: ["/etc/caddy/Caddyfile"],
  haproxy: ["/etc/haproxy/haproxy.cfg"],
  h2o: ["/etc/h2o/h2o.conf", "/etc/h2o.conf"],
  cherokee: ["/etc/cherokee/cherokee.conf"],
};

export function defaultFiles(server: WebServerName): readonly string[] {
  return DEFAULTS[server];
}

/** @param cwd of the process, where relative paths begin */
export function readCommandLine(server: WebServerName, args: readonly string[], cwd: string): CommandLine {
  const { file, kept } = OPTIONS[server];
  const prefix = valuesOf(args, server === "nginx" ? ["-p"] : server === "apache" ? ["-d"] : [])[0];
  // nginx: a relative file is one below the folder of -p, Apache's one below that of -d.
  const folder = prefix === undefined ? cwd : below(cwd, prefix);
  const errorLog = valuesOf(args, server === "nginx" ? ["-e"] : server === "apache" ? ["-E"] : [])[0];
  const isCaddyPair = (word: string): boolean => kept.some((option) => word.startsWith(`${option}=`));
  return {
    files: valuesOf(args, file).map((one) => below(folder, one)),
    prefix: prefix === undefined ? undefined : folder,
    errorLog: errorLog === undefined || errorLog === "stderr" ? undefined : below(folder, errorLog),
    kept: args.flatMap((word, at) => {
      if (isCaddyPair(word)) return [word];
      const value = args[at + 1];
      return kept.includes(word) && value !== undefined ? [word, absolute(word, value, folder)] : [];
    }),
  };
}

const PATHS = ["-c", "-p", "-f", "-d", "-C", "-e", "--config", "-m"];

function absolute(option: string, value: string, folder: string): string {
  return PATHS.includes(option) && /^[\w./-]+$/.test(value) ? below(folder, value) : value;
}

/** `-c FILE`, `-cFILE`, `--config=FILE`; each time that it is said. */
function valuesOf(args: readonly string[], options: readonly string[]): string[] {
  return args.flatMap((word, at) => {
    if (options.includes(word)) return args[at + 1] === undefined ? [] : [args[at + 1] as string];
    const long = options.find((option) => option.startsWith("--") && word.startsWith(`${option}=`));
    if (long !== undefined) return [word.slice(long.length + 1)];
    const short = options.find((option) => option.length === 2 && word.startsWith(option) && word.length > 2);
    return short === undefined || word.startsWith("--") ? [] : [word.slice(2)];
  });
}

/** How a server checks its configuration, without reading it for good. */
export function checkCommand(
  server: WebServerName,
  program: readonly string[],
  { kept }: Pick<CommandLine, "kept">,
): readonly string[] | undefined {
  switch (server) {
    case "nginx":
      return [...program, ...kept, "-t"];
    case "apache":
      return [...program, ...kept, "-t"];
    case "lighttpd":
      return [...program, "-tt", ...kept];
    case "caddy":
      return [...program, "validate", ...kept];
    case "haproxy":
      return [...program, "-c", "-q", ...kept];
    case "h2o":
      return [...program, "-t", ...kept];
    // It opens what it checks.
    case "cherokee":
      return undefined;
  }
}
