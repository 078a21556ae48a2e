/**
 * How a connection that nginx keeps is ended without losing a request that is on its way. FastCGI has no word for it,
 * and when nginx finds a kept connection closed it repeats a GET, not a POST, and neither with `fastcgi_next_upstream
 * off`. But nginx keeps a connection only as long as nothing is to be read from it.
 */
import type { AppConnection } from "../protocol/app-connection.ts";
import type { Params } from "../protocol/params.ts";
import type { RecordWriter } from "../protocol/record-writer.ts";
import { MANAGEMENT_ID, RecordType } from "../protocol/records.ts";
import type { Output } from "./output.ts";

/** Of every request of nginx. */
const NGINX_ID = 1;

export function isFromNginx(params: Params): boolean {
  return params.get("SERVER_SOFTWARE")?.startsWith("nginx") === true;
}

/** Says behind the last answer, in the same write, that the connection will close: nginx does not keep it then. */
export function writeGoodbye(writer: RecordWriter, params: Params): void {
  if (!isFromNginx(params)) return;
  writer.endStream(RecordType.GetValuesResult, MANAGEMENT_ID); // empty: what else an application may say for no request
}

/** A connection that carries no request. */
export interface Silent {
  readonly app: AppConnection;
  readonly output: Output;
  /** Whether it is nginx that keeps it. */
  readonly isNginxs: boolean;
  /** `app.questions` when it was asked to leave, or -1. Changed here only. */
  askedAt: number;
  /** When its silence began. */
  lastReceive: number;
  readonly server: { readonly exactNow: number };
  destroy(reason: string): void;
}

/**
 * Asks nginx to close the connection; who has crossed it with a request gets an answer. The end of an STDERR is nothing
 * to nginx where it belongs to a request, and for a connection in its cache it is something to be read.
 */
export function askToLeave(silent: Silent): boolean {
  const { app, output } = silent;
  if (!silent.isNginxs || silent.askedAt === app.questions || app.openRequests > 0 || app.isPartial)
    return false;
  silent.askedAt = app.questions;
  silent.lastReceive = silent.server.exactNow;
  output.writer.endStream(RecordType.Stderr, NGINX_ID);
  output.flush();
  return true;
}

/** Ends it: who can be asked is asked, and what is silent a second later is closed. */
export function leave(silent: Silent, reason: string): void {
  if (askToLeave(silent)) return;
  const { app } = silent;
  const { questions } = app;
  // Timers come before what has arrived is read: the next request may be there, and nobody repeats a POST.
  setImmediate(() => {
    if (!app.isPartial && app.questions === questions) silent.destroy(reason);
  });
}
