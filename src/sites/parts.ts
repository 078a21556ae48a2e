/** What the configurations of several web servers have in common: checks of the site, the head line, small words. */
import type { Address } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { clip, escapeControls } from "../base/text.ts";
import type { Site, WebServerName } from "./model.ts";

/** @throws {SettingError} */
export function checkSite(site: Site): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/.test(site.name)) {
    throw refused(
      `--name ${quoted(site.name)}: a name is of at most 40 letters, digits, "_", "-" and ".", and begins with a letter or digit`,
    );
  }
  if (site.serverNames.length === 0) {
    throw refused("--server-name: there is none; give a host name such as example.com");
  }
  for (const host of site.serverNames) {
    if (!isHost(host.replace(/^\*\./, ""))) {
      throw refused(`--server-name ${quoted(host)}: a host name such as example.com, or *.example.com`);
    }
  }
  const { host, port } = site.listen;
  if ((host !== undefined && !isHost(host)) || !isWhole(port, 1, 65_535)) {
    throw refused(`--listen ${quoted(`${host ?? ""}:${port}`)}: a port from 1 to 65535, or host:port`);
  }
  checkUrl("--mount", site.mount, /^(?:\/[^/\s?#]+)*$/, "such as /app, without a slash at the end");
  for (const { url } of site.statics) checkUrl("--static", url, FOLDER_URL, "such as /static/");
  for (const { url } of site.sendFile) {
    if (url !== undefined) checkUrl("--send-file", url, FOLDER_URL, "such as /protected/");
  }
  if (site.webSocket !== undefined) {
    checkUrl("--websocket", site.webSocket.url, /^(?:\/[^/\s?#]+)*\/?$/, "such as /ws");
  }
  if (!isWhole(site.maxBodyBytes, 0, Number.MAX_SAFE_INTEGER)) {
    throw refused(`--max-body ${site.maxBodyBytes}: a number of bytes, or 0 for no limit`);
  }
  if (!isWhole(site.timeoutSeconds, 1, LONGEST_SECONDS)) {
    throw refused(`--timeout ${site.timeoutSeconds}: whole seconds from 1 to ${LONGEST_SECONDS} (24 days)`);
  }
  checkPlaces(site);
  checkApplication(site);
  if (site.webSocket?.address?.kind === "tcp") checkTcp("--ws-http", site.webSocket.address);
  for (const [what, text] of textsOf(site)) {
    if (UNWRITABLE.test(text)) {
      throw refused(
        `${what}: ${quoted(text)} holds a line break, another control character or one that is not UTF-8, which no configuration can hold`,
      );
    }
  }
}

/** Control characters, all that YAML takes for a line break, and what stands where bytes were no UTF-8. */
const UNWRITABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufeff\ufffd]|\p{Surrogate}/u;

/** What servers would disagree on, or show to everybody. */
function checkPlaces({
  mount,
  statics,
  sendFile,
  webSocket,
  publicFolder,
  passwords,
  tls,
  standalone,
}: Site): void {
  const taken = new Set<string>();
  const socketUrl = webSocket?.url.replace(/\/$/, "") ?? mount;
  for (const url of [...statics, ...sendFile].map((one) => one.url)) {
    if (url === undefined) continue;
    if (taken.has(url)) throw refused(`${quoted(url)} is given to two folders: one URL leads to one`);
    taken.add(url);
    const covered = [mount, socketUrl].find((path) => path !== "" && `${path}/`.startsWith(url));
    if (covered !== undefined) {
      throw refused(
        `${quoted(url)} is given to a folder, and what is below it would include the application at ${quoted(covered)}; use another URL`,
      );
    }
  }
  const secrets = [
    ["--passwords", passwords],
    ["--key", tls?.key],
    ["--standalone", standalone?.folder],
  ] as const;
  const folders = [publicFolder, ...statics.map(({ folder }) => folder)];
  for (const [what, path] of secrets) {
    const shown = folders.find(
      (folder) => folder !== undefined && path?.startsWith(`${folder.replace(/\/$/, "")}/`),
    );
    if (shown === undefined && (path === undefined || !folders.includes(path))) continue;
    throw refused(
      `${what} ${quoted(path ?? "")}: the web server would send it to everybody, with the files of ${quoted(shown ?? path ?? "")}; put it elsewhere`,
    );
  }
}

/** What no timer of any server overflows at. */
const LONGEST_SECONDS = 24 * 86_400;
/** With a slash at both ends, and a name between. */
const FOLDER_URL = /^\/(?:[^/\s?#]+\/)+$/;
/** Servers keep the length of a location in one byte. */
const LONGEST_URL_BYTES = 200;

function checkUrl(what: string, url: string, shape: RegExp, example: string): void {
  const isPlain = shape.test(url) && !url.split("/").some((name) => name === "." || name === "..");
  if (!isPlain) {
    throw refused(
      `${what} ${quoted(url)}: a URL path ${example}, with neither spaces, ?, # nor the names "." and ".."`,
    );
  }
  if (new TextEncoder().encode(url).length > LONGEST_URL_BYTES) {
    throw refused(`${what} ${quoted(url)}: a URL path of at most ${LONGEST_URL_BYTES} bytes`);
  }
}

function checkApplication({ application }: Site): void {
  if (application.kind === "spawned") {
    if (!isWhole(application.processes, 1, 10_000)) {
      throw refused(`--processes ${application.processes}: a number from 1 to 10000`);
    }
    for (const name of Object.keys(application.environment)) {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
        throw refused(
          `--env ${quoted(name)}: the name of a variable is of letters, digits and _, and does not begin with a digit`,
        );
      }
    }
    return;
  }
  if (application.addresses.length === 0) {
    throw refused(
      "--bind: there is no address; give that of the application, such as unix:/run/app/app.sock",
    );
  }
  for (const address of application.addresses) {
    if (address.kind === "tcp") checkTcp("--bind", address);
  }
}

function checkTcp(what: string, address: { readonly host: string; readonly port: number }): void {
  if ((address.host === "" || isHost(address.host)) && isWhole(address.port, 1, 65_535)) return;
  throw refused(
    `${what} ${quoted(hostAndPort(address))}: a host name or an IP address, and a port from 1 to 65535`,
  );
}

function isHost(text: string): boolean {
  return /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})$/.test(text) || /^(?=.*:)[0-9a-fA-F:.]+$/.test(text);
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}

/** Everything in a site that is written into a configuration and is not checked by its shape. */
function textsOf(site: Site): [what: string, text: string][] {
  const { application, standalone, tls, webSocket } = site;
  const texts: [string, string | undefined][] = [
    ["--mount", site.mount],
    ["--root", site.publicFolder],
    ["--passwords", site.passwords],
    ["--certificate", tls?.certificate],
    ["--key", tls?.key],
    ["--client-ca", tls?.clientCa],
    ["--standalone", standalone?.folder],
    ["--standalone: user", standalone?.user],
    ["--standalone: group", standalone?.group],
    ["--standalone: modules", standalone?.modules],
    ["--websocket", webSocket?.url],
    ["--ws-http", webSocket?.address?.kind === "unix" ? webSocket.address.path : undefined],
    ...site.statics.flatMap(({ url, folder }): [string, string][] => [
      ["--static", url],
      ["--static", folder],
    ]),
    ...site.sendFile.flatMap(({ url, folder }): [string, string | undefined][] => [
      ["--send-file", url],
      ["--send-file", folder],
    ]),
  ];
  if (application.kind === "spawned") {
    texts.push(["--spawn", application.program], ["--socket", application.socket]);
    for (const [name, value] of Object.entries(application.environment)) texts.push([name, value]);
  } else {
    for (const address of application.addresses) {
      if (address.kind === "unix") texts.push(["--bind", address.path]);
    }
  }
  return texts.filter((pair): pair is [string, string] => pair[1] !== undefined);
}

/** The first line of every generated configuration, after the server's mark of a comment. */
export function madeBy(server: WebServerName): string {
  return `Made by: postern config ${server}`;
}

/** The addresses of an application that runs by itself, none of which is abstract. @throws {SettingError} */
export function reachable(
  server: WebServerName,
  addresses: readonly Address[],
): (Extract<Address, { kind: "unix" }> | Extract<Address, { kind: "tcp" }>)[] {
  return addresses.map((address) => {
    if (address.kind === "unix" || address.kind === "tcp") return address;
    throw refused(
      `--bind: ${server} is given a unix socket with a path, or host:port, and not ${quoted(address.kind)}`,
    );
  });
}

/** `127.0.0.1:9000`, `[::1]:9000`. */
export function hostAndPort(address: { readonly host: string; readonly port: number }): string {
  return address.host.includes(":")
    ? `[${address.host}]:${address.port}`
    : `${address.host || "127.0.0.1"}:${address.port}`;
}

export function refused(message: string): SettingError {
  return new SettingError("ERR_POSTERN_BAD_SETTING", message);
}

/** A text of the user's in a message. */
export function quoted(text: string): string {
  return clip(escapeControls(JSON.stringify(text.slice(0, 200))), 100);
}
