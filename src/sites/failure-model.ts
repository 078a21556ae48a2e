/** The words for what goes wrong between a web server and an application: causes, what each means, and what to do. */
import type { ApacheModule, WebServerName } from "./model.ts";

export type FailureCause =
  | "no-socket"
  | "socket-refused"
  | "port-refused"
  | "no-permission"
  | "not-fastcgi"
  | "died"
  | "died-answering"
  | "hung-up"
  | "silent"
  | "not-a-head"
  | "bad-status"
  | "head-too-large"
  | "threw"
  | "failed-answering"
  | "no-head"
  | "no-backend"
  | "not-taken"
  | "body-too-large"
  | "no-length"
  | "spawn-failed"
  | "too-many-processes"
  | "unreadable"
  | "recursion"
  | "sent-too-early"
  | "upgrade";

export interface Explanation {
  /** What has happened, as a sentence without its full stop. */
  readonly means: string;
  readonly remedy: string;
}

/**
 * A status; or, of an answer whose head was out already, `cut`: visitors can tell that it is not whole, and `unnoticed`:
 * they cannot. `waits`: there is no answer until the visitor leaves. `not HTTP`: something that is no status.
 */
export type Outcome = number | "cut" | "unnoticed" | "waits" | "not HTTP";

/** One failure behind one server. */
export interface Failure {
  readonly server: WebServerName;
  /** Apache: which module it is about. */
  readonly module?: ApacheModule;
  readonly cause: FailureCause;
  readonly outcome: Outcome;
  /** In the log, `…` for what differs from time to time. Any of them, by release; empty: the log says nothing. */
  readonly lines: readonly string[];
}

export const EXPLANATIONS: Readonly<Record<FailureCause, Explanation>> = {
  "no-socket": {
    means: "there is no socket of that name: the application does not run, or listens elsewhere",
    remedy: "compare the path with the one that postern serve prints, and start it",
  },
  "socket-refused": {
    means: "nobody listens on the socket: the application was killed, and its file stayed",
    remedy: "start it; Postern takes the place of a socket that nobody listens on",
  },
  "port-refused": {
    means: "nobody listens on the port: the application does not run, or listens on another address",
    remedy: "compare the address with the one that postern serve prints, and start it",
  },
  "no-permission": {
    means: "the web server's user may not write to the socket, or not enter a folder above it",
    remedy: "--listen-group with the web server's group; namei -l shows the permissions along the path",
  },
  "not-fastcgi": {
    means: "something else listens there, mostly an HTTP server",
    remedy: "serve the application with Postern, or let the web server pass on by HTTP",
  },
  died: {
    means: "the process ended, or was killed, before it answered",
    remedy:
      "its own log says why: an exception outside of a request, process.exit, memory, a blocked event loop",
  },
  "died-answering": {
    means: "the process ended, or was killed, in the middle of an answer",
    remedy: "its own log says why",
  },
  "hung-up": {
    means: "who listens there closed the connection while the request was still being sent",
    remedy:
      "its own log says why: it ended, or refuses this web server; or it is an HTTP server, and no FastCGI application",
  },
  silent: {
    means: "the application did not answer in time",
    remedy:
      "answer faster, or raise the web server's limit; --request-terminate-timeout finds out who is slow",
  },
  "not-a-head": {
    means: "what came first is not a header line: a program has printed something into its answer",
    remedy: "print to stderr; applications that Postern serves cannot do this",
  },
  "bad-status": {
    means: "the header Status is not a number of three digits",
    remedy: "mend the program; applications that Postern serves cannot do this",
  },
  "head-too-large": {
    means: "the headers of the answer are larger than the web server takes",
    remedy: "fewer or shorter headers (cookies, Content-Security-Policy), or a larger buffer",
  },
  threw: {
    means: "the application failed; what it said is in the line",
    remedy: "that request has the same name in Postern's log, with the stack",
  },
  "failed-answering": {
    means: "the application failed in the middle of an answer, and Postern broke it off",
    remedy: "the line before, or Postern's log, says why",
  },
  "no-head": {
    means: "the application ended its answer without having begun one",
    remedy: "its own log says why; applications that Postern serves always answer",
  },
  "no-backend": {
    means: "the web server has given the application up for a while, because requests had failed before",
    remedy: "an earlier line says why; it tries again by itself after some seconds",
  },
  "not-taken": {
    means: "the application's listen queue is full: it runs, and takes no connections",
    remedy: "more workers, or a shorter way for slow requests; postern status shows who is busy",
  },
  "body-too-large": {
    means: "the body of the request is larger than the web server lets through",
    remedy: "raise the web server's limit: client_max_body_size, FcgidMaxRequestLen, server.max-request-size",
  },
  "no-length": {
    means: "the web server refused a body without a stated length",
    remedy: "let the web server collect bodies first; the page of that server says how",
  },
  "spawn-failed": {
    means: "the web server could not start the program",
    remedy:
      "run it by hand as the web server's user: its path, its first line (#!), its execute bit, its folders",
  },
  "too-many-processes": {
    means: "the web server has started as many processes as it may, and all are busy",
    remedy: "FcgidMaxProcesses, FcgidMaxProcessesPerClass, max-procs; or find out which requests take long",
  },
  unreadable: {
    means: "the web server's user may not read a file or folder of its own",
    remedy: "namei -l shows the permissions along the path",
  },
  recursion: {
    means: "a rule of the configuration leads back to itself",
    remedy: "let the rewrite rule leave out what it has already led to the program",
  },
  "sent-too-early": {
    means: "a connection that the web server had kept open was closed by the application meanwhile",
    remedy:
      "a longer idle timeout of the application than of the web server, or connections that are not kept",
  },
  upgrade: {
    means: "the application agreed to leave HTTP (101), and this web server cannot do that inside FastCGI",
    remedy: "WebSockets by HTTP to the side listener: --ws-http; lighttpd from 1.4.74 on can",
  },
};
