/** The settings of the manager itself. */
import { LogLevel } from "../base/log.ts";
import type { ManagerInput } from "./define.ts";
import { choice, count, type Kind, path, pools, text } from "./kinds.ts";
import type { Setting } from "./setting.ts";

/** What a manager or a pool can be called: it becomes part of file names, flags and log lines. */
export const nameKind: Kind = text(
  "name",
  "a name: at most 40 letters, digits, _, - and ., beginning with a letter or digit",
  /^[A-Za-z0-9][\w.-]{0,39}$/,
);

export const MANAGER_TABLE: Readonly<Record<keyof ManagerInput, Setting>> = {
  name: {
    kind: nameKind,
    computed: "the name of the folder of the configuration file, or of the application",
    doc: "What this manager is called: in its log, and in commands such as `postern status NAME`. A folder called bin, build, current, dist, lib, out or src gives the name of the folder above it.",
  },
  controlSocket: {
    kind: path,
    computed: "`NAME.sock` in the run folder",
    doc: "The unix socket for `postern status`, `reload` and so on. The run folder is `$POSTERN_RUN_DIR`, else `/run/postern` for root, else `$XDG_RUNTIME_DIR/postern`, else `postern-UID` among the temporary files.",
  },
  pidFile: {
    kind: path,
    canBeOff: true,
    fpm: "pid",
    doc: "A file that holds the manager's process id while it runs.",
  },
  logFile: {
    kind: path,
    canBeOff: true,
    computed: "standard error",
    fpm: "error_log",
    doc: "Where the log of the manager and the output of its workers go. USR1 opens it anew after rotation.",
  },
  logLevel: {
    kind: choice(...Object.keys(LogLevel)),
    standard: "info",
    fpm: "log_level",
    doc: "The least severe message that is logged.",
  },
  processMax: {
    kind: count(0, 100_000),
    standard: 0,
    fpm: "process.max",
    doc: "At most this many workers in all pools together; 0 is no limit.",
  },
  pools: {
    kind: pools,
    isFileOnly: true,
    computed: "one pool, called as the manager",
    doc: "Pools by name. Settings of a pool that stand outside of `pools` are the defaults of every pool.",
  },
};
