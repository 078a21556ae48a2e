/** mod_proxy_fcgi: the application runs by itself, Apache connects to it. */
import { type Attached, urlOf } from "./apache-attached.ts";
import { literally, place, target, value, word } from "./apache-words.ts";
import type { Site } from "./model.ts";
import { reachable, refused } from "./parts.ts";

/** How long a backend that refuses is left alone when there are others. */
const RETRY_SECONDS = 5;

export function proxyAttached(site: Site): Attached {
  const { application, mount, name, isKeptAlive, timeoutSeconds } = site;
  if (application.kind === "spawned") {
    throw refused(
      "--spawn: mod_proxy_fcgi starts no programs; use --module fcgid, or name a running application with --bind",
    );
  }
  const addresses = reachable("apache", application.addresses);
  const [first, ...others] = addresses;
  if (first === undefined) throw refused("--bind: Apache needs the address of the application");
  const url = urlOf(mount);
  const parameters = [
    // Small pieces, such as those of an event stream, would be held back.
    "flushpackets=on",
    ...(isKeptAlive ? ["enablereuse=on"] : []),
    `timeout=${timeoutSeconds}`,
  ].join(" ");
  const balancer =
    others.length === 0
      ? []
      : [
          `<Proxy ${word("--name", `balancer://${name}`)}>`,
          ...addresses.map(
            (address, at) =>
              `    BalancerMember ${target(address, "fcgi", `${name}-${at + 1}`, "")} ${parameters} retry=${RETRY_SECONDS}`,
          ),
          "</Proxy>",
        ];
  const pass =
    others.length === 0
      ? `ProxyPass ${word("--mount", url)} ${target(first, "fcgi", name, "/")} ${parameters}`
      : `ProxyPass ${word("--mount", url)} ${word("--name", `balancer://${name}/`)}`;
  const inside = mount === "" ? "^(.*)$" : `^${literally(mount)}(/.*)?$`;
  return {
    modules: [
      "proxy",
      "proxy_fcgi",
      ...(others.length === 0 ? [] : ["proxy_balancer", "lbmethod_byrequests", "slotmem_shm"]),
    ],
    server: [],
    host: ['# FPM, the default, writes "proxy:fcgi://" into SCRIPT_FILENAME', "ProxyFCGIBackendType GENERIC"],
    routes: [
      "",
      ...site.statics.map(({ url: excepted }) => `ProxyPass ${word("--static", excepted)} "!"`),
      ...balancer,
      pass,
      `<Location ${place("--mount", url)}>`,
      "    # the mount; else SCRIPT_NAME would be the whole path",
      `    ProxyFCGISetEnvIf "true" SCRIPT_NAME ${value("--mount", mount)}`,
      `    ProxyFCGISetEnvIf ${word("--mount", `%{REQUEST_URI} =~ m#${inside}#`)} PATH_INFO "$1"`,
      "    # else Authorization would not reach the application",
      "    CGIPassAuth On",
      "</Location>",
    ],
    fileRule: 'RewriteRule "^" "-" [E=no-proxy:1]',
    standalone: () => [],
    notes: isKeptAlive
      ? [
          "connections are kept open: leave idleTimeoutMs of the application at 0, or Apache answers 503 when it loses that race",
        ]
      : [],
  };
}
