/** The option `trustProxy`: which proxies in front of the web server are believed. What they say is in cgi/forwarded.ts. */
import { BlockList, isIP } from "node:net";
import { badOption } from "../base/settings.ts";
import type { HopTrust } from "../cgi/forwarded.ts";
import { addRange, isListed } from "./address-list.ts";

/** Words for ranges that need no looking up. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  loopback: ["127.0.0.0/8", "::1"],
  private: [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
    "fe80::/10",
  ],
};
const ALLOWED = "IP addresses, ranges such as 10.0.0.0/8, loopback, private or unix";

/**
 * @returns undefined when nobody is to be believed
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`
 */
export function resolveTrustProxy(value: unknown): HopTrust | undefined {
  const given: unknown[] = typeof value === "string" ? value.split(",") : [value ?? []].flat();
  const entries = given.map((entry) => (typeof entry === "string" ? entry.trim() : entry));
  const list = new BlockList();
  let trustsUnix = false;
  let isEmpty = true;
  for (const entry of entries) {
    if (entry === "") continue;
    isEmpty = false;
    if (typeof entry !== "string") throw badOption("trustProxy", entry, ALLOWED);
    if (entry === "unix") trustsUnix = true;
    else if (!(WORDS[entry] ?? [entry]).every((range) => addRange(list, range))) {
      throw badOption("trustProxy", entry, ALLOWED);
    }
  }
  if (isEmpty) return undefined;
  return {
    isAddress: (text) => isIP(text) !== 0,
    // nginx calls the address of a client on a unix socket `unix:`, others give the path of the socket.
    trusts: (address) => isListed(list, address) || (trustsUnix && /^(?:unix:|\/)/.test(address)),
  };
}
