/** `postern curl`: curl's flags and habits, for a FastCGI application instead of an HTTP server. */
import { Command } from "commander";
import { SettingError } from "../../base/errors.ts";
import { readDuration } from "../../config/values.ts";
import type { CurlOptions, DataFlag, FormFlag } from "../../tools/curl/options.ts";
import { runCurl } from "../../tools/curl/run.ts";
import { interruptible, linePrinter } from "../tool-io.ts";
import { packageVersion } from "../version.ts";

/** Flags of curl that have no meaning here, and what to do instead. */
const FOREIGN: readonly (readonly [flags: string, remedy: string])[] = [
  [
    "-k, --insecure",
    "no TLS lies between a web server and a FastCGI application; leave it out (--https says HTTPS=on)",
  ],
  ["-x, --proxy <url>", "an application is asked directly; leave it out"],
  ["--unix-socket <path>", "write --connect unix:PATH"],
  ["--abstract-unix-socket <name>", "write --connect unix:@NAME"],
  ["--resolve <text>", "write --connect HOST:PORT; the URL only names the host that is asked for"],
  ["--connect-to <text>", "write --connect HOST:PORT"],
  ["-c, --cookie-jar <file>", "cookies are not kept; -i shows them, -b sends them"],
  ["-E, --cert <file>", "no TLS here; say what the web server would: --param SSL_CLIENT_VERIFY=SUCCESS"],
  ["--cacert <file>", "no TLS here; leave it out"],
  ["--http2", "FastCGI carries no HTTP version but in SERVER_PROTOCOL; --param SERVER_PROTOCOL=HTTP/2.0"],
  ["-0, --http1.0", "write --param SERVER_PROTOCOL=HTTP/1.0"],
  ["-K, --config <file>", "flags are read from the command line only"],
  ["-Z, --parallel", "one request each; for load there is postern bench"],
];

interface Flags {
  readonly connect?: string;
  readonly role?: string;
  readonly request?: string;
  readonly get?: boolean;
  readonly head?: boolean;
  readonly uploadFile?: string;
  readonly user?: string;
  readonly userAgent?: string;
  readonly referer?: string;
  readonly range?: string;
  readonly compressed?: boolean;
  readonly requestTarget?: string;
  readonly pathAsIs?: boolean;
  readonly location?: boolean;
  readonly maxRedirs?: number;
  readonly include?: boolean;
  readonly showHeaders?: boolean;
  readonly output?: string;
  readonly remoteName?: boolean;
  readonly dumpHeader?: string;
  readonly fail?: boolean;
  readonly failWithBody?: boolean;
  readonly writeOut?: string;
  readonly verbose?: boolean;
  readonly silent?: boolean;
  readonly showError?: boolean;
  readonly trace?: boolean;
  readonly traceHex?: boolean;
  readonly dryRun?: boolean;
  readonly maxTime?: number;
  readonly connectTimeout?: number;
  readonly dataStream?: string;
  readonly scriptFilename?: string;
  readonly root?: string;
  readonly index?: string;
  readonly mount?: string;
  readonly remoteUser?: string;
  readonly https?: boolean;
  readonly clientAddress?: string;
  readonly keepAlive?: boolean;
}

/** Flags that may be repeated, in their order. */
interface Lists {
  readonly headers: string[];
  readonly data: DataFlag[];
  readonly form: FormFlag[];
  readonly cookies: string[];
  readonly params: string[];
  readonly withoutParams: string[];
}

export function curlCommand(): Command {
  const lists: Lists = { headers: [], data: [], form: [], cookies: [], params: [], withoutParams: [] };
  const command = new Command("curl")
    .description("Ask a FastCGI application as curl asks an HTTP server.")
    .argument("[url]", "URL or path; the host is only what the application is told")
    .option(
      "--connect <address>",
      "where the application listens: unix:/path, host:port (or POSTERN_CONNECT)",
    )
    .option("-X, --request <method>", "method of the request");
  requestFlags(command, lists);
  answerFlags(command);
  fastcgiFlags(command, lists);
  for (const [flags, remedy] of FOREIGN) {
    const name = /--([\w.-]+)/.exec(flags)?.[1] ?? "";
    command.addOption(command.createOption(flags).hideHelp());
    command.on(`option:${name}`, () => {
      throw new SettingError("ERR_POSTERN_BAD_SETTING", `curl's --${name} has no meaning here: ${remedy}`);
    });
  }
  return command.action(async (url: string | undefined, flags: Flags) => {
    const options = optionsOf(url, flags, lists);
    const interrupt = interruptible();
    try {
      process.exitCode = await runCurl(options, {
        stdout: process.stdout,
        stdin: () => process.stdin,
        say: linePrinter(process.stderr),
        width:
          process.stderr.isTTY === true
            ? process.stderr.columns || 80
            : Number(process.env["COLUMNS"]) || 120,
        signal: interrupt.signal,
      });
    } finally {
      interrupt.stop();
      // What was not read of it must not keep the process.
      if (options.upload !== undefined || lists.data.length + lists.form.length > 0) process.stdin.destroy();
    }
  });
}

