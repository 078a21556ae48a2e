/**
 * The environment of a worker. In this order, later ones win:
 *
 * 1. What the manager was started with, minus what is about the manager itself: sockets and readiness of systemd, the
 *    channel of a Node parent, POSTERN_*, and the parameters of a CGI request. With `clearEnv` only what a program
 *    needs to find others and to print in the right language: {@link KEPT}. (php-fpm keeps nothing; Node needs PATH,
 *    and without NODE_ENV a production server would silently become a development one.)
 * 2. With `user`: HOME, USER, LOGNAME and SHELL of that user, as a login has them; what was about another user is gone.
 * 3. The files of `envFile`, in order.
 * 4. `env`. A value `$NAME` is that variable of the manager, also with `clearEnv`, as in php-fpm's `env[X] = $X`; when
 *    the manager has no such variable the worker has none either. `$$NAME` is the text `$NAME`. Other dollars are text.
 *
 * Reads the files anew each time, for a reload to see what changed. Touches nothing else.
 */

import { SettingError } from "../base/errors.ts";
import type { PoolSettings } from "../config/types.ts";
import { findAccount } from "../server/accounts.ts";
import { isPlainCgi } from "../server/inherited.ts";
import { isVariableName, readEnvFile } from "./env-file.ts";
import { STANDARD_PATH } from "./programs.ts";

/** What of a pool decides about its environment. */
export type EnvironmentSettings = Pick<PoolSettings, "clearEnv" | "env" | "envFile" | "user">;

/** What `clearEnv` leaves. */
const KEPT = /^(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TZDIR|NODE_ENV)$/;

/** Meant for the manager alone. A worker that took them for its own would answer systemd, or look for sockets. */
const OF_THE_MANAGER =
  /^(?:LISTEN_(?:PID|FDS|FDNAMES|PIDFDID)|NOTIFY_SOCKET|WATCHDOG_(?:PID|USEC)|MAINPID|MANAGERPID|SYSTEMD_EXEC_PID|JOURNAL_STREAM|NODE_CHANNEL_(?:FD|SERIALIZATION_MODE)|NODE_UNIQUE_ID|POSTERN_.*)$/;

/** RFC 3875 §4.1, and what web servers add to it. */
const OF_A_REQUEST =
  /^(?:HTTP_.*|REDIRECT_.*|SSL_.*|REMOTE_.*|REQUEST_.*|SCRIPT_.*|SERVER_.*|CONTENT_(?:LENGTH|TYPE)|PATH_(?:INFO|TRANSLATED)|CONTEXT_(?:PREFIX|DOCUMENT_ROOT)|DOCUMENT_(?:ROOT|URI)|AUTH_TYPE|GATEWAY_INTERFACE|HTTPS|ORIG_.*|QUERY_STRING|UNIQUE_ID)$/;

/** About the account that started the manager: wrong, and often unreadable, for another user. */
const OF_THE_OLD_USER =
  /^(?:HOME|USER|LOGNAME|SHELL|MAIL|DBUS_SESSION_BUS_ADDRESS|XDG_(?:RUNTIME_DIR|(?:CACHE|CONFIG|DATA|STATE)_HOME))$/;

/**
 * The whole environment of a pool's workers.
 * @param base the manager's own
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`: a file, a name or a value of `env`, or the user
 */
export function workerEnvironment(
  pool: EnvironmentSettings,
  base: NodeJS.ProcessEnv,
): Record<string, string> {
  const variables = new Map<string, string>();
  // HTTP_PROXY and SSL_CERT_FILE are also an operator's own: only beside a CGI request are they somebody else's.
  const isCgi = isPlainCgi(base);
  for (const [name, value] of Object.entries(base)) {
    if (value === undefined || OF_THE_MANAGER.test(name) || (isCgi && OF_A_REQUEST.test(name))) continue;
    if (!pool.clearEnv || KEPT.test(name)) variables.set(name, value);
  }
  // Started by a web server, there may be none, and then not even `#!/usr/bin/env node` works.
  if (!variables.get("PATH")) variables.set("PATH", STANDARD_PATH);
  if (pool.user !== undefined) become(pool.user, variables);
  for (const file of pool.envFile) {
    for (const [name, value] of Object.entries(readEnvFile(file))) variables.set(name, value);
  }
  for (const [name, value] of Object.entries(pool.env)) {
    checkVariable(name, value);
    const given = resolve(value, base);
    if (given === undefined) variables.delete(name);
    else variables.set(name, given);
  }
  return Object.fromEntries(variables);
}

function become(user: string | number, variables: Map<string, string>): void {
  for (const name of [...variables.keys()]) if (OF_THE_OLD_USER.test(name)) variables.delete(name);
  const { name, home, shell } = findAccount(user);
  variables.set("HOME", home ?? "/");
  if (name !== undefined) variables.set("USER", name).set("LOGNAME", name);
  // "No login" is not a shell to run commands with, which is what programs use SHELL for.
  if (shell !== undefined && !/\/(?:nologin|false)$/.test(shell)) variables.set("SHELL", shell);
}

/** Undefined when it refers to a variable that the manager does not have. */
function resolve(value: string, base: NodeJS.ProcessEnv): string | undefined {
  const [, dollar, name] = /^\$(\$?)([A-Za-z_][A-Za-z0-9_]*)$/.exec(value) ?? [];
  if (name === undefined) return value;
  return dollar === "$" ? `$${name}` : base[name];
}

function checkVariable(name: string, value: string): void {
  const problem = !isVariableName(name)
    ? "is not a name of a variable; use letters, digits and _, not beginning with a digit"
    : value.includes("\0")
      ? "has a value with a NUL character, which no variable can have; remove it"
      : undefined;
  if (problem === undefined) return;
  throw new SettingError("ERR_POSTERN_BAD_SETTING", `setting env: ${JSON.stringify(name)} ${problem}`);
}
