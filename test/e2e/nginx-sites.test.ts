/** nginx, this machine's and the newest, run from the configuration that `postern config nginx` writes. */
import { X509Certificate } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import https from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { type Application, fastcgi, type GatewayFacts, type ServerOptions } from "../../src/index.ts";
import { checkConfiguration, generateSite } from "../../src/sites/index.ts";
import { type Served, servePostern } from "../support/e2e/served.ts";
import { open, serveApplication } from "../support/e2e/websocket-sites.ts";
import { connectHttp, request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { run } from "../support/process.ts";
import { plainSite } from "../support/sites-table.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { describeWithCurrent } from "../support/web-servers/current.ts";
import {
  commandOf,
  externalAt,
  type Release,
  type SiteOptions,
  startGenerated,
} from "../support/web-servers/generated.ts";
import { serverUser, type WebServer } from "../support/web-servers/web-server.ts";

const TLS = join(repositoryRoot, "test", "support", "tls");
const pem = (name: string): string => readFileSync(join(TLS, name), "utf8");

/** Tells what arrived. */
const mirror: Application = (req, res) => {
  const { params, gateway } = fastcgi(req);
  res.setHeader("Content-Type", "application/json");
  res.end(JSON.stringify({ url: req.url, mount: fastcgi(req).params["SCRIPT_NAME"], params, gateway }));
};

interface Seen {
  readonly url: string;
  readonly params: Readonly<Record<string, string>>;
  readonly gateway: GatewayFacts;
}

const seen = ({ text: body }: { readonly text: string }): Seen => JSON.parse(body) as Seen;

interface Options extends Omit<SiteOptions, "application"> {
  readonly server?: ServerOptions;
}

type Test = (both: { readonly web: WebServer; readonly served: Served }) => Promise<void>;

const basic = (login: string): { Authorization: string } => ({
  Authorization: `Basic ${Buffer.from(login).toString("base64")}`,
});

/** A document root with files that are for visitors, and some that are not. */
function publicFolder(): string {
  const folder = temporaryFolder("p");
  for (const below of ["app", "static/empty", ".git", ".well-known", "static/.git"]) {
    mkdirSync(join(folder, below), { recursive: true });
  }
  for (const name of [
    "file.txt",
    "app/file.txt",
    ".env",
    ".git/config",
    ".well-known/security.txt",
    "static/style.css",
    "static/.git/config",
  ]) {
    writeFileSync(join(folder, name), `the file ${name}`);
  }
  return folder;
}

function suite(release: Release): void {
  async function behind(application: Application, { server, ...site }: Options, test: Test): Promise<void> {
    const served = await servePostern(application, "unix", server);
    try {
      const web = await startGenerated(
        "nginx",
        { ...site, application: externalAt(served.address) },
        release,
      );
      try {
        await test({ web, served });
      } finally {
        await web.stop();
      }
    } finally {
      await served.close();
    }
  }

  it("tells the application its mount, with and without the slash, and keeps what only begins like it", async () => {
    await behind(mirror, { mount: "/app", publicFolder: undefined }, async ({ web }) => {
      const at = async (path: string) => {
        const { status, text: body } = await request(web.origin + path);
        return status === 200
          ? [(JSON.parse(body) as Seen).params["SCRIPT_NAME"], (JSON.parse(body) as Seen).url]
          : status;
      };
      expect(await at("/app/a%2Fb//c?d")).toEqual(["/app", "/a%2Fb//c?d"]);
      expect(await at("/app/")).toEqual(["/app", "/"]);
      expect(await at("/app")).toEqual(["/app", "/"]);
      expect(await at("/app?x")).toEqual(["/app", "/?x"]);
      expect(await at("/app/line%0Abreak")).toEqual(["/app", "/line%0Abreak"]);
      expect([await at("/appx"), await at("/"), await at("/other")]).toEqual([404, 404, 404]);
      const posted = await request(`${web.origin}/app`, { body: "x" });
      expect(seen(posted).params["REQUEST_METHOD"]).toBe("POST");
    });
  });

  it("sends the host with its port, and no setting or user that a visitor makes up", async () => {
    await behind(mirror, {}, async ({ web }) => {
      const headers = { ...basic("admin:x"), Proxy: "http://evil/" };
      const { params, gateway } = seen(await request(`${web.url}/x`, { headers }));
      expect(params["HTTP_HOST"]).toBe(`127.0.0.1:${web.port}`);
      expect(params["HTTP_AUTHORIZATION"]).toBe(headers.Authorization);
      expect(params["HTTP_PROXY"] || undefined).toBeUndefined();
      expect(gateway).toMatchObject({
        host: `127.0.0.1:${web.port}`,
        scheme: "http",
        https: false,
        remoteAddress: "127.0.0.1",
        serverName: "example.com",
        serverPort: web.port,
        serverSoftware: `nginx/${web.version}`,
      });
      expect([gateway.remoteUser, gateway.authType]).toEqual([undefined, undefined]);
      expect(gateway.requestId).toMatch(/^[0-9a-f]{32}$/);
      // The port is the visitor's, the name is checked: of an absolute target, not of the header beside it.
      const other = seen(await request(`${web.url}/`, { headers: { Host: "example.com:8443" } }));
      expect(other.params["HTTP_HOST"]).toBe("example.com:8443");
      const connection = await connectHttp(web.origin);
      await connection.send(
        "GET http://example.com/x HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
      );
      const response = await connection.nextResponse();
      expect((JSON.parse(response.body.toString()) as Seen).params["HTTP_HOST"]).toBe("example.com");
    });
  });

  it("sends files before it asks the application, but none that begin with a dot, and no lists", async () => {
    const folder = publicFolder();
    const site = { publicFolder: folder, statics: [{ url: "/static/", folder: join(folder, "static") }] };
    const asked: Application = (_, res) => res.end("the application");
    await behind(asked, site, async ({ web }) => {
      const at = async (path: string): Promise<string> => (await request(web.origin + path)).text;
      expect(await at("/file.txt")).toBe("the file file.txt");
      expect(await at("/.well-known/security.txt")).toBe("the file .well-known/security.txt");
      for (const path of ["/", "/app", "/app/", "/.env", "/.git/config", "/%2Egit/config", "/a/../.env"]) {
        expect([path, await at(path)]).toEqual([path, "the application"]);
      }
      const style = await request(`${web.origin}/static/style.css`);
      expect([style.text, style.headers["content-type"]]).toEqual(["the file static/style.css", "text/css"]);
      for (const path of ["/static/.git/config", "/static/gone", "/static/../.env"]) {
        expect([path, await at(path)]).not.toEqual([path, expect.stringContaining("the file")]);
      }
      expect((await request(`${web.origin}/static/.git/config`)).status).toBe(404);
      expect((await request(`${web.origin}/static/empty/`)).status).toBe(403);
    });
    await behind(asked, { ...site, mount: "/app" }, async ({ web }) => {
      const at = async (path: string): Promise<string> => (await request(web.origin + path)).text;
      expect(await at("/file.txt")).toBe("the file file.txt");
      expect(await at("/app/file.txt")).toBe("the file app/file.txt");
      expect(await at("/app/other")).toBe("the application");
      for (const path of ["/.env", "/.git/config", "/", "/static/"]) {
        const { status } = await request(web.origin + path);
        expect([path, status]).toEqual([path, expect.toSatisfy((code) => code === 403 || code === 404)]);
      }
    });
  });

  it("asks for a password where it is to, and then the user is proved", async () => {
    const folder = temporaryFolder("pw");
    const passwords = join(folder, "pass words $1");
    writeFileSync(passwords, "kim:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    await behind(mirror, { passwords }, async ({ web }) => {
      expect((await request(web.url)).status).toBe(401);
      expect((await request(web.url, { headers: basic("kim:wrong") })).status).toBe(401);
      const { gateway } = seen(await request(web.url, { headers: basic("kim:secret") }));
      expect([gateway.remoteUser, gateway.authType]).toEqual(["kim", "Basic"]);
    });
  });

  it("speaks TLS, and tells of the certificate that a visitor shows", async () => {
    const folder = temporaryFolder("tls");
    const copy = (name: string): string => {
      writeFileSync(join(folder, name), pem(name));
      return join(folder, name);
    };
    const tls = { certificate: copy("server.pem"), key: copy("server.key"), clientCa: copy("clients.pem") };
    await behind(mirror, { tls }, async ({ web }) => {
      const ask = (who?: string): Promise<Seen> =>
        new Promise((resolve, reject) => {
          const own = who === undefined ? {} : { cert: pem(`${who}.pem`), key: pem(`${who}.key`) };
          const to = {
            host: "127.0.0.1",
            port: web.port,
            path: "/x",
            agent: false,
            servername: "example.com",
          };
          https
            .get({ ...to, ...own, rejectUnauthorized: false }, (answer) => {
              text(answer).then((body) => resolve(JSON.parse(body) as Seen), reject);
            })
            .once("error", reject);
        });
      const known = (await ask("kim")).gateway;
      expect([known.https, known.scheme, known.tls?.serverName]).toEqual([true, "https", "example.com"]);
      expect(known.clientCertificate).toMatchObject({ verify: "SUCCESS", isVerified: true });
      expect(known.clientCertificate?.subject).toMatch(/CN=kim/);
      expect(new X509Certificate(known.clientCertificate?.pem ?? "").fingerprint256).toBe(
        new X509Certificate(pem("kim.pem")).fingerprint256,
      );
      expect(known.clientCertificate?.notAfter).toMatch(/\d{4}/);
      expect((await ask()).gateway.clientCertificate).toBeUndefined();
    });
  });

  it("sends files that the application names, and lets no visitor ask for them", async () => {
    const folder = join(temporaryFolder("f"), "fi les$x");
    mkdirSync(folder);
    writeFileSync(join(folder, "a b.txt"), "for you only");
    const user = serverUser();
    chmodSync(folder, 0o755);
    if (user) chownSync(folder, user.uid, user.gid);
    const application: Application = (_, res) => {
      res.setHeader("X-Accel-Redirect", "/protected/a%20b.txt");
      res.setHeader("X-Content-Type-Options", "nosniff");
      res.end();
    };
    await behind(application, { sendFile: [{ folder, url: "/protected/" }] }, async ({ web }) => {
      const page = await request(`${web.url}/report`);
      expect([page.text, page.headers["x-content-type-options"]]).toEqual(["for you only", "nosniff"]);
      expect((await request(`${web.origin}/protected/a%20b.txt`)).status).toBe(404);
    });
  });

  it("refuses larger bodies than it is told to, and passes those that fit", async () => {
    const size: Application = (req, res) => {
      let bytes = 0;
      req.on("data", (piece: Buffer) => {
        bytes += piece.length;
      });
      req.on("end", () => res.end(String(bytes)));
    };
    await behind(size, { maxBodyBytes: 100_000 }, async ({ web }) => {
      expect((await request(web.url, { body: "x".repeat(100_000) })).text).toBe("100000");
      expect((await request(web.url, { body: "x".repeat(100_001) })).status).toBe(413);
    });
  });

  it("takes answers with large heads", async () => {
    const large: Application = (_, res) => {
      res.setHeader("X-Large", "x".repeat(15_000));
      res.end("there");
    };
    await behind(large, {}, async ({ web }) => expect((await request(web.url)).text).toBe("there"));
  });

  it("shares requests among several backends", async () => {
    const named =
      (name: string): Application =>
      (_, res) =>
        void res.end(name);
    const one = await servePostern(named("one"));
    const two = await servePostern(named("two"), "tcp");
    try {
      const application = externalAt(one.address, two.address);
      const web = await startGenerated("nginx", { application, isKeptAlive: true }, release);
      try {
        const answers = new Set<string>();
        for (let at = 0; at < 4; at++) answers.add((await request(web.url)).text);
        expect([...answers].sort()).toEqual(["one", "two"]);
      } finally {
        await web.stop();
      }
    } finally {
      await one.close();
      await two.close();
    }
  });

  it.each([
    ["below a path of their own", "/echo"],
    ["anywhere", ""],
  ])("passes WebSockets on to the side listener: %s", { timeout: patience(90_000) }, async (_, url) => {
    const place = temporaryFolder("w");
    const user = serverUser();
    if (user) chownSync(place, user.uid, user.gid);
    const side = join(place, "ws.sock");
    const app = join(repositoryRoot, "test", "compat", "websocket", "app.js");
    const { application, socket } = await serveApplication(app, ["--ws-http", `unix:${side}`]);
    try {
      const web = await startGenerated(
        "nginx",
        {
          application: externalAt({ unix: socket }),
          webSocket: { url, address: { kind: "unix", path: side } },
        },
        release,
      );
      try {
        const client = await open(`${web.url}/echo`);
        client.socket.send("hello");
        expect(await client.next()).toBe("hello");
        client.socket.close();
        await client.closed;
        // What is no upgrade goes to the application over FastCGI, there and elsewhere.
        expect((await request(`${web.url}/pid`)).text).toMatch(/^\d+$/);
        expect((await request(`${web.url}/echo/pid`)).status).not.toBe(426);
      } finally {
        await web.stop();
      }
    } finally {
      await application.stop();
    }
  });

  it("reads in what nginx -T prints of it, and finds nothing", async () => {
    await behind(mirror, { mount: "/app", isKeptAlive: true }, async ({ web, served }) => {
      const { program, args } = commandOf("nginx", release);
      const path = join(web.folder, "nginx.conf");
      const printed = await run(program, [...args, "-T", "-p", web.folder, "-c", path, "-e", "stderr"]);
      expect(printed.stdout).toContain(`# configuration file ${path}:`);
      const address = served.server.addresses[0] ?? "";
      const expected = {
        addresses: [{ kind: "unix", path: address.replace("unix:", "") }],
        mount: "/app",
        maxBodyBytes: 0,
        sendFile: [],
      } as const;
      expect(checkConfiguration("nginx", printed.stdout, expected)).toEqual([]);
    });
  });

  it("stands beside another site in the same nginx", async () => {
    const folder = temporaryFolder("two");
    const { program, args } = commandOf("nginx", release);
    const parts = ["shop", "wiki"].map((name) => {
      const site = plainSite(folder, {
        name,
        serverNames: [`${name}.example`],
        publicFolder: `${folder}/$${name}`,
        standalone: undefined,
      });
      const file = join(folder, `${name}.conf`);
      writeFileSync(file, generateSite("nginx", site).files[0]?.text ?? "");
      return `include ${file};`;
    });
    const main = join(folder, "nginx.conf");
    writeFileSync(main, `pid ${folder}/pid;\nevents { }\nhttp { access_log off;\n${parts.join("\n")}\n}\n`);
    const { code, stderr } = await run(program, [...args, "-t", "-p", folder, "-c", main, "-e", "stderr"]);
    expect([code, stderr.match(/\[(?:warn|emerg)\].*/g)]).toEqual([0, null]);
  });
}

describeWithServer("nginx", "nginx, this system's", () => suite("system"));
describeWithCurrent("nginx", "nginx, the newest", () => suite("current"));
