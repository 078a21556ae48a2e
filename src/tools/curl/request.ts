/**
 * Flags → the request that is sent: method, header fields, body, parameters. What a web server would make of what curl
 * would send to it; the parameters are made by cgi/from-http.ts, as the gateway's are.
 */
import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import {
  decodePath,
  type Pair,
  paramsFromHttp,
  parseTarget,
  type Script,
  splitMount,
  splitScript,
} from "../../cgi/from-http.ts";
import {
  type Body,
  dataBody,
  dataOf,
  type OpenStdin,
  queryOf,
  statsOf,
  unreadable,
  uploadBody,
} from "./body.ts";
import { CurlExit, CurlFailure } from "./exit.ts";
import { formBody } from "./multipart.ts";
import { type CurlOptions, latin1 } from "./options.ts";
import { type CurlUrl, parseUrl } from "./url.ts";

/** One request, before its parameters are made: what a redirect changes. */
export interface Step {
  readonly url: CurlUrl;
  readonly method: string;
  readonly body: Body | undefined;
}

/** What a client of no known address is given. Web servers always send both. */
const CLIENT = { address: "127.0.0.1", port: 49152 };

/** The first request. @throws {CurlFailure} */
export async function firstStep(options: CurlOptions, stdin: OpenStdin): Promise<Step> {
  const { data, form, upload, isGet, isHead } = options;
  let url = parseUrl(options.url, options.isPathAsIs);
  const hasData = data.length > 0 && !isGet;
  const kinds = [hasData, form.length > 0, upload !== undefined].filter(Boolean).length;
  if (kinds > 1) throw usage("only one of -d, -F and -T can make the body of a request");
  if (isHead && kinds > 0)
    throw usage("-I asks for the head alone (HEAD), which has no body; with -d add -G");
  if (options.role === "authorizer" && kinds > 0)
    throw usage("--role authorizer: an authorizer gets no body (FastCGI 1.0 §6.3)");
  let body: Body | undefined;
  if (hasData) body = await dataBody(data, stdin);
  else if (form.length > 0) body = await formBody(form, stdin);
  else if (upload !== undefined) {
    body = uploadBody(upload, stdin);
    const isFolder = /\/(?:\?|$)/.test(url.uri) && upload !== "-" && upload !== ".";
    if (isFolder) url = { ...url, uri: url.uri.replace(/(?=\?|$)/, encodeURIComponent(basename(upload))) };
  } else if (isGet && data.length > 0) {
    const query = queryOf(await dataOf(data, stdin));
    if (query !== "") url = { ...url, uri: `${url.uri}${url.uri.includes("?") ? "&" : "?"}${query}` };
  }
  const usual = upload !== undefined ? "PUT" : body !== undefined ? "POST" : isHead ? "HEAD" : "GET";
  return { url, method: latin1(options.method ?? usual), body };
}

/** The parameters of a request, in the order they are sent. @throws {CurlFailure} */
export function paramsOf(options: CurlOptions, { url, method, body }: Step): Pair[] {
  const isHttps = url.isHttps || options.isHttps;
  const target = parseTarget(options.requestTarget === undefined ? url.uri : latin1(options.requestTarget));
  if ("refusal" in target) throw new CurlFailure(CurlExit.Url, `${url.uri}: ${target.refusal}`);
  const client = clientOf(options.clientAddress);
  const rawHeaders = headersOf(options, url, body);
  const isChunked = rawHeaders.some((text, at) => at % 2 === 0 && /^transfer-encoding$/i.test(text));
  const own = rawHeaders.some((text, at) => at % 2 === 0 && /^content-length$/i.test(text));
  const length = isChunked || own || isRemoved(options, "content-length") ? undefined : body?.length;
  const params = paramsFromHttp(
    {
      method,
      target: target.uri,
      httpVersion: "1.1",
      rawHeaders:
        body !== undefined && body.length === undefined && !own && !isChunked
          ? [...rawHeaders, "Transfer-Encoding", "chunked"]
          : rawHeaders,
      remoteAddress: client.address,
      remotePort: client.port,
      localAddress: client.address.includes(":") ? "::1" : "127.0.0.1",
      isEncrypted: isHttps,
    },
    target,
    {
      software: options.software,
      script: scriptOf(options, target.path),
      documentRoot: documentRootOf(options),
      ...(length !== undefined && { contentLength: length }),
      extra: [...roleParams(options), ...userParams(options), ...options.params.map(paramOf)],
    },
  );
  if ("refusal" in params) throw new CurlFailure(CurlExit.Usage, params.refusal);
  const without = new Set(options.withoutParams.map(latin1));
  const named = new Set(options.params.map((text) => paramOf(text)[0]));
  // An authorizer is asked about a request, not about a script. FastCGI 1.0 §6.3.
  if (options.role === "authorizer")
    for (const name of ["CONTENT_LENGTH", "PATH_INFO", "PATH_TRANSLATED", "SCRIPT_NAME"])
      if (!named.has(name)) without.add(name);
  return params.filter(([name]) => !without.has(name));
}

