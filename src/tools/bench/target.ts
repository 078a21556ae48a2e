/** Somewhere a load goes to: the socket of an application, or a URL. */
import { type Address, printAddress } from "../../base/address.ts";
import type { Shot } from "./exchange.ts";
import { FastCGILane } from "./fastcgi-lane.ts";
import { HttpLane } from "./http-lane.ts";
import type { Lane } from "./lane.ts";
import { serverOf } from "./processes.ts";

export type Place = { readonly address: Address } | { readonly url: URL };

export interface Target {
  readonly name: string;
  readonly place: Place;
  readonly shot: Shot;
  /** The process at the top of the server, when it was named or can be found. */
  readonly pid: number | undefined;
}

/** How it is connected to. */
export interface Wiring {
  readonly connections: number;
  /** Requests at once on each. More than 1 is for FastCGI only. */
  readonly multiplex: number;
  readonly keepAlive: boolean;
  readonly isInsecure: boolean;
}

export function targetOf(place: Place, shot: Shot, pid: number | undefined): Target {
  if ("url" in place) return { name: place.url.origin, place, shot, pid };
  return { name: printAddress(place.address), place, shot, pid: pid ?? serverOf(place.address) };
}

export function lanesOf({ place, shot }: Target, wiring: Wiring, count: number = wiring.connections): Lane[] {
  const keepsConnection = wiring.keepAlive;
  return Array.from({ length: count }, () =>
    "url" in place
      ? new HttpLane({ url: place.url, shot, keepsConnection, isInsecure: wiring.isInsecure })
      : new FastCGILane({ address: place.address, shot, keepsConnection, room: wiring.multiplex }),
  );
}
