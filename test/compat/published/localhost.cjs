/**
 * `localhost` is this machine in both families (RFC 6761), also where /etc/hosts has it in one only: preloaded for
 * published tests that connect to what `server.address()` says, `{ family: "IPv6" }` and no host.
 */
"use strict";
const dns = require("node:dns");

const { lookup } = dns;

dns.lookup = function (...args) {
  const [hostname, options, callback] = args;
  const family = typeof options === "object" ? options?.family : options;
  if (hostname !== "localhost" || (family !== 6 && family !== "IPv6") || options.all === true) {
    return lookup.apply(this, args);
  }
  process.nextTick(callback, null, "::1", 6);
  return {};
};
Object.defineProperties(dns.lookup, Object.getOwnPropertyDescriptors(lookup));
