/** One suite of behaviours behind every real web server, mounted and at the root, in each way of connecting. */
import { afterAll, beforeAll, it } from "vitest";
import { bodyBehaviours, headerBehaviours, urlBehaviours } from "../support/e2e/behaviours.ts";
import { type FormName, makeProbe, type Probe } from "../support/e2e/probe.ts";
import { connectionBehaviours, responseBehaviours } from "../support/e2e/response-behaviours.ts";
import {
  type Served,
  type Site,
  servePostern,
  startSite,
  type Transport,
  titleOf,
} from "../support/e2e/served.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import type { WebServer } from "../support/web-servers/web-server.ts";

const MOUNT = "/yourapplication";

/** The classic guide's two forms over both transports, with a connection per request and with kept ones. */
function nginxSites(): Site[] {
  const sites: Site[] = [];
  for (const mount of [MOUNT, ""]) {
    for (const transport of ["unix", "tcp"] as const satisfies readonly Transport[]) {
      for (const keepConn of [false, true]) sites.push({ web: "nginx", mount, transport, keepConn });
    }
  }
  sites.push({ web: "nginx", mount: "", transport: "unix", streaming: true });
  sites.push({ web: "nginx", mount: MOUNT, transport: "tcp", keepConn: true, streaming: true });
  return sites;
}

const SITES: readonly (readonly [Site, FormName])[] = [
  ...nginxSites().map((site) => [site, "express"] as const),
  [{ web: "nginx", mount: MOUNT, transport: "unix" }, "listener"],
  [{ web: "nginx", mount: "", transport: "unix", keepConn: true }, "httpServer"],
  [{ web: "nginx", mount: MOUNT, transport: "unix" }, "fetch"],
  [{ web: "apache", mount: MOUNT, transport: "unix" }, "express"],
  [{ web: "apache", mount: "", transport: "unix" }, "listener"],
  [{ web: "apache", mount: "", transport: "tcp", keepConn: true, streaming: true }, "express"],
  [{ web: "apache", mount: MOUNT, transport: "unix", streaming: true }, "fetch"],
  [{ web: "lighttpd", mount: MOUNT, transport: "tcp" }, "express"],
  [{ web: "lighttpd", mount: MOUNT, transport: "unix", server: { base: MOUNT } }, "listener"],
  [{ web: "lighttpd", mount: "", transport: "unix", streaming: true }, "express"],
  [
    {
      web: "lighttpd",
      mount: "",
      transport: "unix",
      fixRootScriptName: false,
      server: { LighttpdCGIRootFix: true },
    },
    "express",
  ],
  [{ web: "lighttpd", mount: MOUNT, transport: "unix" }, "fetch"],
];

const BEHAVIOURS = [
  ...urlBehaviours,
  ...headerBehaviours,
  ...bodyBehaviours,
  ...responseBehaviours,
  ...connectionBehaviours,
];

for (const [site, form] of SITES) {
  describeWithServer(site.web, `${titleOf(site)}, ${form}`, () => {
    let probe: Probe;
    let served: Served;
    let web: WebServer;
    beforeAll(async () => {
      probe = makeProbe();
      // Less than the web servers let through, so that our own limit is seen.
      served = await servePostern(probe.forms[form], site.transport, {
        maxParamsBytes: 16_384,
        ...site.server,
      });
      web = await startSite(site, served.address);
    });
    afterAll(async () => {
      await web.stop();
      await served.close();
    });
    for (const behaviour of BEHAVIOURS) {
      if (behaviour.on?.(site, form) === false) continue;
      it(behaviour.name, { timeout: 15_000 }, () => behaviour.test({ site, form, web, served, probe }));
    }
  });
}
