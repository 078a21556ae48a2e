/** Deployments that nothing is wrong with, for each web server; also one that only looks as if something were. */
import type { ServerName } from "../web-servers/available.ts";
import { patient, type Startable, served, spawned } from "./deployments.ts";
import { type Patient, WELL } from "./model.ts";
import type { Place } from "./place.ts";

export interface Healthy {
  readonly server: string;
  readonly needs: readonly ServerName[];
  live(place: Place): Promise<Patient>;
}

const SERVED: readonly (readonly [name: string, server: Startable])[] = [
  ["nginx", "nginx"],
  ["Apache mod_proxy_fcgi", "apache"],
  ["lighttpd", "lighttpd"],
  ["Caddy", "caddy"],
  ["HAProxy", "haproxy"],
  ["h2o", "h2o"],
];

const PRINTS = `console.log("printed at the start");\nexport default (request, response) => {\n  console.log("printed for a request");\n  response.end("${WELL}\\n");\n};\n`;

export const HEALTHY: readonly Healthy[] = [
  ...SERVED.map(
    ([name, server]): Healthy => ({
      server: name,
      needs: [server],
      live: async (place) => patient(await served(place, server), () => {}),
    }),
  ),
  {
    server: "Apache mod_fcgid",
    needs: ["apache", "apache-fcgid"],
    live: async (place) => patient(await spawned(place, "apache"), () => {}),
  },
  {
    server: "lighttpd, spawned",
    needs: ["lighttpd"],
    live: async (place) => patient(await spawned(place, "lighttpd"), () => {}),
  },
  {
    server: "h2o, spawned",
    needs: ["h2o"],
    live: async (place) => patient(await spawned(place, "h2o"), () => {}),
  },
  {
    server: "Apache mod_fcgid, and prints to stdout",
    needs: ["apache", "apache-fcgid"],
    live: async (place) => patient(await spawned(place, "apache", { files: { "app.js": PRINTS } }), () => {}),
  },
  {
    server: "nginx, and prints to stdout",
    needs: ["nginx"],
    live: async (place) => patient(await served(place, "nginx", { app: PRINTS }), () => {}),
  },
];