function requestFlags(command: Command, lists: Lists): void {
  const data =
    (kind: DataFlag["kind"]) =>
    (text: string): void =>
      void lists.data.push({ kind, text });
  command
    .option(
      "-H, --header <field>",
      'header field: "Name: value"; "Name;" for an empty one, "Name:" for none; @file',
      (text) => void lists.headers.push(text),
    )
    .option("-d, --data <data>", "form data, @file or @-; repeated, joined with &", data("data"))
    .option("--data-ascii <data>", "the same", data("data"))
    .option("--data-raw <data>", "the same, @ means nothing", data("raw"))
    .option("--data-binary <data>", "data as it is, @file or @-", data("binary"))
    .option(
      "--data-urlencode <data>",
      "data to be encoded: text, name=text, @file, name@file",
      data("urlencode"),
    )
    .option("--json <data>", "data as JSON, with its content type; @file or @-", data("json"))
    .option(
      "-F, --form <field>",
      "form with files: name=value, name=@file, ;type= and ;filename= behind",
      (text) => void lists.form.push({ isLiteral: false, text }),
    )
    .option(
      "--form-string <field>",
      "the same, the value as it is",
      (text) => void lists.form.push({ isLiteral: true, text }),
    )
    .option("-T, --upload-file <file>", "file as the body of a PUT; - sends standard input as it comes")
    .option("-G, --get", "put the data into the URL")
    .option("-I, --head", "ask for the head alone")
    .option("-u, --user <user:password>", "Authorization: Basic")
    .option("-A, --user-agent <name>", "User-Agent")
    .option("-e, --referer <url>", "Referer")
    .option(
      "-b, --cookie <cookies>",
      "Cookie: name=value, several with ;",
      (text) => void lists.cookies.push(text),
    )
    .option("-r, --range <range>", "Range, such as 0-99")
    .option("--compressed", "ask for a compressed body, and decode it")
    .option("--request-target <target>", "REQUEST_URI as it is, such as *")
    .option("--path-as-is", "leave /../ in the path")
    .option("-L, --location", "follow redirects within this application")
    .option("--max-redirs <count>", "at most so many (default: 50)", countOf("--max-redirs"))
    .option("-m, --max-time <seconds>", "time for all of it", secondsOf("--max-time"))
    .option(
      "--connect-timeout <seconds>",
      "time for the connection (default: 10)",
      secondsOf("--connect-timeout"),
    );
}

function answerFlags(command: Command): void {
  command
    .option("-i, --include", "print the head as well")
    .option("--show-headers", "the same")
    .option("-D, --dump-header <file>", "write the head to a file, - for standard output")
    .option("-o, --output <file>", "write the body to a file")
    .option("-O, --remote-name", "write the body to a file named as in the URL")
    .option("-f, --fail", "no body and exit code 22 for a status from 400 on")
    .option("--fail-with-body", "the same with the body")
    .option("-w, --write-out <format>", "print this afterwards: %{http_code}, %{time_total}, %{app_status} …")
    .option("-v, --verbose", "print parameters, head and end on standard error")
    .option("-s, --silent", "say nothing of errors")
    .option("-S, --show-error", "with -s: do")
    .option("--trace", "print every record, both ways, on standard error")
    .option("--trace-hex", "the same with a hex dump");
}

