/** Where things are: relative paths made absolute, the run folder, the name a folder suggests. Nothing is resolved
 * through symlinks: `current -> releases/42` must be followed anew at every start. */
import { tmpdir } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import type { Address } from "../base/address.ts";

/** `path` seen from `folder`, symlinks untouched. */
export function absolute(path: string, folder: string): string {
  return isAbsolute(path) ? path : resolve(folder, path);
}

/** A unix address with an absolute path; others as they are. */
export function absoluteAddress(address: Address, folder: string): Address {
  return address.kind === "unix" ? { kind: "unix", path: absolute(address.path, folder) } : address;
}

/**
 * The folder of the control sockets: `$POSTERN_RUN_DIR`, else `/run/postern` for root, else
 * `$XDG_RUNTIME_DIR/postern`, else `postern-<uid>` among the temporary files.
 */
export function runFolder(env: Readonly<NodeJS.ProcessEnv>, uid: number): string {
  if (env["POSTERN_RUN_DIR"]) return resolve(env["POSTERN_RUN_DIR"]);
  if (uid === 0) return "/run/postern";
  if (env["XDG_RUNTIME_DIR"]) return join(env["XDG_RUNTIME_DIR"], "postern");
  return join(env["TMPDIR"] || tmpdir(), `postern-${uid}`);
}

/** Folders that say nothing about what is in them. */
const NAMELESS = new Set(["bin", "build", "current", "dist", "lib", "out", "src"]);

/** The name a folder suggests: its own, or that of the first one above it that says something. */
export function nameOfFolder(folder: string): string {
  for (let at = folder; at !== dirname(at); at = dirname(at)) {
    const name = basename(at)
      .replace(/[^\w.-]+/g, "-")
      .replace(/^[^A-Za-z0-9]+/, "")
      .slice(0, 40);
    if (name !== "" && !NAMELESS.has(name)) return name;
  }
  return "postern";
}

/** Whether this can be who may connect over TCP: an IP address, a range, or `any`. */
export function isAllowedClient(text: string): boolean {
  return text === "any" || isRange(text);
}

/** Whether this can be a proxy in front of the web server: an IP address, a range, or a word for ranges. */
export function isTrustedHop(text: string): boolean {
  return ["loopback", "private", "unix"].includes(text) || isRange(text);
}

function isRange(text: string): boolean {
  const [, host = "", bits] = /^([\da-f.:]+)(?:\/(\d{1,3}))?$/i.exec(text) ?? [];
  const isFour = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(host);
  const isSix = host.includes(":") && URL.canParse(`http://[${host}]/`);
  return (isFour || isSix) && Number(bits ?? 0) <= (isFour ? 32 : 128);
}
