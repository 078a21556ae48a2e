/**
 * Who vouches for what, through real web servers: users and client certificates with the configurations that
 * docs/identity.md shows, and proxies in front of the web server.
 */
import { X509Certificate } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, readFileSync } from "node:fs";
import https from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { type Application, fastcgi, type GatewayFacts } from "../../src/index.ts";
import { LANGUAGES, makeSite, render } from "../support/deploy-docs.ts";
import { servePostern, withSite } from "../support/e2e/served.ts";
import { request } from "../support/http.ts";
import { type CodeBlock, readDocument } from "../support/markdown.ts";
import { repositoryRoot } from "../support/paths.ts";
import { temporaryFolder } from "../support/temp.ts";
import { describeWithServer, programOf, type ServerName } from "../support/web-servers/available.ts";
import { serverUser, startWebServer, type WebServer } from "../support/web-servers/web-server.ts";

const { blocks } = readDocument("docs/identity.md");
const TLS = join(repositoryRoot, "test", "support", "tls");
const pem = (name: string): string => readFileSync(join(TLS, name), "utf8");

/** Says what the web server vouches for. */
const application: Application = (req, res) => {
  res.setHeader("X-Authorized", String((req.socket as unknown as { authorized: boolean }).authorized));
  res.end(JSON.stringify(fastcgi(req).gateway));
};

/** Runs `test` behind the configuration of the page, word for word but for paths and ports. */
async function behind(block: CodeBlock, test: (web: WebServer) => Promise<void>): Promise<void> {
  const folder = temporaryFolder("identity");
  const run = join(folder, "run");
  mkdirSync(run);
  const user = serverUser();
  if (user !== undefined) {
    chownSync(run, -1, user.gid);
    chmodSync(run, 0o2750);
  }
  const site = join(folder, "www");
  makeSite(site);
  const served = await servePostern(application, "unix", { bind: `unix:${join(run, "app.sock")}` });
  const name = LANGUAGES[block.language] as ServerName;
  const web = await startWebServer({
    name,
    program: programOf(name),
    version: "",
    mount: "",
    documentRoot: join(site, "public"),
    reloadSignal: "SIGHUP",
    readyLine: /./,
    prepare: (place) => {
      const { files, run: args } = render(block, { ...place, run, site, tcpPort: 1 });
      return { files, args };
    },
  });
  try {
    await test(web);
  } finally {
    await web.stop();
    await served.close();
  }
}

function marked(language: string, what: string): CodeBlock {
  const found = blocks.find(
    (block) => block.language === language && block.info.includes(`identifies=${what}`),
  );
  if (found === undefined) throw new Error(`docs/identity.md shows no ${what} for ${language}`);
  return found;
}

const basic = (login: string): { Authorization: string } => ({
  Authorization: `Basic ${Buffer.from(login).toString("base64")}`,
});

for (const language of ["nginx", "apache", "lighttpd"] as const) {
  describeWithServer(language, `users of ${language}`, () => {
    it("are asked for their password by the web server, and known to the application", async () => {
      await behind(marked(language, "user"), async (web) => {
        expect((await request(web.url)).status).toBe(401);
        expect((await request(web.url, { headers: basic("kim:wrong") })).status).toBe(401);
        const page = await request(`${web.url}/x`, { headers: basic("kim:secret") });
        expect([page.status, web.errorLog()]).toEqual([200, expect.anything()]);
        const facts = JSON.parse(page.text) as GatewayFacts;
        expect([facts.remoteUser, facts.remoteAddress, facts.https]).toEqual(["kim", "127.0.0.1", false]);
        expect(facts.clientCertificate).toBeUndefined();
      });
    });
  });
}

/** One request over TLS, with a certificate or without. */
async function secure(
  web: WebServer,
  who?: string,
): Promise<{ status: number; facts: GatewayFacts; proof: string }> {
  const own = who === undefined ? {} : { cert: pem(`${who}.pem`), key: pem(`${who}.key`) };
  return new Promise((resolve, reject) => {
    const options = {
      host: "127.0.0.1",
      port: web.port,
      path: "/x",
      rejectUnauthorized: false,
      agent: false,
    };
    const outgoing = https.get({ ...options, ...own, servername: "example.com" }, (answer) => {
      text(answer).then((body) => {
        const isOk = answer.statusCode === 200;
        resolve({
          status: answer.statusCode ?? 0,
          facts: (isOk ? JSON.parse(body) : {}) as GatewayFacts,
          proof: String(answer.headers["x-authorized"]),
        });
      }, reject);
    });
    outgoing.once("error", reject);
  });
}

