/**
 * No orphans, even when the manager is killed and cannot see to it: a small shell process that holds one end of a pipe.
 * When the pipe closes without the manager having taken leave, it ends every process group it was told of: programs in
 * other languages by TERM at once, everything that is still there after a grace period by KILL. Workers of ours drain
 * by themselves as soon as their channel closes; the guardian is for one whose event loop stands still.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Logger } from "../base/log.ts";

// One line per process: "+ PID" ours, "t PID" another's, "- PID" gone. What it is sent to do is fixed here.
const SCRIPT = `
trap '' INT TERM HUP QUIT USR1 USR2
ours=' '
others=' '
while read -r what pid; do
  case $what in
    +) ours="$ours$pid " ;;
    t) others="$others$pid " ;;
    -) case $ours in *" $pid "*) ours="\${ours%%" $pid "*} \${ours#*" $pid "}" ;; esac
       case $others in *" $pid "*) others="\${others%%" $pid "*} \${others#*" $pid "}" ;; esac ;;
  esac
done
for pid in $others; do kill -TERM -"$pid" 2>/dev/null; done
left=$1
while [ "$left" -gt 0 ]; do
  alive=
  for pid in $ours $others; do kill -0 -"$pid" 2>/dev/null && alive=1; done
  [ -z "$alive" ] && exit 0
  sleep 1
  left=$((left - 1))
done
for pid in $ours $others; do kill -KILL -"$pid" 2>/dev/null; done
`;

export class Guardian {
  readonly #logger: Logger;
  readonly #graceSeconds: number;
  readonly #guarded = new Map<number, "+" | "t">();
  #child: ChildProcess | undefined = undefined;
  #isClosed = false;

  /** @param graceMs how long workers may take to drain once the manager is gone */
  constructor(graceMs: number, logger: Logger) {
    this.#graceSeconds = Math.ceil(graceMs / 1000);
    this.#logger = logger;
    this.#start();
  }

  /** @param isOurs whether it notices by itself that the manager is gone */
  add(pid: number, isOurs: boolean): void {
    const what = isOurs ? "+" : "t";
    this.#guarded.set(pid, what);
    this.#tell(`${what} ${pid}\n`);
  }

  remove(pid: number): void {
    if (this.#guarded.delete(pid)) this.#tell(`- ${pid}\n`);
  }

  /** The manager ends in good order: with nobody left to guard, the guardian ends at once. */
  close(): void {
    this.#isClosed = true;
    this.#child?.stdin?.end();
    this.#child?.unref();
  }

  #start(): void {
    const child = spawn("/bin/sh", ["-c", SCRIPT, "postern-guardian", String(this.#graceSeconds)], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true, // not in the group that a terminal interrupts
      cwd: "/",
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
    });
    this.#child = child;
    child.stdin.on("error", () => {}); // it is gone: "exit" says so
    child.on("error", (error) =>
      this.#logger.error({ error }, "the guardian cannot be started: /bin/sh is needed"),
    );
    child.on("exit", () => {
      if (this.#isClosed || this.#child !== child) return;
      this.#logger.warn({}, "the guardian was killed; starting another");
      this.#start();
    });
    child.unref();
    for (const [pid, what] of this.#guarded) this.#tell(`${what} ${pid}\n`);
  }

  #tell(line: string): void {
    this.#child?.stdin?.write(line);
  }
}
