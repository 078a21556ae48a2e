/** Whether nginx and the application mean the same address, and speak the same there. */
import { type Address, printAddress } from "../base/address.ts";
import type { Expected, Finding } from "./model.ts";
import { type Pass, type Place, serversOf, upstreamOf } from "./nginx-places.ts";

/** An address as nginx and as Postern write it, in one spelling. */
function plain(address: string): string {
  return address
    .replace(/^unix:/, "")
    .replace(/^\/var\/run\//, "/run/")
    .replace(/^localhost:/, "127.0.0.1:");
}

function plainAddress(address: Address): string {
  return plain(printAddress(address));
}

/** Whether a pass goes to where the application listens, as far as that can be told. */
export function isExpected({ addresses }: Pass, { addresses: wanted }: Expected): boolean {
  const known = (wanted ?? []).map(plainAddress);
  return addresses.some((address) => address.includes("$") || known.includes(plain(address)));
}

/** Passes of which none goes there. */
export function otherAddresses(passes: readonly Pass[], expected: Expected): Finding[] {
  const wanted = expected.addresses ?? [];
  const [first] = wanted;
  if (first === undefined) return [];
  return passes.map(({ line, addresses }) => {
    const [given = ""] = addresses;
    const near = wanted.find((address) => isNear(plain(given), plainAddress(address)));
    const isMeant = near !== undefined && plain(given) === plainAddress(near);
    return {
      rule: "address-differs",
      severity: "error",
      line,
      what: `requests go to ${given}, and the application listens at ${wanted.map(printAddress).join(", ")}${near && !isMeant ? ": nearly the same" : ""}; visitors get 502`,
      remedy: `fastcgi_pass ${printAddress(near ?? first)};`,
    };
  });
}

/** The same file name elsewhere, the same port of another host, or all but case and ending. */
function isNear(given: string, wanted: string): boolean {
  const bare = (text: string): string => text.toLowerCase().replace(/\.sock(?:et)?$/, "");
  const tail = (text: string): string =>
    text.slice(Math.max(text.lastIndexOf("/"), text.lastIndexOf(":")) + 1);
  return bare(given) === bare(wanted) || bare(tail(given)) === bare(tail(wanted));
}

/** HTTP sent to where FastCGI is spoken. */
export function proxiesToFastCgi(
  places: readonly Place[],
  passes: readonly Pass[],
  expected: Expected,
): Finding[] {
  const spoken = new Set([
    ...passes.flatMap(({ addresses }) => addresses.map(plain)),
    ...(expected.addresses ?? []).map(plainAddress),
  ]);
  return places.flatMap(({ block }) =>
    block
      .filter(({ name }) => name === "proxy_pass")
      .flatMap((directive) => {
        const target = (directive.args[0] ?? "").replace(/^https?:\/\//, "");
        const upstream = upstreamOf(places, target.replace(/\/.*$/, ""));
        const addresses = upstream ? serversOf(upstream) : [proxyAddress(target)];
        if (!addresses.some((address) => spoken.has(plain(address)))) return [];
        return [
          {
            rule: "http-to-fastcgi",
            severity: "error" as const,
            line: directive.line,
            what: `proxy_pass speaks HTTP, and at ${addresses.join(", ")} FastCGI is spoken; visitors get 502`,
            remedy: `include fastcgi_params;\nfastcgi_pass ${upstream ? target.replace(/\/.*$/, "") : addresses[0]};`,
          },
        ];
      }),
  );
}

/** `unix:/path:/uri` and `host:port/uri` without the URI. */
function proxyAddress(target: string): string {
  return target.startsWith("unix:")
    ? `unix:${target.slice(5).replace(/:.*$/, "")}`
    : target.replace(/\/.*$/, "");
}
