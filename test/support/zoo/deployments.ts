/** Deployments that work: an application that Postern serves behind a web server, and a program that one starts. */
import { chmodSync, existsSync } from "node:fs";
import { join } from "node:path";
import { isListening } from "../ports.ts";
import type { Running } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";
import type { SiteOptions } from "../web-servers/generated.ts";
import { externalAt, startGenerated } from "../web-servers/generated.ts";
import type { FastCgiAddress, WebServer } from "../web-servers/web-server.ts";
import { type Patient, type Sight, WELL } from "./model.ts";
import { commandIn, configurationOf, give, ids, look, type Place, sharedLibrary } from "./place.ts";

export type Startable = Parameters<typeof startGenerated>[0];

export const APP: string = `export default (request, response) => response.end("${WELL}\\n");\n`;

export interface ServedOptions {
  readonly app?: string;
  /** @default `unix:…/run/app.sock` */
  readonly bind?: string;
  /** More settings, as JavaScript: `listenMode: 0o600`. */
  readonly settings?: string;
  /** More lines of the web server's configuration. */
  readonly more?: string;
  readonly site?: Omit<SiteOptions, "application">;
}

export interface Served {
  readonly web: WebServer;
  /** Its configuration. */
  readonly file: string;
  readonly socket: string;
  /** Of the command line: the web server of this place and no other. */
  readonly flags: readonly string[];
  visit(): Promise<Sight>;
  /** Writes Postern's configuration anew. */
  configure(settings?: string, bind?: string): void;
  /** Ends the application, and starts it again; settles when it listens, or has given up. */
  restart(options?: RestartOptions): Promise<Running>;
  /** Ends it as a power cut does. */
  kill(): Promise<void>;
}

export interface RestartOptions {
  /** @default nobody, and the web server's group */
  readonly as?: { readonly uid: number; readonly gid: number } | undefined;
  /** More of the command line. */
  readonly flags?: readonly string[];
  /** Whether it is to be waited for. @default true */
  readonly isReady?: boolean;
}

/** An application that `postern serve` runs as another user than the web server's, behind that. */
export async function served(place: Place, server: Startable, options: ServedOptions = {}): Promise<Served> {
  const modules = await sharedLibrary();
  place.write("package.json", `{ "name": "yourapplication", "private": true, "type": "module" }\n`);
  place.write("app.js", options.app ?? APP);
  place.write("run/.keep", "");
  chmodSync(place.path("run"), 0o755);
  give(place.path("run"), "nobody", "www-data");
  const socket = place.path("run/app.sock");
  let running: Running | undefined;
  let bound = options.bind ?? `unix:${socket}`;
  const configure = (settings = options.settings ?? "", bind = bound): void => {
    bound = bind;
    place.write(
      "postern.config.js",
      `export default {\n  app: "app.js",\n  bind: ${JSON.stringify(bind)},\n${settings === "" ? "" : `  ${settings},\n`}};\n`,
    );
  };
  const restart = async (how: RestartOptions = {}): Promise<Running> => {
    await running?.stop();
    const who = "as" in how ? how.as : ids("nobody", "www-data");
    const again = place.start(process.execPath, [commandIn(modules), "serve", ...(how.flags ?? [])], {
      ...who,
    });
    running = again;
    if (how.isReady === false) return again;
    await waitFor(async () => again.exit ?? (await isListening(connectTo(addressOf(bound)))), {
      timeoutMs: 30_000,
      what: "the application to listen",
      evidence: again.output,
    });
    return again;
  };
  configure();
  const first = await restart();
  if (first.exit) throw new Error(`the application ended:\n${first.output()}`);
  const web = await startGenerated(
    server,
    { application: externalAt(addressOf(bound)), ...options.site },
    "system",
    options.more,
  );
  place.later(() => web.stop());
  const file = configurationOf(web);
  return {
    web,
    file,
    socket,
    flags: ["--server", server, "--config-file", file],
    visit: () => look(`${web.url}/`),
    configure,
    restart,
    async kill() {
      await running?.stop({ signal: "SIGKILL" });
      await place.killPrograms();
    },
  };
}

