/**
 * What a generated site shows to strangers, behind each web server: no file that is hidden or outside of its folders,
 * nothing without the password, and no application outside of its mount, however the URL is written.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import type { Application } from "../../src/index.ts";
import { type Served, servePostern } from "../support/e2e/served.ts";
import { connectHttp } from "../support/http.ts";
import { temporaryFolder } from "../support/temp.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { describeWithCurrent } from "../support/web-servers/current.ts";
import {
  externalAt,
  type Release,
  type SiteOptions,
  startGenerated,
} from "../support/web-servers/generated.ts";
import type { WebServer } from "../support/web-servers/web-server.ts";

const SERVERS = ["nginx", "apache", "lighttpd", "caddy", "haproxy", "h2o"] as const;
const CURRENT = ["nginx", "lighttpd", "caddy", "haproxy"] as const;
type Server = (typeof SERVERS)[number];

const MOUNT = "/app";
const SECRET = "not for strangers";

const application: Application = (_req, res) => {
  res.end("the application");
};

/** A folder of files, some hidden, beside a file that is nobody's. */
function folders(): { readonly publicFolder: string; readonly beside: string } {
  const place = temporaryFolder("site");
  const publicFolder = join(place, "public");
  for (const name of [".env", ".git/config", "static/.env", "static/deep/.htaccess", "../beside.txt"]) {
    const path = join(publicFolder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, SECRET);
  }
  for (const name of ["a.txt", "static/a.css"]) writeFileSync(join(publicFolder, name), "for everybody");
  return { publicFolder, beside: place };
}

/** `kim:secret`, in the forms that the servers read. */
function passwordsFor(folder: string): string {
  const path = join(folder, "passwords");
  const bcrypt = "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";
  writeFileSync(path, "kim:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
  writeFileSync(`${path}.caddy`, `kim ${bcrypt}\n`);
  writeFileSync(`${path}.cfg`, `userlist yourapplication\n    user kim password ${bcrypt}\n`);
  return path;
}

/** As it is written: clients tidy up what they are given. */
async function ask(web: WebServer, target: string, headers = ""): Promise<{ status: number; text: string }> {
  const connection = await connectHttp(web.origin);
  await connection.send(`GET ${target} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n${headers}\r\n`);
  const text = await connection.waitForEnd(10_000);
  connection.close();
  return { status: Number(/^HTTP\/1\.\d (\d+)/.exec(text)?.[1]), text };
}

function suite(server: Server, release: Release): void {
  async function behind(
    site: Omit<SiteOptions, "application">,
    test: (web: WebServer, served: Served) => Promise<void>,
  ): Promise<void> {
    const served = await servePostern(application, "unix");
    const web = await startGenerated(server, { ...site, application: externalAt(served.address) }, release);
    try {
      await test(web, served);
    } finally {
      await web.stop();
      await served.close();
    }
  }

  it.each(["", MOUNT])(
    "shows no hidden file and nothing outside of its folders (mount %j)",
    async (mount) => {
      const { publicFolder } = folders();
      const statics = [{ url: "/static/", folder: join(publicFolder, "static") }];
      await behind({ mount, publicFolder, statics }, async (web) => {
        const targets = [
          ...[
            "/.env",
            "/%2eenv",
            "/%2Eenv",
            "/./.env",
            "//.env",
            "/x/..//.env",
            "/.git/config",
            "/.git%2fconfig",
          ],
          ...["/.env%00", "/.env%20", "/.env/", "/%0a/.env", "/static/../.env", "/static/%2e%2e/.env"],
          ...[
            "/static/.env",
            "/static/%2Eenv",
            "/static//.env",
            "/static%2f.env",
            "/static/deep%2f.htaccess",
          ],
          ...["/static/deep/.htaccess", "/static/deep/..%2f.env", "/static/..%2f.env", "/static../.env"],
          ...["/../beside.txt", "/%2e%2e/beside.txt", "/..%2fbeside.txt", "/static/../../beside.txt"],
          ...[
            "/static/%2e%2e/%2e%2e/beside.txt",
            "/static/..%2f..%2fbeside.txt",
            "/static/..\\..\\beside.txt",
          ],
          ...[
            "/static../../beside.txt",
            "http://example.com/.env",
            "/static/%252e%252e/%252e%252e/beside.txt",
          ],
        ];
        for (const target of targets) expect((await ask(web, target)).text, target).not.toContain(SECRET);
        for (const target of ["/", "/static/", "/static/deep/"]) {
          expect((await ask(web, target)).text, target).not.toMatch(/a\.css|a\.txt|htaccess/);
        }
        const file = await ask(web, "/static/a.css");
        if (server !== "haproxy") expect(file.text, web.errorLog()).toContain("for everybody");
      });
    },
  );

  it("asks for the password everywhere: files, WebSockets, and URLs that only look different", async () => {
    for (const mount of ["", MOUNT]) {
      const { publicFolder, beside } = folders();
      const site = {
        mount,
        publicFolder,
        statics: [{ url: "/static/", folder: join(publicFolder, "static") }],
        passwords: passwordsFor(beside),
        webSocket: { url: "/ws", address: { kind: "tcp", host: "127.0.0.1", port: 9 } },
      } as const;
      await behind(site, async (web) => {
        const paths = [
          ...[
            "/",
            "//",
            "/app",
            "/app/",
            "/app/x",
            "//app/x",
            "/%61pp/x",
            "/app%2Fx",
            "/app;/x",
            "/app/../app/x",
          ],
          ...[
            "/a.txt",
            "//a.txt",
            "/static/a.css",
            "/%73tatic/a.css",
            "/static%2fa.css",
            "/app?/static/a.css",
          ],
          ...["/ws", "/ws/x", "/.well-known/x", "/yourapplication.fcgi/x", "http://example.com/app/x"],
        ];
        for (const path of paths) {
          for (const headers of [
            "",
            "Upgrade: websocket\r\nConnection: upgrade\r\n",
            "Remote-User: kim\r\n",
          ]) {
            const { status, text } = await ask(web, path, headers);
            // Where there is nothing, both answer 404 before they ask; and HAProxy 400 to half an upgrade.
            const allowed = [401, ...(server === "haproxy" ? [400, 404] : server === "nginx" ? [404] : [])];
            expect(allowed, `${path} ${status}`).toContain(status);
            expect(text).not.toMatch(/the application|for everybody/);
          }
        }
        const login = `Authorization: Basic ${Buffer.from("kim:secret").toString("base64")}\r\n`;
        expect((await ask(web, `${mount}/x`, login)).text).toContain("the application");
      });
    }
  });

  it("passes nothing on that only begins like the mount", async () => {
    await behind({ mount: MOUNT }, async (web) => {
      for (const path of [
        "/appx",
        "/app;x/y",
        "/app%3fx",
        "/app%0a",
        "/APP/x",
        "/app%00",
        "/ap",
        "/x/app/",
      ]) {
        expect((await ask(web, path)).text, path).not.toContain("the application");
      }
      expect((await ask(web, "/app/x")).text).toContain("the application");
    });
  });
}

for (const server of SERVERS) {
  describeWithServer(server, `strangers before a generated site: ${server}, this system's`, () =>
    suite(server, "system"),
  );
}
for (const server of CURRENT) {
  describeWithCurrent(server, `strangers before a generated site: ${server}, the newest`, () =>
    suite(server, "current"),
  );
}
