/**
 * Caddy, HAProxy and h2o, this machine's and the newest, run from the configurations that `postern config` writes: who
 * vouches for what, WebSocket, several addresses, limits, names that are hard to write.
 */
import { X509Certificate } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type Application, fastcgi, type GatewayFacts } from "../../src/index.ts";
import { generateSite, type Site } from "../../src/sites/index.ts";
import {
  basic,
  behindGenerated,
  describeSite,
  prepareFiles,
  requestOverTls,
  type Startable,
  TLS,
} from "../support/e2e/generated-sites.ts";
import { gate, servePostern } from "../support/e2e/served.ts";
import { open, serveApplication } from "../support/e2e/websocket-sites.ts";
import { connectHttp, request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { run } from "../support/process.ts";
import { plainSite } from "../support/sites-table.ts";
import { temporaryFolder } from "../support/temp.ts";
import { programOf } from "../support/web-servers/available.ts";
import { externalAt, type Release, startGenerated } from "../support/web-servers/generated.ts";
import { serverUser } from "../support/web-servers/web-server.ts";

const SITES: readonly (readonly [Startable, Release])[] = [
  ["caddy", "system"],
  ["caddy", "current"],
  ["haproxy", "system"],
  ["haproxy", "current"],
  ["h2o", "system"],
];

/** `kim`, whose password is `secret`. */
const PASSWORD_LINE = {
  bcrypt: "kim:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n",
  sha1: "kim:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n",
};

/** Says what the web server vouches for, and what the visitor says. */
const facts: Application = (req, res) => {
  res.end(JSON.stringify({ ...fastcgi(req).gateway, said: req.headers.authorization, url: req.url }));
};

interface Seen extends GatewayFacts {
  readonly said?: string;
  readonly url: string;
}

const seen = (body: string): Seen => JSON.parse(body) as Seen;

/** Certificates where the web server's user may read them. */
function tlsFiles(): { certificate: string; key: string; clientCa: string } {
  const folder = temporaryFolder("tls");
  for (const name of ["server.pem", "server.key", "clients.pem"]) {
    writeFileSync(join(folder, name), readFileSync(join(TLS, name)));
    chmodSync(join(folder, name), 0o644);
  }
  const at = (name: string): string => join(folder, name);
  return { certificate: at("server.pem"), key: at("server.key"), clientCa: at("clients.pem") };
}

for (const [server, release] of SITES) {
  describeSite(server, release, "and who the visitor is", () => {
    it("passes Authorization on, and takes nobody's word for a user", async () => {
      await behindGenerated(server, release, facts, {}, async ({ web }) => {
        const page = seen((await request(`${web.url}/x`, { headers: basic("root:guess") })).text);
        expect([page.said, page.remoteUser, page.authType]).toEqual([
          basic("root:guess").Authorization,
          undefined,
          undefined,
        ]);
        const token = 'Digest username="root", realm="a", nonce="b"';
        expect(
          seen((await request(`${web.url}/x`, { headers: { Authorization: token } })).text),
        ).toMatchObject({
          said: token,
        });
        expect(seen((await request(`${web.url}/x`)).text).said).toBeUndefined();
      });
    });

    it("asks for passwords, and says who has given the right one", async () => {
      const passwords = join(temporaryFolder("pw"), "passwords");
      writeFileSync(passwords, PASSWORD_LINE[server === "h2o" ? "sha1" : "bcrypt"], { mode: 0o644 });
      await prepareFiles(server, { passwords });
      await behindGenerated(server, release, facts, { passwords }, async ({ web }) => {
        const nobody = await request(`${web.url}/x`);
        expect([nobody.status, nobody.headers["www-authenticate"]]).toEqual([
          401,
          expect.stringMatching(/^Basic/),
        ]);
        expect((await request(`${web.url}/x`, { headers: basic("kim:guess") })).status).toBe(401);
        const page = await request(`${web.url}/x`, { headers: basic("kim:secret") });
        expect(page.status, web.errorLog()).toBe(200);
        expect(seen(page.text).remoteUser).toBe("kim");
      });
    });

    it("does not let a visitor say what only the web server may", async () => {
      const headers = {
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "https",
        "Remote-User": "root",
        REMOTE_USER: "root",
        "SSL-Client-Verify": "SUCCESS",
        SSL_CLIENT_VERIFY: "SUCCESS",
        HTTPS: "on",
      };
      await behindGenerated(server, release, facts, {}, async ({ web }) => {
        const page = seen((await request(`${web.url}/x`, { headers })).text);
        expect([page.remoteAddress, page.https, page.remoteUser, page.clientCertificate]).toEqual([
          "127.0.0.1",
          false,
          undefined,
          undefined,
        ]);
      });
    });
  });

  describeSite(server, release, "with TLS", () => {
    const files = (): ReturnType<typeof tlsFiles> => tlsFiles();

    it("tells the application that it is there", async () => {
      const tls = { ...files(), clientCa: undefined };
      await prepareFiles(server, { tls });
      await behindGenerated(server, release, facts, { tls }, async ({ web }) => {
        const { status, body } = await requestOverTls(web, "/x");
        expect(status, web.errorLog()).toBe(200);
        expect([seen(body).https, seen(body).clientCertificate]).toEqual([true, undefined]);
        if (server !== "h2o") expect(seen(body).tls?.protocol).toMatch(/TLSv?1\.[23]$/i);
      });
    });

    if (server === "h2o") return;

    it("tells who has shown a certificate, of which only the web server can speak", async () => {
      const tls = files();
      await prepareFiles(server, { tls });
      await behindGenerated(server, release, facts, { tls }, async ({ web }) => {
        const kim = await requestOverTls(web, "/x", "kim");
        expect(kim.status, web.errorLog()).toBe(200);
        const certificate = seen(kim.body).clientCertificate!;
        const own = new X509Certificate(readFileSync(join(TLS, "kim.pem")));
        expect(certificate).toMatchObject({ verify: "SUCCESS", isVerified: true });
        expect(new X509Certificate(certificate.pem!).fingerprint256).toBe(own.fingerprint256);
        expect([certificate.subject, certificate.issuer]).toEqual([
          expect.stringMatching(/CN=kim/),
          expect.stringMatching(/CN=Authority of tests/),
        ]);
        const serial = certificate.serial ?? "";
        const isDecimal = server === "caddy";
        expect(BigInt(isDecimal ? serial : `0x${serial}`)).toBe(BigInt(`0x${own.serialNumber}`));
        const { status, body } = await requestOverTls(web, "/x");
        expect([status, seen(body).clientCertificate]).toEqual([200, undefined]);
        const stranger = await requestOverTls(web, "/x", "stranger").then(
          ({ status: outcome }) => outcome,
          () => "refused",
        );
        expect(stranger).toBe("refused");
      });
    });
  });

  describeSite(server, release, "and its limits", () => {
    it("answers 413 for a body that is larger than allowed, and 404 outside of the mount", async () => {
      const mount = "/yourapplication";
      const options = { mount, maxBodyBytes: 10_000, server: server === "h2o" ? { base: mount } : {} };
      await behindGenerated(server, release, facts, options, async ({ web }) => {
        expect((await request(`${web.url}/x`, { body: "x".repeat(10_001) })).status).toBe(413);
        expect((await request(`${web.url}/x`, { body: "x".repeat(10_000) })).status).toBe(200);
        for (const path of ["/", "/yourapplicationx", "/your", "/yourapplication.x/y"]) {
          expect((await request(web.origin + path)).status, path).toBe(404);
        }
        expect(seen((await request(`${web.url}?q`)).text).url).toBe("/?q");
        expect(seen((await request(`${web.url}/a%2Fb//c`)).text).url).toBe("/a%2Fb//c");
      });
    });

    it("passes pieces of an event stream on as they come, for longer than the application may be silent", async () => {
      const { opened, open: goOn } = gate();
      const events: Application = async (_req, res) => {
        res.setHeader("Content-Type", "text/event-stream");
        // By the clock, which is what the web server's limit goes by: longer than two seconds in all, never silent for long.
        for (let count = 0; count < 8; count++) {
          res.write(`data: ${count}\n\n`);
          await new Promise((resolve) => setTimeout(resolve, 300));
        }
        await opened;
        res.end("data: last\n\n");
      };
      await behindGenerated(server, release, events, { timeoutSeconds: 2 }, async ({ web }) => {
        const client = await connectHttp({ host: "127.0.0.1", port: web.port });
        await client.send("GET /events HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
        await client.waitForText(/data: 7/, 20_000);
        goOn();
        expect(await client.waitForEnd()).toMatch(/data: last/);
      });
    });
  });

  describeSite(server, release, "and files", () => {
    const folder = (): string => {
      const made = temporaryFolder("a folder of 'files'");
      mkdirSync(join(made, "deep"));
      writeFileSync(join(made, "deep", "a.txt"), "from disk", { mode: 0o644 });
      writeFileSync(join(made, ".env"), "secret", { mode: 0o644 });
      return made;
    };

    it("sends those below --static by itself, if it can", async () => {
      const statics = [{ url: "/static/", folder: folder() }];
      await behindGenerated(server, release, facts, { statics }, async ({ web }) => {
        const file = await request(`${web.origin}/static/deep/a.txt`);
        if (server === "haproxy") expect(seen(file.text).url).toBe("/static/deep/a.txt");
        else expect(file.text, web.errorLog()).toBe("from disk");
        if (server === "caddy") expect((await request(`${web.origin}/static/.env`)).status).toBe(404);
        expect(seen((await request(`${web.origin}/staticx/a`)).text).url).toBe("/staticx/a");
      });
    });

    it("sends those of --root before the application is asked, if it can", async () => {
      await behindGenerated(server, release, facts, { publicFolder: folder() }, async ({ web }) => {
        const file = await request(`${web.origin}/deep/a.txt`);
        if (server === "caddy") expect(file.text).toBe("from disk");
        else expect(seen(file.text).url).toBe("/deep/a.txt");
        for (const path of ["/", "/deep/", "/.env", "/%2Eenv", "/nothing"]) {
          expect(seen((await request(web.origin + path)).text).url, path).toBe(path);
        }
      });
    });
  });

  describeSite(server, release, "and addresses", () => {
    it("shares requests among several, and leaves out one that is not there", async () => {
      const name =
        (word: string): Application =>
        (_req, res) =>
          void res.end(word);
      const [one, two, gone] = [
        await servePostern(name("one")),
        await servePostern(name("two"), "tcp"),
        await servePostern(name("gone")),
      ];
      await gone.close();
      const application = externalAt(one.address, two.address, gone.address);
      if (server === "h2o") {
        await expect(startGenerated(server, { application }, release)).rejects.toThrow(/one address/);
      } else {
        const web = await startGenerated(server, { application }, release);
        const answers = new Set<string>();
        for (let count = 0; count < 12; count++) answers.add((await request(web.url)).text);
        expect([...answers].sort()).toEqual(["one", "two"]);
        await web.stop();
      }
      await one.close();
      await two.close();
    });

    it("reaches a socket whose name is hard to write", async () => {
      const user = serverUser();
      const folder = temporaryFolder('it\'s "so" #1');
      const bind = `unix:${join(folder, "a b%c,d=e.sock")}`;
      const options = { server: { bind, ...(user ? { group: user.gid } : {}) } };
      await behindGenerated(server, release, facts, options, async ({ web }) => {
        const page = await request(`${web.url}/x`);
        expect(page.status, web.errorLog()).toBe(200);
      });
    });

    it("mounts at a path that is hard to write", async () => {
      const mount = '/it\'s."so"(1)+$[x]{1}|é';
      const options = { mount, server: server === "h2o" ? { base: encodeURI(mount) } : {} };
      await behindGenerated(server, release, facts, options, async ({ web }) => {
        const page = await request(`${web.origin}${encodeURI(mount)}/a%20b`);
        expect(page.status, web.errorLog()).toBe(200);
        expect([seen(page.text).url, seen(page.text).pathInfo]).toEqual([
          "/a%20b",
          expect.stringMatching(/\/a b$/),
        ]);
        expect((await request(`${web.origin}/it's_/x`)).status).toBe(404);
      });
    });
  });

  describeSite(server, release, "and WebSocket", () => {
    it("passes it to the side listener by HTTP, and other requests to FastCGI", async () => {
      const app = join(repositoryRoot, "test", "compat", "websocket", "app.js");
      const side = join(temporaryFolder("side"), "ws.sock");
      const flags = ["--workers", "1", "--ws-http", `unix:${side}`];
      const { application, socket } = await serveApplication(app, flags);
      const webSocket = { url: "/echo", address: { kind: "unix", path: side } } as const;
      const site = { application: externalAt({ unix: socket }), webSocket };
      const web = await startGenerated(server, site, release);
      const client = await open(`${web.url}/echo`);
      client.socket.send("hello");
      expect(await client.next()).toBe("hello");
      client.socket.terminate();
      expect((await request(`${web.url}/observed?id=x`)).text).toBe("[]");
      await web.stop();
      await application.stop();
    });
  });
}

describeSite("caddy", "system", "and a Caddyfile that imports the site", () => {
  it("takes it beside others", async () => {
    const made = generateSite("caddy", installedSite());
    const folder = temporaryFolder("conf.d");
    writeFileSync(join(folder, "a.caddy"), made.files[0]?.text ?? "");
    writeFileSync(join(folder, "Caddyfile"), "http://other.com {\n\trespond other\n}\nimport *.caddy\n");
    const args = ["validate", "--config", join(folder, "Caddyfile"), "--adapter", "caddyfile"];
    const env = { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder };
    const { code, stderr } = await run(programOf("caddy"), args, { env });
    expect(code, stderr).toBe(0);
  });
});

for (const release of ["system", "current"] as const) {
  describeSite("haproxy", release, "and the error stream of a request", () => {
    it("survives a line that comes when nothing else does", async () => {
      const [begun, written] = [gate(), gate()];
      const noting: Application = async (req, res) => {
        fastcgi(req).stderr.write("a note\n", () => begun.open());
        await written.opened;
        res.end("answered");
      };
      await behindGenerated("haproxy", release, noting, {}, async ({ web, served }) => {
        const page = request(`${web.url}/`);
        await begun.opened;
        // A second request proves that HAProxy has read what came before it, and lives.
        const other = request(`${web.url}/`);
        written.open();
        expect([(await page).text, (await other).text], web.errorLog()).toEqual(["answered", "answered"]);
        const noted = served.log.filter(({ message }) => message === "a note");
        expect(noted.length).toBe(web.version.startsWith("2.") ? 2 : 0);
      });
    });
  });
}

describeSite("haproxy", "system", "and the distribution's configuration", () => {
  it("takes the site beside it without a warning", async () => {
    const made = generateSite("haproxy", installedSite());
    const folder = temporaryFolder("conf.d");
    const [own, site] = [join(folder, "haproxy.cfg"), join(folder, "site.cfg")];
    writeFileSync(
      own,
      "global\n    log stderr format raw daemon\ndefaults\n    mode tcp\n    timeout server 1\n",
    );
    writeFileSync(site, made.files[0]?.text ?? "");
    const { code, stderr } = await run(programOf("haproxy"), ["-c", "-f", own, "-f", site]);
    expect([code, stderr.includes("WARNING") ? stderr : ""]).toEqual([0, ""]);
  });
});

/** As it is installed: for the names of the site, with everything these two servers can. */
function installedSite(): Site {
  return plainSite("/srv/site", {
    standalone: undefined,
    listen: { host: undefined, port: 80 },
    serverNames: ["example.com", "*.example.org"],
    mount: "/yourapplication",
    webSocket: { url: "/yourapplication/ws", address: { kind: "unix", path: "/run/ws.sock" } },
    isStreaming: true,
  });
}
