/**
 * The folder that HAProxy may live in (`chroot`), as Debian's does: the paths of sockets begin there, and a socket
 * outside of it is found by nobody.
 */
import type { Address } from "../base/address.ts";
import { finding } from "./balancer-findings.ts";
import type { HaproxySection } from "./haproxy-parse.ts";
import type { Expected, Finding } from "./model.ts";

/** Of Debian's haproxy.cfg. */
export const DEBIAN_ROOT = "/var/lib/haproxy";

/** The path of a socket as HAProxy of Debian has to be told it. */
export function pathInside(path: string): string {
  return isInside(path, DEBIAN_ROOT) ? path.slice(DEBIAN_ROOT.length) : path;
}

/** Whether Debian's HAProxy finds no such socket. */
export function isOutside(address: Address): boolean {
  return address.kind === "unix" && !isInside(address.path, DEBIAN_ROOT);
}

function isInside(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`);
}

/**
 * What the paths of sockets in a configuration begin with: "" without a `chroot`. A file without `global` is a part of
 * one that has it; then Debian's is taken, if the application listens in there.
 */
export function rootOf(sections: readonly HaproxySection[], { addresses }: Expected): string {
  const globals = sections.filter(({ kind }) => kind === "global");
  if (globals.length === 0) {
    const sockets = (addresses ?? []).flatMap((one) => (one.kind === "unix" ? [one.path] : []));
    return sockets.length > 0 && sockets.every((path) => isInside(path, DEBIAN_ROOT)) ? DEBIAN_ROOT : "";
  }
  const said = globals.flatMap(({ lines }) => lines.filter(({ words }) => words[0] === "chroot"));
  return (said.at(-1)?.words[1] ?? "").replace(/\/+$/, "");
}

/** A socket that is named as if there were no `chroot`. Undefined when it is where HAProxy looks for it. */
export function outsideFinding(
  path: string,
  root: string,
  line: number,
  { addresses }: Expected,
): Finding | undefined {
  if (root === "" || !path.startsWith("/")) return undefined;
  const listens = (where: string): boolean =>
    addresses?.some((one) => one.kind === "unix" && one.path === where) === true;
  if (listens(root + path) || (addresses !== undefined && !listens(path))) return undefined;
  return addresses === undefined
    ? finding(
        "socket-in-chroot",
        "warning",
        line,
        `there is a chroot: HAProxy looks for this socket at ${root}${path}, and visitors get 503 when the application listens at ${path}`,
        `postern serve … --bind unix:${root}${path}, and the same --bind here; or --bind 127.0.0.1:9000`,
      )
    : finding(
        "socket-in-chroot",
        "error",
        line,
        `there is a chroot: HAProxy looks for this socket at ${root}${path}, and the application listens at ${path}; visitors get 503`,
        `postern serve … --bind unix:${root}${path}; or --bind 127.0.0.1:9000; or take chroot out of global`,
      );
}