/** Header fields that web servers drop, for a warning: nobody would find out otherwise. */
export function droppedHeaders(options: CurlOptions): string[] {
  return options.headers
    .map((text) => /^([^:;]+)[:;]/.exec(text)?.[1] ?? "")
    .filter((name) => name !== "" && !/^[A-Za-z0-9-]+$/.test(name));
}

/** Names and values in turn: what curl sends by itself, changed by `-H`. */
export function headersOf(options: CurlOptions, url: CurlUrl, body: Body | undefined): string[] {
  const usual = new Map<string, string>([["Host", url.authority]]);
  const user = options.user ?? url.user;
  if (user !== undefined) usual.set("Authorization", `Basic ${Buffer.from(user).toString("base64")}`);
  usual.set("User-Agent", latin1(options.userAgent ?? options.software));
  usual.set("Accept", options.data.some(({ kind }) => kind === "json") ? "application/json" : "*/*");
  if (options.referer !== undefined) usual.set("Referer", latin1(options.referer));
  if (options.range !== undefined) usual.set("Range", `bytes=${latin1(options.range)}`);
  if (options.isCompressed) usual.set("Accept-Encoding", "gzip, deflate, br");
  if (options.cookies.length > 0) usual.set("Cookie", cookieOf(options.cookies));
  if (body?.contentType !== undefined) usual.set("Content-Type", body.contentType);
  const given: string[] = [];
  for (const line of headerLines(options.headers)) {
    const { name, value } = headerOf(line);
    for (const known of [...usual.keys()])
      if (known.toLowerCase() === name.toLowerCase()) usual.delete(known);
    if (value !== undefined) given.push(latin1(name), latin1(value));
  }
  return [...[...usual].flat(), ...given];
}

/** `Name: value`; `Name:` takes the field away, `Name;` sends it empty. */
function headerOf(line: string): { name: string; value: string | undefined } {
  const [, name = "", sign = "", rest = ""] = /^([^:;]+?)\s*([:;])(.*)$/s.exec(line) ?? [];
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || (sign === ";" && rest.trim() !== ""))
    throw usage(
      `-H ${JSON.stringify(line)}: write "Name: value", "Name;" for an empty one, "Name:" for none`,
    );
  if (/[\r\n\0]/.test(rest)) throw usage(`-H ${JSON.stringify(line)}: a header field is one line`);
  const value = rest.trim();
  return { name, value: sign === ";" ? "" : value === "" ? undefined : value };
}

/** `-H @file`: a field on each line. */
function headerLines(headers: readonly string[]): string[] {
  return headers.flatMap((text) => {
    if (!text.startsWith("@")) return [text];
    const file = text.slice(1);
    statsOf(file);
    try {
      return readFileSync(file, "utf8")
        .split(/\r?\n/)
        .filter((line) => line.trim() !== "");
    } catch (error) {
      throw unreadable(file, error);
    }
  });
}

function isRemoved(options: CurlOptions, name: string): boolean {
  return options.headers.some((text) => new RegExp(`^${name}\\s*:\\s*$`, "i").test(text));
}

