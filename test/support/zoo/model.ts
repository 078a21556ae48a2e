/**
 * The words of the zoo of broken deployments. An animal is one breakage as data with code: a deployment that works, what
 * breaks it, what a visitor then sees, and what the doctor is to say first. Nothing here runs anything.
 */
import type { ServerName } from "../web-servers/available.ts";
import type { WebServer } from "../web-servers/web-server.ts";
import type { Place } from "./place.ts";

/**
 * What a visitor sees: a status; `waits`: nothing until he leaves; `cut`: the connection ends in the middle of it;
 * `another's`: 200, with the page of another application; `refused`: there is no web server.
 */
export type Sight = number | "waits" | "cut" | "another's" | "refused";

/** A deployment of an animal. */
export interface Patient {
  /** One request through the web server, as its visitors send it. */
  visit(): Promise<Sight>;
  readonly web: WebServer;
  /** Breaks it. */
  fall(): Promise<void>;
  /** What stands behind `postern doctor`; asked once it is broken. */
  doctor(): readonly string[];
  /**
   * Carries out advice, as the person who owns the application does. An animal whose remedy is all literal has none; of
   * one that has, the count is printed.
   */
  byHand?(advice: string): Promise<void>;
}

export interface Animal {
  /** A row of the table. */
  readonly name: string;
  /** Of the table: `nginx`, `Apache mod_fcgid`. */
  readonly server: string;
  readonly needs: readonly ServerName[];
  /** It needs other users, or mounts. */
  readonly isRoots: boolean;
  readonly sick: Sight;
  /** The id of the doctor's first finding. */
  readonly cause: string;
  /** Of the remedy, by hand; absent: the printed lines and edits are all. */
  readonly advice?: string;
  live(place: Place): Promise<Patient>;
}

/** A text of the application that answers every visitor. */
export const WELL = "well";
