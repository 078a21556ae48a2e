/** Whether there is room where an application, its socket, its logs and its temporary files are. */
import { statfsSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import type { Check, Facts, Finding } from "./model.ts";

/** Less than this is as good as nothing, bytes. */
const LEAST_BYTES = 64 * 1024;

/** Room on one file system. */
export interface Room {
  readonly bytes: number;
  /** Files that can still be made; undefined where the system does not count them. */
  readonly files: number | undefined;
}

export const diskCheck: Check = {
  id: "program.disk",
  question: "Is there room on the disks of the application, its socket, its logs and its temporary files?",
  examine: async (facts) => {
    const full = new Map<number, string>();
    let looked = 0;
    for (const folder of foldersOf(facts)) {
      const device = statSync(folder, { throwIfNoEntry: false })?.dev;
      if (device === undefined || full.has(device)) continue;
      looked++;
      const trouble = troubleOf(roomOf(folder));
      if (trouble !== undefined) full.set(device, `${folder}: ${trouble}`);
    }
    if (full.size === 0) return looked === 0 ? [] : [fine()];
    return [...full.values()].map(finding);
  },
};

/** What is wrong with the room there is; nothing when it is enough. */
export function troubleOf({ bytes, files }: Room): string | undefined {
  if (bytes < LEAST_BYTES) return `${bytes} bytes are free`;
  return files === 0 ? "no more files can be made there (no inode is free)" : undefined;
}

function fine(): Finding {
  return {
    id: "program.disk",
    verdict: "good",
    says: "there is room on every disk",
    evidence: [],
    remedy: [],
  };
}

function finding(trouble: string): Finding {
  const folder = trouble.slice(0, trouble.lastIndexOf(": "));
  return {
    id: "program.disk-full",
    verdict: "bad",
    says: `the disk of ${folder} is full: sockets, logs and uploads cannot be written`,
    evidence: [trouble],
    remedy: [{ advice: `make room there: du -x ${folder} | sort -n | tail shows what takes it` }],
  };
}

function foldersOf({ application, webServers, connect }: Facts): Set<string> {
  const addresses = [
    connect,
    ...(application?.listens ?? []),
    ...webServers.flatMap(({ backends }) => backends.map(({ address }) => address)),
  ];
  if (application === undefined && addresses.length === 0) return new Set();
  const sockets = addresses.flatMap((address) => (address?.kind === "unix" ? [dirname(address.path)] : []));
  const logs = webServers.flatMap(({ errorLogs }) =>
    errorLogs.filter((log) => log.startsWith("/")).map(dirname),
  );
  return new Set([...(application === undefined ? [] : [application.folder]), ...sockets, ...logs, tmpdir()]);
}

function roomOf(folder: string): Room {
  const { bavail, bsize, ffree, files } = statfsSync(folder);
  return { bytes: bavail * bsize, files: files > 0 ? ffree : undefined };
}
