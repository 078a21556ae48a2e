/** Folders that a process sees differently than we do: systemd's PrivateTmp and ProtectHome, containers. */
import { contentOf, linkOf } from "./processes.ts";

interface Mount {
  readonly point: string;
  readonly device: string;
  /** The folder of the device that is mounted. */
  readonly root: string;
}

/** @param pid of a process @returns folders, the outer ones first; empty when it shares our view */
export function hiddenFrom(pid: number): string[] {
  const theirs = linkOf(`/proc/${pid}/ns/mnt`);
  if (theirs === undefined || theirs === linkOf("/proc/self/ns/mnt")) return [];
  return differing(contentOf("/proc/self/mountinfo"), contentOf(`/proc/${pid}/mountinfo`));
}

/** Pure: two texts of mountinfo → where they show something else. */
export function differing(ours: string, theirs: string): string[] {
  const mine = mountsOf(ours);
  const other = mountsOf(theirs);
  const points = new Set([...other, ...mine].map(({ point }) => point));
  const found = [...points].filter((point) => {
    if (point === "/" || /^\/(?:proc|sys|dev)(?:\/|$)/.test(point)) return false;
    const here = shownAt(point, mine);
    const there = shownAt(point, other);
    return here !== there;
  });
  return found.filter((one) => !found.some((outer) => one.startsWith(`${outer}/`))).sort();
}

/** What is to be seen at a path: a device and a folder of it. */
function shownAt(path: string, mounts: readonly Mount[]): string {
  const covering = mounts
    .filter(({ point }) => path === point || path.startsWith(point === "/" ? "/" : `${point}/`))
    .reduce<Mount | undefined>(
      (best, one) => (best === undefined || one.point.length >= best.point.length ? one : best),
      undefined,
    );
  if (covering === undefined) return "";
  const rest = covering.point === "/" ? path : path.slice(covering.point.length);
  return `${covering.device} ${(covering.root === "/" ? "" : covering.root) + rest || "/"}`;
}

function mountsOf(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const [, , device, root, point] = line.split(" ");
    if (device === undefined || root === undefined || point === undefined) return [];
    return [{ device, root: unescaped(root), point: unescaped(point) }];
  });
}

/** `\040` is a space. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
