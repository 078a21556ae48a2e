/** What a pool is given by the manager, and how its starts come out. */
import { SettingError } from "../base/errors.ts";
import type { Logger, LogLevelName } from "../base/log.ts";
import type { PoolSettings } from "../config/types.ts";
import type { HeldSocket } from "../server/held-socket.ts";
import type { Guardian } from "./guardian.ts";
import type { PoolPolicy } from "./pool.ts";
import type { LaunchTools } from "./preamble.ts";
import type { Clock } from "./worker-sink.ts";

/** The sockets of a pool. */
export interface PoolSockets {
  readonly fastcgi: readonly HeldSocket[];
  readonly http: HeldSocket | undefined;
  readonly wsHttp: HeldSocket | undefined;
}

/** What a pool needs of the manager. */
export interface PoolHost {
  readonly logger: Logger;
  readonly logLevel: LogLevelName;
  /** Writes a finished line of a worker's output. */
  readonly write: (line: string) => void;
  readonly guardian: Guardian;
  readonly env: NodeJS.ProcessEnv;
  readonly tools: LaunchTools;
  readonly now: Clock;
  /** A number that no other worker of this manager has. */
  nextWorkerId(): number;
  /** Whether one more worker may be started, by `processMax`. */
  mayStart(): boolean;
  /** The status page of the pool of that name. */
  statusPage(pool: string, query: string): { readonly text: string; readonly contentType: string };
  /** The last worker of a stopping pool is gone. */
  onStopped(pool: string): void;
}

/** How the first generation, or a reload, came out. */
export type StartOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly fault: Fault; readonly message: string };

/** Whose fault it is that something did not start: what was configured, the application, or neither. */
export type Fault = "setting" | "app" | "boot";

export function faultOf(error: unknown): Fault {
  return error instanceof SettingError ? "setting" : "boot";
}

/** The part of the settings that the policy looks at. */
export function policyOf(settings: PoolSettings): PoolPolicy {
  const {
    pm,
    maxChildren,
    startServers,
    minSpareServers,
    maxSpareServers,
    maxSpawnRate,
    processIdleTimeoutMs,
  } = settings;
  return {
    pm,
    maxChildren,
    startServers,
    minSpareServers,
    maxSpareServers,
    maxSpawnRate,
    processIdleTimeoutMs,
  };
}