for (const language of ["nginx", "apache"] as const) {
  describeWithServer(language, `client certificates of ${language}`, () => {
    it("are verified by the web server, and known to the application", async () => {
      await behind(marked(language, "certificate"), async (web) => {
        const { status, facts, proof } = await secure(web, "kim");
        expect([status, proof]).toEqual([200, "true"]);
        const certificate = facts.clientCertificate!;
        expect(certificate).toMatchObject({ verify: "SUCCESS", isVerified: true });
        expect(certificate.subject).toMatch(/CN=kim/);
        expect(certificate.issuer).toMatch(/CN=Authority of tests/);
        expect(new X509Certificate(certificate.pem!).fingerprint256).toBe(
          new X509Certificate(pem("kim.pem")).fingerprint256,
        );
        expect(certificate.serial?.toUpperCase()).toBe(new X509Certificate(pem("kim.pem")).serialNumber);
        expect([facts.https, facts.scheme]).toEqual([true, "https"]);
        expect(facts.tls?.protocol).toMatch(/^TLSv1\.[23]$/);
        expect(facts.tls?.cipher).toMatch(/\w/);
      });
    });

    it("are not there without one", async () => {
      await behind(marked(language, "certificate"), async (web) => {
        const { facts, proof } = await secure(web);
        expect([facts.https, facts.clientCertificate, proof]).toEqual([true, undefined, "false"]);
      });
    });

    it("that nobody has signed prove nothing", async () => {
      await behind(marked(language, "certificate"), async (web) => {
        // nginx answers 400 itself; Apache ends the handshake.
        const outcome = await secure(web, "stranger").then(
          ({ status, facts }) => (status === 200 ? facts.clientCertificate?.isVerified : "refused"),
          () => "refused",
        );
        expect(outcome).toBe("refused");
      });
    });
  });
}

describeWithServer("nginx", "proxies in front of nginx", () => {
  const SITE = { web: "nginx", mount: "/m", transport: "unix" } as const;
  const seen: Application = {
    fetch: (request, { gateway, params }) =>
      Response.json({
        url: request.url,
        ip: (request as Request & { ip: string }).ip,
        by: gateway.forwardedBy,
        https: gateway.https,
        sent: params["REMOTE_ADDR"],
      }),
  };
  const FORWARDED = {
    Host: "inner.example",
    "X-Forwarded-For": "198.51.100.9, 192.0.2.7, 127.0.0.9",
    "X-Forwarded-Proto": "http, https, http",
    "X-Forwarded-Host": "www.example.com",
  };

  it("are not believed by default", async () => {
    await withSite(SITE, seen, async ({ web }) => {
      const { text: body } = await request(`${web.url}/x`, { headers: FORWARDED });
      expect(JSON.parse(body)).toMatchObject({ ip: "127.0.0.1", https: false, sent: "127.0.0.1" });
      expect(body).not.toMatch(/www\.example\.com|192\.0\.2/);
    });
  });

  it("are believed as far as trustProxy names them", async () => {
    await withSite({ ...SITE, server: { trustProxy: "loopback" } }, seen, async ({ web }) => {
      const { text: body } = await request(`${web.url}/x`, { headers: FORWARDED });
      expect(JSON.parse(body)).toEqual({
        url: "https://www.example.com/m/x",
        ip: "192.0.2.7",
        by: "127.0.0.1",
        https: true,
        sent: "127.0.0.1",
      });
      const plain = await request(`${web.url}/x`, { headers: { "X-Forwarded-For": "unknown" } });
      expect(JSON.parse(plain.text)).toMatchObject({ ip: "127.0.0.1", https: false });
    });
  });

  it("are seen through by Node's sockets, too", async () => {
    const listener: Application = (req, res) => {
      const { remoteAddress, remotePort } = req.socket;
      res.end(
        JSON.stringify([
          remoteAddress,
          remotePort ?? null,
          (req.socket as { encrypted?: boolean }).encrypted,
        ]),
      );
    };
    await withSite({ ...SITE, server: { trustProxy: ["127.0.0.0/8"] } }, listener, async ({ web }) => {
      const headers = { "X-Forwarded-For": "[2001:db8::7]:5555", "X-Forwarded-Proto": "https" };
      expect(JSON.parse((await request(web.url, { headers })).text)).toEqual(["2001:db8::7", 5555, true]);
    });
  });
});

describe("docs/identity.md", () => {
  it("shows a tested configuration for every web server", () => {
    expect(blocks.filter(({ info }) => info.includes("identifies=")).length).toBe(5);
  });
});
