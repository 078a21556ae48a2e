/** An application in this process behind a web server with a generated configuration, and what such a test asks of it. */
import { readFileSync } from "node:fs";
import https from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Application, ServerOptions } from "../../../src/index.ts";
import { generateSite, type WebServerName } from "../../../src/sites/index.ts";
import { repositoryRoot } from "../paths.ts";
import { run } from "../process.ts";
import { plainSite } from "../sites-table.ts";
import { describeWithServer } from "../web-servers/available.ts";
import { type CurrentName, describeWithCurrent } from "../web-servers/current.ts";
import { externalAt, type Release, type SiteOptions, startGenerated } from "../web-servers/generated.ts";
import type { WebServer } from "../web-servers/web-server.ts";
import { type Served, servePostern, type Transport } from "./served.ts";

export type Startable = Exclude<WebServerName, "cherokee">;

/** Keys and certificates of the tests. */
export const TLS: string = join(repositoryRoot, "test", "support", "tls");

export interface BehindOptions extends Omit<SiteOptions, "application"> {
  readonly transport?: Transport;
  /** Of Postern. */
  readonly server?: ServerOptions;
}

/** `describe` for a web server of one release: `caddy …`, `current caddy …`. */
export function describeSite(server: Startable, release: Release, title: string, tests: () => void): void {
  if (release === "system") describeWithServer(server, `${server} ${title}`, tests);
  else describeWithCurrent(server as CurrentName, `current ${server} ${title}`, tests);
}

/** Runs `test` with an application in this process behind a web server of its own. */
export async function behindGenerated(
  server: Startable,
  release: Release,
  application: Application,
  options: BehindOptions,
  test: (both: { readonly web: WebServer; readonly served: Served }) => Promise<void>,
): Promise<void> {
  const { transport = "unix", server: ofPostern, ...site } = options;
  const served = await servePostern(application, transport, ofPostern);
  try {
    const web = await startGenerated(server, { ...site, application: externalAt(served.address) }, release);
    try {
      await test({ web, served });
    } finally {
      await web.stop();
    }
  } finally {
    await served.close();
  }
}

/** Does what the generated steps tell an operator to do before such a site is started. */
export async function prepareFiles(
  server: Startable,
  options: Omit<SiteOptions, "application">,
): Promise<void> {
  const { steps } = generateSite(server, plainSite("/srv", options));
  for (const { command } of steps) {
    const { code, stderr } = await run("sh", ["-c", command]);
    if (code !== 0) throw new Error(`${command}\n${stderr}`);
  }
}

export interface SecureAnswer {
  readonly status: number;
  readonly body: string;
}

/** One request over TLS, with the certificate of somebody or without. */
export function requestOverTls(web: WebServer, path: string, who?: string): Promise<SecureAnswer> {
  const pem = (name: string): string => readFileSync(join(TLS, name), "utf8");
  const own = who === undefined ? {} : { cert: pem(`${who}.pem`), key: pem(`${who}.key`) };
  const name = { servername: "example.com", headers: { Host: "example.com" } };
  const where = { host: "127.0.0.1", port: web.port, path, rejectUnauthorized: false, agent: false };
  return new Promise((resolve, reject) => {
    const outgoing = https.get({ ...where, ...own, ...name }, (answer) => {
      text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject);
    });
    outgoing.once("error", reject);
  });
}

/** `Authorization` of somebody. */
export function basic(login: string): { readonly Authorization: string } {
  return { Authorization: `Basic ${Buffer.from(login).toString("base64")}` };
}
