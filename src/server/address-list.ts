/** Lists of IP addresses and ranges, as options have them. */
import { type BlockList, isIP } from "node:net";

/** Adds an address or a range such as `10.0.0.0/8` to a list. Returns false when it is neither. */
export function addRange(list: BlockList, entry: string): boolean {
  const [address = "", prefix, ...rest] = entry.split("/");
  const family = isIP(address) === 6 ? "ipv6" : "ipv4";
  const most = family === "ipv6" ? 128 : 32;
  const bits = prefix === undefined ? most : Number(prefix);
  const isRange =
    isIP(address) !== 0 &&
    !address.includes("%") &&
    rest.length === 0 &&
    prefix !== "" &&
    Number.isInteger(bits) &&
    bits >= 0 &&
    bits <= most;
  if (isRange) list.addSubnet(address, bits, family);
  return isRange;
}

/** Whether an address is in a list. IPv4 inside IPv6 (`::ffff:10.0.0.1`) counts as IPv4. */
export function isListed(list: BlockList, address: string): boolean {
  const plain = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  const version = isIP(plain);
  return version !== 0 && list.check(plain, version === 6 ? "ipv6" : "ipv4");
}
