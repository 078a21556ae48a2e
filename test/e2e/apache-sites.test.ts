/**
 * Apache with configurations that `postern config apache` makes: what is particular to Apache. What all web servers have
 * in common is tested for all of them together.
 */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import https from "node:https";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { type Application, fastcgi } from "../../src/index.ts";
import { checkConfiguration, generateSite, type Site } from "../../src/sites/index.ts";
import { type Served, servePostern } from "../support/e2e/served.ts";
import { makeProgram } from "../support/e2e/spawned-program.ts";
import { connectHttp, request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { temporaryFolder } from "../support/temp.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { externalAt, type SiteOptions, startGenerated } from "../support/web-servers/generated.ts";
import {
  type FastCgiAddress,
  giveToServerGroup,
  startWebServer,
  type WebServer,
} from "../support/web-servers/web-server.ts";

const TLS = join(repositoryRoot, "test", "support", "tls");
const READY = { timeoutMs: 30_000 } as const;

/** Open event streams, to be ended by the test. */
const streams: ServerResponse[] = [];

/** Tells what it was asked, and by whom; at /events the beginning of an event stream. */
const application: Application = (req, res) => {
  if (req.url === "/events") {
    res.setHeader("Content-Type", "text/event-stream");
    res.write("data: one\n\n");
    streams.push(res);
    return;
  }
  let bodyBytes = 0;
  req.on("data", (piece: Buffer) => {
    bodyBytes += piece.length;
  });
  req.on("end", () => {
    const { remoteUser, https: isHttps, clientCertificate } = fastcgi(req).gateway;
    res.setHeader("Content-Type", "application/json");
    res.end(
      JSON.stringify({
        mount: (req as { baseUrl?: string }).baseUrl,
        url: req.url,
        authorization: req.headers.authorization,
        bodyBytes,
        remoteUser,
        isHttps,
        isVerified: clientCertificate?.isVerified,
      }),
    );
  });
};

interface Told {
  readonly mount: string;
  readonly url: string;
  readonly authorization?: string;
  readonly bodyBytes: number;
  readonly remoteUser?: string;
  readonly isHttps: boolean;
  readonly isVerified?: boolean;
}

async function withApache(
  options: Omit<SiteOptions, "application"> & { readonly addresses?: readonly FastCgiAddress[] },
  test: (web: WebServer, served: Served) => Promise<void>,
  serverOptions: Parameters<typeof servePostern>[2] = {},
): Promise<void> {
  const served = await servePostern(application, "unix", serverOptions);
  const { addresses = [served.address], ...site } = options;
  try {
    const web = await startGenerated("apache", { ...site, application: externalAt(...addresses) });
    try {
      await test(web, served);
    } finally {
      await web.stop();
    }
  } finally {
    await served.close();
  }
}

async function told(url: string, options: Parameters<typeof request>[1] = {}): Promise<Told> {
  const answer = await request(url, options);
  expect([answer.status, answer.headers["content-type"]], answer.text).toEqual([200, "application/json"]);
  return JSON.parse(answer.text) as Told;
}

/** A folder that Apache's user may read, with these files. */
function folderWith(files: Readonly<Record<string, string>>, name = "files"): string {
  const folder = join(temporaryFolder("w"), name);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

const basic = (login: string): { Authorization: string } => ({
  Authorization: `Basic ${Buffer.from(login).toString("base64")}`,
});

const PUBLIC = {
  "a.txt": "a file",
  ".env": "SECRET=1",
  ".well-known/x": "known",
  "sub/b.txt": "deeper",
  "static/.git/config": "hidden",
};

describeWithServer("apache", "a generated site of mod_proxy_fcgi", () => {
  it("has its files before the application, and hidden ones never", async () => {
    const publicFolder = folderWith(PUBLIC);
    const assets = folderWith({ "s.css": "css", ".htpasswd": "hidden" }, `it's 100% "static" $HOME`);
    const statics = [{ url: "/assets/", folder: assets }];
    await withApache({ publicFolder, statics }, async (web) => {
      const get = async (path: string): Promise<[number, string]> => {
        const { status, text: body } = await request(web.url + path);
        return [status, body];
      };
      expect(await get("/a.txt")).toEqual([200, "a file"]);
      expect(await get("/sub/b.txt")).toEqual([200, "deeper"]);
      expect(await get("/.well-known/x")).toEqual([200, "known"]);
      expect(await get("/assets/s.css")).toEqual([200, "css"]);
      expect((await request(`${web.url}/assets/s.css`)).headers["content-type"]).toBe("text/css");
      expect((await get("/assets/none"))[0]).toBe(404);
      expect((await get("/assets/.htpasswd"))[0]).toBe(404);
      for (const path of ["/", "/sub", "/sub/", "/.env", "/%2eenv", "/static/.git/config", "/a.txt/x"]) {
        expect((await told(web.url + path)).url).toBe(path);
      }
    });
  });

  it("below a path leaves the rest of the site to files", async () => {
    const publicFolder = folderWith(PUBLIC);
    await withApache({ mount: "/shop", publicFolder }, async (web) => {
      expect(await told(`${web.url}/x%2Fy?q`)).toMatchObject({ mount: "/shop", url: "/x%2Fy?q" });
      expect(await told(web.url)).toMatchObject({ mount: "/shop", url: "/" });
      expect((await request(`${web.origin}/shopx/y`)).status).toBe(404);
      expect((await request(`${web.origin}/a.txt`)).text).toBe("a file");
      expect((await request(`${web.origin}/.env`)).status).toBe(404);
      expect((await request(`${web.origin}/static/.git/config`)).status).toBe(404);
      expect((await request(`${web.origin}/sub/`)).status).toBe(404);
    });
  });

  it.each([`/a.b+c(d|e)$1'f"g%&é;~{h}^`, "/%{REQUEST_URI}", "/a$0", "/x<y>z", "/a%b"])(
    "below the path %s",
    async (mount) => {
      await withApache({ mount }, async (web) => {
        const at = `${web.origin}${encodeURI(mount).replaceAll("%25", "%25")}`;
        const params = await told(`${at}/x`);
        expect([decodeURIComponent(params.mount), params.url]).toEqual([mount, "/x"]);
      });
    },
  );

  it("reaches a socket whose path has spaces and quotes", async () => {
    const path = join(temporaryFolder("q"), `it's "a" $HOME.sock`);
    await withApache(
      { addresses: [{ unix: path }] },
      async (web) => expect((await told(`${web.url}/x`)).url).toBe("/x"),
      { bind: `unix:${path}` },
    );
  });

  it("refuses a body that announces more than the limit", async () => {
    await withApache({ maxBodyBytes: 1000 }, async (web) => {
      expect((await told(web.url, { body: "x".repeat(1000) })).bodyBytes).toBe(1000);
      expect((await request(web.url, { body: "x".repeat(1001) })).status).toBe(413);
      // As the note of the generator says.
      const headers = { "Transfer-Encoding": "chunked" };
      const client = await connectHttp(web.url);
      await client.send(
        "POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
      );
      await client.send(`800\r\n${"x".repeat(2048)}\r\n0\r\n\r\n`);
      expect((await client.nextResponse()).status, JSON.stringify(headers)).toBe(200);
      client.close();
    });
  });

  it("passes pieces of an event stream as they come, and Authorization", async () => {
    await withApache({ isKeptAlive: true }, async (web) => {
      const client = await connectHttp(web.url);
      await client.send("GET /events HTTP/1.1\r\nHost: example.com\r\n\r\n");
      await client.waitForText(/data: one/);
      for (const stream of streams.splice(0)) stream.end("data: two\n\n");
      await client.waitForText(/data: two/);
      client.close();
      const headers = { Authorization: "Bearer abc" };
      expect((await told(web.url, { headers })).authorization).toBe("Bearer abc");
    });
  });

  it("asks for passwords", async () => {
    const secret = createHash("sha1").update("secret").digest("base64");
    const passwords = join(folderWith({ passwords: `kim:{SHA}${secret}\n` }), "passwords");
    await withApache({ passwords }, async (web) => {
      expect((await request(web.url)).status).toBe(401);
      expect((await request(web.url, { headers: basic("kim:wrong") })).status).toBe(401);
      expect((await told(web.url, { headers: basic("kim:secret") })).remoteUser).toBe("kim");
    });
  });

  it("speaks TLS, and knows client certificates", async () => {
    const tls = {
      certificate: join(TLS, "server.pem"),
      key: join(TLS, "server.key"),
      clientCa: join(TLS, "clients.pem"),
    };
    await withApache({ tls }, async (web) => {
      const ask = (who?: string): Promise<Told> =>
        new Promise((resolve, reject) => {
          const own =
            who === undefined
              ? {}
              : {
                  cert: readFileSync(join(TLS, `${who}.pem`)),
                  key: readFileSync(join(TLS, `${who}.key`)),
                };
          const options = { host: "127.0.0.1", port: web.port, path: "/x", rejectUnauthorized: false };
          https
            .get({ ...options, ...own, agent: false, servername: "example.com" }, (answer) => {
              text(answer).then((body) => resolve(JSON.parse(body) as Told), reject);
            })
            .once("error", reject);
        });
      expect(await ask("kim")).toMatchObject({ isHttps: true, isVerified: true });
      expect((await ask()).isVerified).toBeUndefined();
    });
  });

  it.each(["", "/ws"])(
    "passes WebSockets below %j on to the side listener, and nothing else",
    async (url) => {
      const socket = join(temporaryFolder("ws"), "it's $1 side.sock");
      const http = createServer();
      const side = new WebSocketServer({ server: http });
      side.on("connection", (tunnel, { url: asked, headers }) => {
        tunnel.on("message", (message) => tunnel.send(`${asked} ${headers.host} ${message}`));
      });
      await new Promise<void>((resolve) => http.listen(socket, resolve));
      giveToServerGroup(socket);
      chmodSync(socket, 0o660);
      try {
        await withApache({ webSocket: { url, address: { kind: "unix", path: socket } } }, async (web) => {
          const client = new WebSocket(`ws://127.0.0.1:${web.port}${url}/room%20one?a=b`, {
            headers: { Host: "example.com" },
          });
          const answer = await new Promise((resolve, reject) => {
            client.once("error", reject);
            client.once("open", () => client.send("hello"));
            client.once("message", (message) => resolve(String(message)));
          });
          expect(answer).toBe(`${url}/room%20one?a=b example.com hello`);
          client.terminate();
          expect((await told(`${web.url}${url}/room`)).url).toBe(`${url}/room`);
        });
      } finally {
        side.close();
        for (const tunnel of side.clients) tunnel.terminate();
        http.close();
      }
    },
  );

  it("shares requests among several applications, and goes on without one of them", async () => {
    const hits = [0, 0];
    const counting =
      (at: number): Application =>
      (_req, res) => {
        hits[at] = (hits[at] ?? 0) + 1;
        res.end("ok");
      };
    const one = await servePostern(counting(0));
    const two = await servePostern(counting(1), "tcp");
    const web = await startGenerated("apache", {
      application: externalAt(one.address, two.address),
      isKeptAlive: true,
      mount: "/m",
    });
    try {
      for (let at = 0; at < 10; at++) expect((await request(`${web.url}/x`)).text).toBe("ok");
      expect(Math.min(...hits)).toBeGreaterThan(2);
      await one.close();
      const statuses: number[] = [];
      for (let at = 0; at < 10; at++) statuses.push((await request(`${web.url}/x`)).status);
      expect(statuses).toEqual(Array(10).fill(200));
    } finally {
      await web.stop();
      await one.close();
      await two.close();
    }
  });
});

describeWithServer(["apache", "apache-xsendfile"], "a generated site of Apache with mod_xsendfile", () => {
  it("sends what the application leaves to it", async () => {
    const folder = folderWith({ "report.txt": "a report" });
    const sending = await servePostern((_req, res) => {
      res.setHeader("X-Sendfile", join(folder, "report.txt"));
      res.end();
    });
    const web = await startGenerated("apache", {
      application: externalAt(sending.address),
      sendFile: [{ folder, url: undefined }],
    });
    try {
      expect((await request(web.url)).text).toBe("a report");
    } finally {
      await web.stop();
      await sending.close();
    }
  });
});

describeWithServer(["apache", "apache-fcgid"], "a generated site of mod_fcgid", () => {
  it.each(["", "/shop"])("starts the program for %j, and has its files before it", async (mount) => {
    const program = await makeProgram();
    const publicFolder = folderWith(PUBLIC);
    const web = await startGenerated("apache", {
      mount,
      publicFolder,
      apacheModule: "fcgid",
      maxBodyBytes: 300_000,
      statics: [{ url: "/assets/", folder: folderWith({ "s.css": "css" }) }],
      application: {
        kind: "spawned",
        program: program.path,
        processes: 2,
        isDynamic: false,
        socket: join(temporaryFolder("s"), "a.sock"),
        environment: { GREETING: `it's "me" $HOME 100% \\ ` },
      },
    });
    try {
      const page = await request(`${web.url}/x%2Fy?q`, READY);
      expect(page.status, web.errorLog()).toBe(200);
      expect((await request(`${web.origin}/a.txt`)).text).toBe("a file");
      expect((await request(`${web.origin}/assets/s.css`)).text).toBe("css");
      const [pid] = program.alive();
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      expect(environment).toContain(`GREETING=it's "me" $HOME 100% \\ `);
      expect(environment.some((variable) => variable.startsWith("PATH=/usr/local/bin:"))).toBe(true);
      expect((await request(web.url, { body: "x".repeat(300_001) })).status).toBe(413);
      expect((await request(web.url, { body: "x".repeat(300_000) })).status).toBe(200);
    } finally {
      await web.stop();
    }
    await program.untilGone(program.started());
  });
});

/** Apache with a generated configuration that was changed afterwards, as people do. */
async function withChanged(
  site: Site,
  change: (text: string) => string,
  test: (web: WebServer) => Promise<void>,
): Promise<void> {
  let rules: string[] = [];
  const { sendFile, maxBodyBytes, mount, application: attached } = site;
  const addresses = attached.kind === "external" ? attached.addresses : undefined;
  const web = await startWebServer({
    name: "apache",
    program: programOf("apache"),
    version: "",
    mount,
    documentRoot: site.publicFolder,
    reloadSignal: "SIGUSR1",
    readyLine: /resuming normal operations/,
    prepare: ({ port, folder, user }) => {
      const { files, run: command = [] } = generateSite("apache", {
        ...site,
        listen: { host: "127.0.0.1", port },
        standalone: { folder, user: user?.user, group: user?.group, modules: undefined },
      });
      const before = files[0]?.text ?? "";
      const text = change(before);
      expect(text).not.toBe(before);
      rules = checkConfiguration("apache", text, { addresses, mount, maxBodyBytes, sendFile }).map(
        ({ rule }) => rule,
      );
      return { files: { "apache.conf": text }, args: command.slice(1) };
    },
  });
  try {
    changedRules = rules;
    await test(web);
  } finally {
    await web.stop();
  }
}
let changedRules: readonly string[] = [];

interface Mistake {
  readonly rule: string;
  readonly module?: Site["apacheModule"];
  readonly site?: Partial<Site>;
  /** Whether it has a document root. */
  readonly hasFiles?: true;
  readonly change: readonly [RegExp | string, string];
  /** What comes of it. */
  readonly shows: (web: WebServer) => Promise<unknown>;
  readonly as: unknown;
}

const statusOf = async (url: string, options?: Parameters<typeof request>[1]): Promise<number> =>
  (await request(url, { ...READY, ...options })).status;

const MISTAKES: readonly Mistake[] = [
  {
    rule: "encoded-slashes-refused",
    change: [/.*AllowEncodedSlashes.*\n/, ""],
    shows: (web) => statusOf(`${web.url}/a%2Fb`),
    as: 404,
  },
  {
    rule: "authorization-dropped",
    change: [/.*CGIPassAuth.*\n/, ""],
    shows: async (web) => (await told(web.url, { headers: { Authorization: "Bearer x" } })).authorization,
    as: undefined,
  },
  {
    rule: "trailing-slash-missing",
    change: [/\|fcgi:\/\/yourapplication\//, "|fcgi://yourapplication"],
    shows: async (web) => (await statusOf(`${web.url}/x`)) >= 500,
    as: true,
  },
  {
    rule: "trailing-slash-missing",
    module: "fcgid",
    change: ['.fcgi/"', '.fcgi"'],
    // Its name, shop.fcgix, is none of the program's, so that nobody is let in either.
    shows: (web) => statusOf(`${web.url}/x`),
    as: 403,
  },
  {
    rule: "pass-too-late",
    site: { statics: [{ url: "/assets/", folder: "/nowhere" }] },
    change: [/( *ProxyPass "\/assets.*\n)( *ProxyPass "\/" .*\n)/, "$2$1"],
    shows: async (web) => (await told(`${web.url}/assets/x`)).url,
    as: "/assets/x",
  },
  {
    rule: "mount-not-told",
    site: { mount: "/shop" },
    change: [/.*ProxyFCGISetEnvIf.*\n/g, ""],
    shows: async (web) => (await told(`${web.url}/x`)).mount === "/shop",
    as: false,
  },
  {
    rule: "path-cut-by-handler",
    site: { mount: "/shop" },
    hasFiles: true,
    change: [
      /( *)ProxyPass "\/shop" "([^"]*)".*\n((?:.*\n)*?) *ProxyFCGISetEnvIf.*\n *ProxyFCGISetEnvIf.*\n/,
      '$3SetHandler "proxy:$2"\n',
    ],
    shows: async (web) => (await told(`${web.url}/x/y`)).url === "/x/y",
    as: false,
  },
  {
    rule: "body-limit-without-effect",
    change: ["    AllowEncoded", "    LimitRequestBody 10\n    AllowEncoded"],
    shows: async (web) => (await told(web.url, { body: "x".repeat(1000) })).bodyBytes,
    as: 1000,
  },
  {
    rule: "body-limit-default",
    module: "fcgid",
    change: [/.*FcgidMaxRequestLen.*\n/, ""],
    shows: (web) => statusOf(web.url, { body: "x".repeat(131_073) }),
    as: 500,
  },
  {
    rule: "folder-not-granted",
    module: "fcgid",
    site: { publicFolder: undefined },
    change: [/.*Require all granted\n/, ""],
    shows: (web) => statusOf(`${web.url}/x`),
    as: 403,
  },
  {
    rule: "http-to-fastcgi",
    change: [/\|fcgi:\/\//, "|http://"],
    site: {},
    shows: async (web) => (await statusOf(`${web.url}/x`)) >= 500,
    as: true,
  },
];

describeWithServer(["apache", "apache-fcgid"], "a configuration in which --check finds a mistake", () => {
  it.each(MISTAKES)(
    "$rule comes out wrong",
    async ({ rule, module = "proxy_fcgi", site, hasFiles, change, shows, as }) => {
      const served = await servePostern(application);
      const program = module === "fcgid" ? await makeProgram() : undefined;
      try {
        const whole: Site = {
          ...BARE,
          application:
            program === undefined
              ? externalAt(served.address)
              : {
                  kind: "spawned",
                  program: program.path,
                  processes: 1,
                  isDynamic: false,
                  socket: "/nowhere",
                  environment: {},
                },
          apacheModule: module,
          publicFolder: hasFiles ? folderWith({ ...PUBLIC, "shop/a.txt": "a file" }) : undefined,
          ...site,
        };
        await withChanged(
          whole,
          (text) => text.replace(...change),
          async (web) => {
            expect(changedRules).toContain(rule);
            expect(await shows(web), web.errorLog()).toEqual(as);
          },
        );
      } finally {
        await served.close();
      }
    },
  );

  it("gives the application no body at all for LimitRequestBody with mod_fcgid", async () => {
    const program = await makeProgram();
    const counts = `export default async (req, res) => {
  let bytes = 0;
  for await (const piece of req) bytes += piece.length;
  res.end(\`\${bytes} bytes\`);
};`;
    writeFileSync(join(program.folder, "app.mjs"), counts);
    const spawned: Site["application"] = {
      kind: "spawned",
      program: program.path,
      processes: 1,
      isDynamic: false,
      socket: "/nowhere",
      environment: {},
    };
    await withChanged(
      { ...BARE, apacheModule: "fcgid", application: spawned },
      (text) => text.replace("    AllowEncoded", "    LimitRequestBody 10\n    AllowEncoded"),
      async (web) => {
        expect(changedRules).toContain("body-limit-without-effect");
        const page = await request(web.url, { ...READY, body: "x".repeat(1000) });
        expect([page.status, page.text], web.errorLog()).toEqual([200, "0 bytes"]);
      },
    );
  });

  it("that Apache does not start with, because CGIPassAuth is outside of a section", async () => {
    await expect(
      withChanged(
        { ...BARE, application: externalAt({ host: "127.0.0.1", port: 1 }) },
        (text) => text.replace("    AllowEncoded", "    CGIPassAuth On\n    AllowEncoded"),
        () => Promise.resolve(),
      ),
    ).rejects.toThrow(/CGIPassAuth not allowed in <VirtualHost> context/);
  });
});

/** A site of nothing but the application. */
const BARE: Omit<Site, "application"> = {
  name: "yourapplication",
  serverNames: ["example.com"],
  listen: { host: undefined, port: 80 },
  mount: "",
  apacheModule: "proxy_fcgi",
  publicFolder: undefined,
  statics: [],
  maxBodyBytes: 0,
  timeoutSeconds: 60,
  isKeptAlive: false,
  isMultiplexed: false,
  isStreaming: false,
  tls: undefined,
  passwords: undefined,
  sendFile: [],
  webSocket: undefined,
  standalone: undefined,
};
