/** The settings of a pool as options of `Server`. */
import type { PoolSettings } from "../config/types.ts";

/** Options of `Server`, as JSON carries them: absent means default. */
export function serverOptions(pool: PoolSettings): Record<string, unknown> {
  return {
    ...frontOptions(pool),
    base: pool.base,
    scriptName: pool.scriptName,
    stripBase: pool.stripBase,
    upgrade: pool.upgrade,
    sendFile: pool.sendFile,
    development: pool.development,
    allowedClients: pool.allowedClients,
    backlog: pool.listenBacklog,
  };
}

/** Those that also mean something behind the HTTP gateway. */
export function frontOptions(pool: PoolSettings): Record<string, unknown> {
  return {
    maxConcurrency: pool.maxConcurrency,
    queueTimeoutMs: pool.queueTimeoutMs,
    requestTimeoutMs: pool.requestTerminateTimeoutMs,
    slowRequestMs: pool.requestSlowlogTimeoutMs,
    drainTimeoutMs: pool.drainTimeoutMs,
    trustProxy: pool.trustProxy,
    pingPath: pool.pingPath,
    pingResponse: pool.pingResponse,
    accessLog: pool.accessLog,
    accessLogFormat: pool.accessLogFormat,
  };
}
