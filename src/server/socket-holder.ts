/** Which process holds an address that is taken, as far as Linux's /proc tells: for error messages only. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { isIPv4 } from "node:net";

/** ` (pid 123: node app.js)` for who listens on a unix socket: a path, or `@name`; else "". */
export function holderOfUnixSocket(path: string): string {
  return described(inodeOfUnixSocket(path));
}

/** The same for who listens on a TCP port. */
export function holderOfPort(host: string, port: number): string {
  return described(inodeOfPort(host, port));
}

/** Every process that has this listening socket open, as far as this one may see. */
export function processesListening(
  on: { readonly path: string } | { readonly host: string; readonly port: number },
): number[] {
  const inode = "path" in on ? inodeOfUnixSocket(on.path) : inodeOfPort(on.host, on.port);
  return inode === undefined ? [] : [...holdersOf(inode)];
}

function inodeOfUnixSocket(path: string): string | undefined {
  const escaped = path.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  // Flags 00010000: the listening one, not a connection it has accepted. The path is the one it was bound under.
  const line = new RegExp(
    `^\\S+ \\S+ \\S+ 00010000 \\S+ \\S+ +(\\d+) ${escaped}(?:\\.[0-9a-f]{4})?$`,
    "m",
  ).exec(contentOf("/proc/net/unix"));
  return line?.[1];
}

function inodeOfPort(host: string, port: number): string | undefined {
  // sl, local address:port, remote address:port, state (0A is LISTEN), queues, timer, retransmits, uid, timeout, inode
  const row = /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ 0A \S+ \S+ \S+ +\d+ +\d+ (\d+)/gm;
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  const found = ["/proc/net/tcp", "/proc/net/tcp6"]
    .flatMap((file) => [...contentOf(file).matchAll(row)])
    .filter(([, , at]) => at === wanted);
  // Of several on the port, the one in the way has our address or all of them.
  const ours = found.filter(([, address = ""]) => /^0+$/.test(address) || address === hexOf(host));
  const [one] = found.length === 1 ? found : ours;
  return one?.[3];
}

/** An IPv4 address as /proc has it on little-endian machines. */
function hexOf(host: string): string {
  if (!isIPv4(host)) return "";
  return Buffer.from(host.split(".").map(Number).reverse()).toString("hex").toUpperCase();
}

function described(inode: string | undefined): string {
  if (inode === undefined) return "";
  for (const pid of holdersOf(inode)) {
    const command = contentOf(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
    return ` (pid ${pid}: ${command.slice(0, 200)})`;
  }
  return "";
}

function* holdersOf(inode: string): Iterable<number> {
  let pids: string[];
  try {
    pids = readdirSync("/proc");
  } catch {
    return; // no /proc here: error messages do without it
  }
  for (const pid of pids) {
    if (/^\d+$/.test(pid) && holds(pid, `socket:[${inode}]`)) yield Number(pid);
  }
}

function holds(pid: string, target: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`) === target;
      } catch {
        return false; // closed meanwhile
      }
    });
  } catch {
    return false; // another user's process, or gone
  }
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // no such file here, or not ours to read
  }
}
