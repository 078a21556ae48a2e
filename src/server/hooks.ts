/**
 * What the process manager's worker asks of a server beyond its public options: to be told of every request, to answer
 * the status page, and to share a listening socket with its siblings.
 */
import type { ErrorPage } from "../cgi/error-page.ts";
import type { Exchange } from "./exchange.ts";

/** Hears of every request exactly twice, whatever becomes of it. Must not throw. */
export interface ServerObserver {
  /** Its parameters are complete. It may have to wait, and may be refused after that. */
  onRequestBegin(exchange: Exchange): void;
  /** It was answered, aborted or lost. What the application does for it may go on. */
  onRequestEnd(exchange: Exchange): void;
}

export interface ServerHooks {
  readonly observer?: ServerObserver;
  /** The path whose requests `onStatus` answers in the application's place; not observed, and never made to wait. */
  readonly statusPath?: string;
  /** The same for metrics. */
  readonly metricsPath?: string;
  readonly onStatus?: (exchange: Exchange, isMetrics: boolean) => void;
  /** `isBusy` has become true or false; at most ten times a second. */
  readonly onBusy?: () => void;
  /** Requests that are still open are about to be cut: by the drain timeout, or because the server is destroyed. */
  readonly onCut?: (reason: string) => void;
  /** The page for a request in which the application failed; undefined is the ordinary one. */
  readonly failurePage?: (exchange: Exchange, error: Error) => ErrorPage | undefined;
  /** Other processes accept from the same sockets: see fairness.ts. */
  readonly isShared?: boolean;
  /** The sockets outlive this server: what waits on them when it closes is for the next ones. */
  readonly isHeld?: boolean;
}

/** What a server has to do at this moment, and has done since it was made. Cheap to ask for. */
export interface ServerLoad {
  /** Requests the application works on. */
  readonly openRequests: number;
  /** Upgraded connections. */
  readonly openTunnels: number;
  /** Requests that wait for their turn. */
  readonly queuedRequests: number;
  readonly connections: number;
  /** Of those, how many have sent nothing yet. */
  readonly freshConnections: number;
  readonly acceptedConnections: number;
  /** Requests whose parameters arrived whole, pings and refused ones included. */
  readonly acceptedRequests: number;
  /** Requests that took longer than `slowRequestMs`. */
  readonly slowRequests: number;
}
