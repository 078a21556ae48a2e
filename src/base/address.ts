/**
 * Addresses as people write them: where a server binds and where a client connects.
 *
 * | text                        | meaning                                             |
 * | --------------------------- | --------------------------------------------------- |
 * | `unix:/run/app.sock`, `/run/app.sock` | a unix socket; `unix:app.sock` is relative |
 * | `unix:@name`                | a Linux abstract socket, which has no file          |
 * | `127.0.0.1:9000`, `[::1]:9000`, `host:9000` | TCP                                 |
 * | `:9000`                     | TCP on the host that the caller takes as its default |
 * | `fd:3`                      | a socket inherited under that descriptor            |
 * | `systemd`, `systemd:NAME`   | the sockets systemd passed (LISTEN_FDS)             |
 */
import { SettingError } from "./errors.ts";

export type Address =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "abstract"; readonly name: string }
  /** `host` is empty for `:port`, and never in brackets. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "fd"; readonly fd: number }
  | { readonly kind: "systemd"; readonly name: string | undefined };

/** Bytes that fit into `sun_path`, the terminating NUL not counted: 107 on Linux, 103 elsewhere. */
export const MAX_UNIX_PATH_BYTES: number = process.platform === "linux" ? 107 : 103;

const FORMS = "unix:/path, /path, unix:@name, host:port, :port, [::1]:port, fd:N, systemd or systemd:NAME";

/**
 * Reads an address.
 * @param setting what to call it in an error, such as `--bind`
 * @throws {SettingError} `ERR_POSTERN_ADDRESS`
 */
export function parseAddress(text: string, setting = "address"): Address {
  if (text.startsWith("unix:@")) return abstractAddress(text, setting);
  if (text.startsWith("unix:")) return unixAddress(text.slice(5), text, setting);
  if (text.startsWith("/") || text.startsWith("./") || text.startsWith("../")) {
    return unixAddress(text, text, setting);
  }
  if (text === "systemd") return { kind: "systemd", name: undefined };
  if (text.startsWith("systemd:") && text.length > 8) return { kind: "systemd", name: text.slice(8) };
  const fd = /^fd:(\d{1,5})$/.exec(text);
  if (fd) return { kind: "fd", fd: Number(fd[1]) };
  const tcp = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]/]*)):(\d{1,5})$/.exec(text);
  if (tcp) {
    const port = Number(tcp[3]);
    if (port > 65535) throw wrong(setting, text, "a port is at most 65535");
    return { kind: "tcp", host: tcp[1] ?? tcp[2] ?? "", port };
  }
  if (/^\d+$/.test(text)) throw wrong(setting, text, `for TCP write 127.0.0.1:${text} or :${text}`);
  if (/\.sock(et)?$/.test(text)) throw wrong(setting, text, `for a unix socket write unix:${text}`);
  throw wrong(setting, text, `write one of: ${FORMS}`);
}

/** The address as {@link parseAddress} reads it. */
export function printAddress(address: Address): string {
  switch (address.kind) {
    case "unix":
      return `unix:${address.path}`;
    case "abstract":
      return `unix:@${address.name}`;
    case "tcp":
      return address.host.includes(":")
        ? `[${address.host}]:${address.port}`
        : `${address.host}:${address.port}`;
    case "fd":
      return `fd:${address.fd}`;
    case "systemd":
      return address.name === undefined ? "systemd" : `systemd:${address.name}`;
  }
}

/** Whether only this machine can reach an IP address. A name says nothing: look it up, and ask for each address. */
export function isLoopback(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/i.test(address);
}

function unixAddress(path: string, text: string, setting: string): Address {
  if (path === "" || path.endsWith("/")) throw wrong(setting, text, "the path of the socket file is missing");
  if (path.includes("\0")) throw wrong(setting, text, "a path cannot hold a NUL character");
  return { kind: "unix", path };
}

function abstractAddress(text: string, setting: string): Address {
  if (process.platform !== "linux") throw wrong(setting, text, "abstract sockets exist on Linux only");
  const name = text.slice(6);
  if (name === "") throw wrong(setting, text, "the name of the abstract socket is missing");
  if (Buffer.byteLength(name) > MAX_UNIX_PATH_BYTES) {
    throw wrong(setting, text, `the name is longer than ${MAX_UNIX_PATH_BYTES} bytes`);
  }
  return { kind: "abstract", name };
}

function wrong(setting: string, text: string, remedy: string): SettingError {
  return new SettingError("ERR_POSTERN_ADDRESS", `${setting} ${JSON.stringify(text)}: ${remedy}`);
}
