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
  const found = atPort.map((server) => narrowed(server, answering(server, url, port)));
  if (found.some(({ backends }) => backends.length > 0)) return found;
  // What is there may hand requests on by HTTP, to another web server.
  const behind = webServers.filter(
    (one) =>
      !atPort.includes(one) && (atPort.length === 0 || atPort.some((front) => namesPortOf(front, one))),
  );
  return [...found, ...behind.map((server) => narrowed(server, answering(server, url, port)))];
}

function namesPortOf({ text = "" }: WebServerFact, { listens = [] }: WebServerFact): boolean {
  return listens.some(({ port }) => new RegExp(`:${port}\\b`).test(text));
}

/** None, where the site of that name is known, and hands nothing on by FastCGI. */
function answering(
  { backends, listens = [] }: WebServerFact,
  { hostname, pathname }: URL,
  port: number,
): readonly BackendFact[] {
  const hasName = ({ site }: BackendFact): boolean => site !== undefined && isNamed(site, hostname);
  const isKnown = listens.some((one) => one.port === port && isNamed(one, hostname));
  const isAtPort = ({ site }: BackendFact): boolean => isEmptyOrHas(site?.ports, port);
  const isHere = listens.some((one) => one.port === port);
  const ofPort = isHere ? backends.filter(isAtPort) : orAll(backends, isAtPort);
  const safe = listens.filter(({ isTls }) => isTls).map((one) => one.port);
  const named = first(
    () => ofPort.filter(hasName),
    // A site that leads nowhere at this port sends visitors to its other one.
    () =>
      backends.filter((one) => isKnown && hasName(one) && one.site?.ports.some((at) => safe.includes(at))),
    () => ofPort.filter(({ site }) => !isKnown && site?.patterns?.some((one) => fits(one, hostname))),
    () => ofPort.filter(({ site }) => !isKnown && site?.expressions?.some((one) => fits(one, hostname))),
    () => ofPort.filter(({ site }) => !isKnown && site?.otherwiseAt?.includes(port)),
  );
  if (named.length === 0 && !isKnown) return ofPath(ofPort, pathname);
  // What is outside of all sites holds in each, where that has nothing nearer.
  const nearest = Math.max(-1, ...named.map((one) => depth(one, pathname)));
  const isElsewhere = nearest < 0 && named.every(({ path }) => path !== undefined);
  const general = ofPort.filter(
    (one) => isOfNoSite(one) && (depth(one, pathname) > nearest || (isElsewhere && one.path === undefined)),
  );
  return ofPath([...named, ...general], pathname);
}

/** The longest place that the path is below, and those whose place nobody knows. */
function ofPath(backends: readonly BackendFact[], pathname: string): readonly BackendFact[] {
  const depths = backends.map((one) => depth(one, pathname));
  const deepest = Math.max(-1, ...depths);
  if (deepest < 0) return orAll(backends, ({ path }) => path === undefined);
  return backends.filter(
    ({ path, pattern }, at) =>
      depths[at] === deepest || (path === undefined && (pattern === undefined || fits(pattern, pathname))),
  );
}

/** How near its place is to the path: -1 for one that the path is not below. */
function depth({ path }: BackendFact, pathname: string): number {
  return path !== undefined && isBelow(pathname, path) ? path.length : -1;
}

/** An expression that cannot be read here may fit. */
function fits(pattern: string, pathname: string): boolean {
  try {
    return new RegExp(pattern, "i").test(pathname);
  } catch {
    return true;
  }
}

function isNamed({ names }: { readonly names: readonly string[] }, hostname: string): boolean {
  return names.some((one) => one.toLowerCase() === hostname);
}

function isOfNoSite({ site }: BackendFact): boolean {
  return site === undefined || (site.names.length === 0 && site.ports.length === 0);
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
    const own = new Set(one.backends.filter(leads).map(keyOf));
    // What else the same place leads to is part of the deployment.
    return narrowed(
      one,
      orAll(one.backends, (other) => own.has(keyOf(other))),
    );
  });
}

function narrowed(server: WebServerFact, backends: readonly BackendFact[]): WebServerFact {
  const kept = new Set(backends);
  const left = server.backends.filter((one) => !kept.has(one));
  return left.length === 0 ? server : { ...server, backends, others: [...(server.others ?? []), ...left] };
}

/** Whether a line of the server's configuration is in the place of something else. */
export function isOfOthers(
  { backends, others = [] }: WebServerFact,
  { line }: { readonly line: number },
): boolean {
  const isAround = ({ block }: BackendFact): boolean =>
    block !== undefined && line >= block[0] && line <= block[1];
  return others.some(isAround) && !backends.some(isAround);
}

/** What backends of the same place have in common. */
function keyOf({ path, pattern, site }: BackendFact): string {
  return JSON.stringify([path, pattern, site]);
}

function isEmptyOrHas<T>(list: readonly T[] | undefined, wanted: T): boolean {
  return list === undefined || list.length === 0 || list.includes(wanted);
}

function orAll<T>(list: readonly T[], fits: (one: T) => boolean): readonly T[] {
  const fitting = list.filter(fits);
  return fitting.length > 0 ? fitting : list;
}

/** The first that has any. */
function first<T>(...lists: readonly (() => readonly T[])[]): readonly T[] {
  return lists.reduce<readonly T[]>((found, next) => (found.length > 0 ? found : next()), []);
}