function addressOf(bind: string): FastCgiAddress {
  if (bind.startsWith("unix:")) return { unix: bind.slice("unix:".length) };
  const colon = bind.lastIndexOf(":");
  const host = bind.slice(0, colon);
  return { host: host === "0.0.0.0" ? "127.0.0.1" : host, port: Number(bind.slice(colon + 1)) };
}

function connectTo(address: FastCgiAddress): { path: string } | { host: string; port: number } {
  return "unix" in address ? { path: address.unix } : { ...address };
}

/** What the `.fcgi` file is: a shell that starts Node as the examples have it, or a script with Node in its first line. */
export const SHELL = `#!/bin/sh\ncd "$(dirname "$0")" && exec node serve.js\n`;
export const SCRIPT = `#!/usr/bin/env node\nimport("./serve.js");\n`;
export const SERVE = `import { serve } from "postern";\nimport app from "./app.js";\n\nawait serve(app);\n`;

export interface SpawnedOptions {
  readonly program?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly more?: string;
  readonly site?: Omit<SiteOptions, "application">;
}

export interface Spawned {
  readonly web: WebServer;
  readonly file: string;
  /** The `.fcgi` file. */
  readonly program: string;
  readonly flags: readonly string[];
  visit(): Promise<Sight>;
  /** Ends its processes, so that the next visitor gets new ones. */
  startAnew(): Promise<void>;
}

/** A program that the web server starts, as users upload one. */
export async function spawned(
  place: Place,
  server: "apache" | "lighttpd" | "h2o",
  options: SpawnedOptions = {},
): Promise<Spawned> {
  place.write("app.js", options.files?.["app.js"] ?? APP);
  place.write("serve.js", SERVE);
  const isScript = /^#!.*node/.test(options.program ?? "");
  if (!isScript) place.write("package.json", `{ "private": true, "type": "module" }\n`);
  else {
    place.write("serve.js", SERVE.replace("app.js", "app.mjs").replace("await serve", "serve"));
    place.write("app.mjs", options.files?.["app.js"] ?? APP);
  }
  for (const [name, text] of Object.entries(options.files ?? {})) place.write(name, text);
  const program = place.write("yourapplication.fcgi", options.program ?? SHELL, 0o755);
  const sockets = temporaryFolder("run");
  chmodSync(sockets, 0o777);
  const web = await startGenerated(
    server,
    {
      apacheModule: "fcgid",
      timeoutSeconds: 10,
      ...options.site,
      application: {
        kind: "spawned",
        program,
        processes: 1,
        isDynamic: false,
        socket: join(sockets, "app.sock"),
        environment: { PATH: "/usr/local/bin:/usr/bin:/bin", ...options.environment },
      },
    },
    "system",
    options.more,
  );
  place.later(() => web.stop());
  if (!existsSync(program)) throw new Error("the program is gone");
  const file = configurationOf(web);
  return {
    web,
    file,
    program,
    flags: [program, "--server", server, "--config-file", file],
    // mod_fcgid tries again for seconds before it says that a program does not start.
    visit: () => look(`${web.url}/`, { timeoutMs: 20_000 }),
    async startAnew() {
      // mod_fcgid looks for a while at processes that it did not end itself.
      if (server === "apache") await web.reload();
      await place.killPrograms();
    },
  };
}

/** The patient of a deployment. */
export function patient(
  of: { readonly web: WebServer; visit(): Promise<Sight>; readonly flags: readonly string[] },
  fall: () => unknown,
  more: Partial<Patient> = {},
): Patient {
  return {
    visit: of.visit,
    web: of.web,
    doctor: () => of.flags,
    async fall() {
      await fall();
    },
    ...more,
  };
}