function fastcgiFlags(command: Command, lists: Lists): void {
  command
    .option("--role <role>", "responder, authorizer or filter (default: responder)")
    .option("--data-stream <file>", "what a filter filters")
    .option(
      "--param <name=value>",
      "parameter, in the place of one of that name",
      (text) => void lists.params.push(text),
    )
    .option(
      "--no-param <name>",
      "leave a parameter out",
      (text: string) => void lists.withoutParams.push(text),
    )
    .option("--root <folder>", "php-fpm: document root; the script is taken from the path")
    .option("--index <file>", "with --root: script of a path that ends in / (default: index.php)")
    .option("--script-filename <file>", "php-fpm: the script, whatever the path")
    .option("--mount <path>", "where the application is mounted: SCRIPT_NAME")
    .option("--remote-user <name>", "REMOTE_USER, as if the web server had asked for a password")
    .option("--https", "HTTPS=on, as if the client had come by TLS")
    .option("--client-address <address>", "REMOTE_ADDR, and REMOTE_PORT behind a colon")
    .option("--keep-alive", "ask the application to keep the connection")
    .option("--dry-run", "print the parameters and send nothing");
}

function optionsOf(url: string | undefined, flags: Flags, lists: Lists): CurlOptions {
  const connect = flags.connect ?? process.env["POSTERN_CONNECT"];
  if (url === undefined)
    throw wrong("the URL is missing; write a path, such as postern curl / --connect unix:/run/app.sock");
  if (connect === undefined && flags.dryRun !== true) {
    throw wrong(
      `--connect is missing: the FastCGI address of the application, such as --connect unix:/run/app.sock or --connect 127.0.0.1:9000${/^https?:/i.test(url) ? `; ${url} only says what it is asked for (for HTTP itself there is curl)` : ""}`,
    );
  }
  const role = flags.role ?? "responder";
  if (role !== "responder" && role !== "authorizer" && role !== "filter")
    throw wrong(`--role ${JSON.stringify(role)} cannot be used, it must be responder, authorizer or filter`);
  const isHead = flags.head === true;
  return {
    ...lists,
    url,
    connect: connect ?? "127.0.0.1:0",
    role,
    ...(flags.request !== undefined && { method: flags.request }),
    ...(flags.uploadFile !== undefined && { upload: flags.uploadFile }),
    isGet: flags.get === true,
    isHead,
    ...given(flags, [
      "user",
      "userAgent",
      "referer",
      "range",
      "requestTarget",
      "output",
      "dumpHeader",
      "writeOut",
    ]),
    ...given(flags, ["dataStream", "scriptFilename", "root", "mount", "remoteUser", "clientAddress"]),
    index: flags.index ?? "index.php",
    isCompressed: flags.compressed === true,
    isPathAsIs: flags.pathAsIs === true,
    follow: flags.location === true,
    maxRedirects: flags.maxRedirs ?? 50,
    withHead: flags.include === true || flags.showHeaders === true || isHead,
    remoteName: flags.remoteName === true,
    fail: flags.fail === true,
    failWithBody: flags.failWithBody === true,
    verbose: flags.verbose === true,
    silent: flags.silent === true,
    showError: flags.showError === true,
    trace: flags.trace === true,
    traceHex: flags.traceHex === true,
    dryRun: flags.dryRun === true,
    maxTimeMs: flags.maxTime ?? 0,
    connectTimeoutMs: flags.connectTimeout ?? 10_000,
    isHttps: flags.https === true,
    keepAlive: flags.keepAlive === true,
    software: `postern/${packageVersion()}`,
  };
}

/** Those of the named flags that were given. */
function given<K extends keyof Flags>(flags: Flags, names: readonly K[]): Partial<Record<K, string>> {
  const found: Partial<Record<K, string>> = {};
  for (const name of names) {
    const value = flags[name];
    if (typeof value === "string") found[name] = value;
  }
  return found;
}

/** As curl: seconds, also parts of them. Units may be written as everywhere in Postern. */
function secondsOf(flag: string): (text: string) => number {
  return (text) => {
    const ms = readDuration(text);
    if (ms !== undefined) return ms;
    throw wrong(`${flag} ${JSON.stringify(text)} is no time; write seconds, such as 2.5`);
  };
}

function countOf(flag: string): (text: string) => number {
  return (text) => {
    if (/^\d{1,6}$/.test(text)) return Number(text);
    if (text === "-1") return Number.POSITIVE_INFINITY;
    throw wrong(`${flag} ${JSON.stringify(text)} is no number; write 0 to 999999, or -1 for no limit`);
  };
}

function wrong(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}
