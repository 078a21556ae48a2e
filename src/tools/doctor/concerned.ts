/**
 * Of all that the web servers of a machine lead to, what the question is about: other sites on the same server may be
 * broken, too, but that is another question. Where nothing tells them apart, all of it.
 */
import { printAddress } from "../../base/address.ts";
import type { ApplicationFact, BackendFact, DoctorOptions, WebServerFact } from "./model.ts";

/** What answers, or should answer, at a URL. */
export function ofUrl(webServers: readonly WebServerFact[], url: URL): readonly WebServerFact[] {
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  const atPort = webServers.filter(
    ({ running, listens = [] }) => running && listens.some((one) => one.port === port),
  );
  const servers = atPort.length > 0 ? atPort : webServers;
  return servers.map((server) => {
    const ofPort = orAll(server.backends, ({ site }) => isEmptyOrHas(site?.ports, port));
    const ofHost = orAll(ofPort, ({ site }) => site?.names.includes(url.hostname) === true);
    return narrowed(server, ofPath(ofHost, url.pathname));
  });
}

/** The longest place that the path is below, and those whose place nobody knows. */
function ofPath(backends: readonly BackendFact[], pathname: string): readonly BackendFact[] {
  const lengths = backends.map(({ path }) =>
    path !== undefined && isBelow(pathname, path) ? path.length : -1,
  );
  const longest = Math.max(-1, ...lengths);
  if (longest < 0) return backends;
  return backends.filter(({ path }, at) => path === undefined || lengths[at] === longest);
}

function isBelow(pathname: string, path: string): boolean {
  return pathname === path || pathname.startsWith(path.endsWith("/") ? path : `${path}/`);
}

/**
 * The web servers that have to do with the application, and of each the places that lead to it. All, when none does: then
 * it is the cause that none leads to it.
 */
export function ofApplication(
  webServers: readonly WebServerFact[],
  application: ApplicationFact | undefined,
  { connect, server, configFile }: Pick<DoctorOptions, "connect" | "server" | "configFile">,
): readonly WebServerFact[] {
  const addresses = [...(connect === undefined ? [] : [connect]), ...(application?.listens ?? [])];
  const leads = ({ address, place }: BackendFact): boolean =>
    address === undefined
      ? application?.spawnedAt === place
      : addresses.some((one) => printAddress(one) === printAddress(address));
  const wasNamed = server !== undefined || configFile !== undefined;
  return orAll(webServers, ({ backends }) => wasNamed || backends.some(leads)).map((one) => {
    const own = one.backends.filter(leads);
    // What else the same place leads to is part of the deployment.
    return narrowed(
      one,
      orAll(one.backends, (other) => own.some((mine) => isSamePlace(mine, other))),
    );
  });
}

function narrowed(server: WebServerFact, backends: readonly BackendFact[]): WebServerFact {
  const left = server.backends.filter((one) => !backends.includes(one));
  return left.length === 0 ? server : { ...server, backends, others: [...(server.others ?? []), ...left] };
}

function isSamePlace(one: BackendFact, other: BackendFact): boolean {
  return one.path === other.path && JSON.stringify(one.site) === JSON.stringify(other.site);
}

function isEmptyOrHas<T>(list: readonly T[] | undefined, wanted: T): boolean {
  return list === undefined || list.length === 0 || list.includes(wanted);
}

function orAll<T>(list: readonly T[], fits: (one: T) => boolean): readonly T[] {
  const fitting = list.filter(fits);
  return fitting.length > 0 ? fitting : list;
}
