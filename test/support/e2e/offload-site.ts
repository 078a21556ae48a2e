/** Applications that send files, behind web servers that are told to send them in their place. */
import { chmodSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Application, ServerOptions } from "../../../src/index.ts";
import { temporaryFolder } from "../temp.ts";
import { startApache } from "../web-servers/apache.ts";
import { startLighttpd } from "../web-servers/lighttpd.ts";
import { startNginx } from "../web-servers/nginx.ts";
import type { WebServer } from "../web-servers/web-server.ts";
import { startRelay } from "./relay.ts";
import { type LogEntry, servePostern } from "./served.ts";

export type OffloadingServer = "nginx" | "lighttpd" | "apache";

export const LARGE_BYTES: number = 200 * 1024 * 1024;

/** Names that have to be encoded somewhere on their way. */
export const ODD_NAMES: readonly string[] = [
  "two words.txt",
  "100%.txt",
  "%41.txt",
  "what?.txt",
  "a#b.txt",
  "a+b&c=d;e.txt",
  "grüße €.txt",
  "quote'\".txt",
  "a..b...txt",
];

/** Bytes that tell where they are from. */
export function contentOf(name: string): Buffer {
  return Buffer.from(`${name}: ${"0123456789".repeat(2000)}`);
}

/** A folder of files, and one beside it. */
export function makeFiles(): { readonly folder: string; readonly outside: string } {
  const base = temporaryFolder("files");
  const [folder, outside] = [join(base, "public"), join(base, "private")];
  for (const path of [folder, outside, join(folder, "deep")]) {
    mkdirSync(path);
    chmodSync(path, 0o755);
  }
  for (const name of ["a.txt", "page.html", "deep/b.txt", ...ODD_NAMES]) {
    writeFileSync(join(folder, name), contentOf(name), { mode: 0o644 });
  }
  writeFileSync(join(folder, "empty.txt"), "", { mode: 0o644 });
  writeFileSync(join(folder, "new\nline.txt"), contentOf("new line"), { mode: 0o644 });
  writeFileSync(join(outside, "secret.txt"), contentOf("secret"), { mode: 0o644 });
  symlinkSync(join(outside, "secret.txt"), join(folder, "out.txt"));
  symlinkSync("a.txt", join(folder, "in.txt"));
  writeFileSync(join(folder, "large.bin"), "", { mode: 0o644 });
  truncateSync(join(folder, "large.bin"), LARGE_BYTES);
  return { folder, outside };
}

export interface OffloadSite {
  readonly web: WebServer;
  readonly log: readonly LogEntry[];
  /** Bytes that the application has sent to the web server. */
  readonly answeredBytes: number;
  close(): Promise<void>;
}

export interface OffloadSiteOptions {
  /** @default the folder, in the way of the web server */
  readonly server?: ServerOptions;
}

const LOCATION = "/protected-files/";

/** Starts an application and a web server that sends the files of a folder. */
export async function startOffloadSite(
  name: OffloadingServer,
  folder: string,
  application: Application,
  options: OffloadSiteOptions = {},
): Promise<OffloadSite> {
  const entry = name === "nginx" ? `${folder}=${LOCATION}` : folder;
  const served = await servePostern(application, "unix", { sendFile: entry, ...options.server });
  const relay = await startRelay(served.address);
  const web = await startServer(name, folder, relay.address);
  return {
    web,
    log: served.log,
    get answeredBytes() {
      return relay.answeredBytes;
    },
    async close() {
      await web.stop();
      await relay.close();
      await served.close();
    },
  };
}

function startServer(
  name: OffloadingServer,
  folder: string,
  application: { host: string; port: number } | { unix: string },
): Promise<WebServer> {
  switch (name) {
    case "nginx":
      return startNginx({
        application,
        hostDirectives: `location ${LOCATION} {
          internal;
          alias ${folder}/;
          add_header X-Kept $upstream_http_x_kept;
        }`,
      });
    case "lighttpd":
      return startLighttpd({
        application,
        entries: `"x-sendfile" => "enable", "x-sendfile-docroot" => ( "${folder}" ),`,
      });
    case "apache":
      return startApache({
        application,
        globalDirectives: "LoadModule xsendfile_module /usr/lib/apache2/modules/mod_xsendfile.so",
        directives: `XSendFile On\nXSendFilePath "${folder}"`,
      });
  }
}