function cookieOf(cookies: readonly string[]): string {
  for (const text of cookies) {
    if (!text.includes("="))
      throw usage(`-b ${JSON.stringify(text)}: files of cookies are not read; write name=value`);
  }
  return cookies.map(latin1).join("; ");
}

function paramOf(text: string): Pair {
  const sign = text.indexOf("=");
  if (sign < 1) throw usage(`--param ${JSON.stringify(text)}: write NAME=VALUE, or NAME= for an empty one`);
  return [latin1(text.slice(0, sign)), latin1(text.slice(sign + 1))];
}

function userParams({ remoteUser }: CurlOptions): Pair[] {
  return remoteUser === undefined
    ? []
    : [
        ["AUTH_TYPE", "Basic"],
        ["REMOTE_USER", latin1(remoteUser)],
      ];
}

/** What a filter must know of its second stream. FastCGI 1.0 §6.4. */
function roleParams({ role, dataStream }: CurlOptions): Pair[] {
  if (role !== "filter") {
    if (dataStream === undefined) return [];
    throw usage(`--data-stream ${dataStream}: only a filter has it; add --role filter`);
  }
  if (dataStream === undefined)
    throw usage("--role filter: the data to filter is missing; add --data-stream FILE");
  const stats = statsOf(dataStream);
  return [
    ["FCGI_DATA_LAST_MOD", String(Math.floor(stats.mtimeMs / 1000))],
    ["FCGI_DATA_LENGTH", String(stats.size)],
  ];
}

function documentRootOf({ root, scriptFilename }: CurlOptions): string | undefined {
  if (root !== undefined) return latin1(root.replace(/(?<=.)\/+$/, ""));
  return scriptFilename === undefined ? undefined : latin1(dirname(scriptFilename));
}

/** Which program of the application answers a path. */
function scriptOf(options: CurlOptions, path: string): Script {
  const { mount, scriptFilename, root } = options;
  if (scriptFilename !== undefined) {
    if (mount !== undefined) throw usage("--mount and --script-filename exclude each other");
    const file = latin1(scriptFilename);
    const folder = root === undefined ? undefined : documentRootOf(options);
    const isInside = folder !== undefined && file.startsWith(`${folder}/`);
    const scriptName = isInside ? file.slice(folder.length) : `/${basename(file)}`;
    const rest = path.startsWith(`${scriptName}/`) ? path.slice(scriptName.length) : "";
    return { scriptName, pathInfo: rest, scriptFilename: file };
  }
  if (root !== undefined) {
    if (mount !== undefined) throw usage("--mount and --root exclude each other");
    const folder = documentRootOf(options)!;
    const found = splitScript(path, folder, { index: latin1(options.index) });
    return found ?? { scriptName: path, pathInfo: "", scriptFilename: folder + path };
  }
  const base = latin1((mount ?? "").replace(/\/+$/, ""));
  if (base !== "" && (!base.startsWith("/") || typeof decodePath(base) !== "string"))
    throw usage(`--mount ${JSON.stringify(mount)}: write a path, such as /app`);
  const script = splitMount(path, base);
  if (script === undefined) throw usage(`--mount ${mount}: the path ${path} is outside of it`);
  return script;
}

function clientOf(text: string | undefined): { address: string; port: number } {
  if (text === undefined) return CLIENT;
  const found = /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<v4>[^:]+))(?::(?<port>\d{1,5}))?$/.exec(text)?.groups;
  const address = found?.["v6"] ?? found?.["v4"] ?? (/^[0-9A-Fa-f:.]+$/.test(text) ? text : undefined);
  if (address === undefined || !/^[0-9A-Fa-f:.]+$/.test(address))
    throw usage(
      `--client-address ${JSON.stringify(text)}: write an IP address, such as 192.0.2.1 or 192.0.2.1:40000`,
    );
  return { address, port: Number(found?.["port"] ?? CLIENT.port) };
}

function usage(message: string): CurlFailure {
  return new CurlFailure(CurlExit.Usage, message);
}
