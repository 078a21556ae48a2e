/** lighttpd, this machine's and the newest, run from the configuration that `postern config lighttpd` writes. */
import { X509Certificate } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import https from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { type Application, fastcgi, type GatewayFacts, type ServerOptions } from "../../src/index.ts";
import { checkConfiguration, generateSite, type Site, type Spawned } from "../../src/sites/index.ts";
import { built } from "../support/e2e/built.ts";
import { gate, type Served, servePostern } from "../support/e2e/served.ts";
import { CLI, open, serveApplication } from "../support/e2e/websocket-sites.ts";
import { connectHttp, type HttpAnswer, request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { isListening } from "../support/ports.ts";
import { run } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { describeWithCurrent } from "../support/web-servers/current.ts";
import {
  commandOf,
  externalAt,
  modulesOf,
  type Release,
  type SiteOptions,
  startGenerated,
} from "../support/web-servers/generated.ts";
import {
  type Preparation,
  serverUser,
  startWebServer,
  type WebServer,
} from "../support/web-servers/web-server.ts";

const TLS = join(repositoryRoot, "test", "support", "tls");
const pem = (name: string): string => readFileSync(join(TLS, name), "utf8");

/** Says how it was asked. */
const echo: Application = (req, res) => {
  res.setHeader("Content-Type", "application/json");
  res.end(
    JSON.stringify({
      method: req.method,
      mount: (req as { baseUrl?: string }).baseUrl,
      url: req.url,
      user: fastcgi(req).gateway.remoteUser,
    }),
  );
};

interface Seen {
  readonly method: string;
  readonly mount: string;
  readonly url: string;
  readonly user?: string;
}

interface Options extends Omit<SiteOptions, "application"> {
  readonly server?: ServerOptions;
}

type Test = (both: { readonly web: WebServer; readonly served: Served }) => Promise<void>;

/** Runs `test` with an application in this process behind a lighttpd of its own. */
async function behind(
  release: Release,
  application: Application,
  options: Options,
  test: Test,
): Promise<void> {
  const { server, ...site } = options;
  const served = await servePostern(application, "unix", server);
  try {
    const web = await startGenerated(
      "lighttpd",
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

/** A folder with one file in each of the given places, readable by everybody. */
function folderOf(files: Readonly<Record<string, string>>, folder: string = temporaryFolder("www")): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), content, { mode: 0o644 });
  }
  return folder;
}

async function asked(url: string, method = "GET"): Promise<Seen> {
  const answer = await request(url, { method });
  if (answer.status !== 200) throw new Error(`${method} ${url}: ${answer.status} ${answer.text}`);
  return JSON.parse(answer.text) as Seen;
}

/** Targets as a visitor may send them, each of which must arrive as it is. */
const TARGETS = [
  "/",
  "/a/b?c=d",
  "/a%2Fb/c",
  "/caf%C3%A9/x",
  "/100%25/x",
  "/a%3Fb",
  "//double//slash/",
  "/x/./y",
  "/yourapplication.fcgi/x",
  "/yourapplication.fcgi",
  "/.env",
  "/what?.env",
  "/static",
  "/folder/",
];

/** A site in a folder that need not be there. */
function siteAt(folder: string, site: Partial<Site>): Site {
  return {
    name: "yourapplication",
    serverNames: ["example.com"],
    listen: { host: "127.0.0.1", port: 1 },
    mount: "",
    application: externalAt({ host: "127.0.0.1", port: 9000 }),
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
    standalone: { folder, user: undefined, group: undefined, modules: undefined },
    ...site,
  };
}

function moduleFlags(release: Release): string[] {
  const folder = modulesOf("lighttpd", release);
  return folder === undefined ? [] : ["-m", folder];
}

/** What Debian's lighttpd.conf says that a file beside it has to get on with. */
function debianLike({ port, folder, user }: Preparation): string {
  return `
server.modules = ( "mod_indexfile", "mod_access", "mod_alias", "mod_redirect" )
server.bind = "127.0.0.1"
server.port = ${port}
server.document-root = "${folder}"
server.errorlog = "${join(folder, "error.log")}"
server.upload-dirs = ( "${folder}" )
${user === undefined ? "" : `server.username = "${user.user}"\nserver.groupname = "${user.group}"`}
server.feature-flags += ( "server.h2proto" => "enable" )
server.feature-flags += ( "server.graceful-shutdown-timeout" => 5 )
server.http-parseopts = (
  "header-strict" => "enable", "host-strict" => "enable", "host-normalize" => "enable",
  "url-normalize-unreserved" => "enable", "url-normalize-required" => "enable", "url-ctrls-reject" => "enable",
  "url-path-2f-decode" => "enable", "url-path-dotseg-remove" => "enable" )
index-file.names = ( "index.php", "index.html" )
url.access-deny = ( "~", ".inc" )
static-file.exclude-extensions = ( ".php", ".pl", ".fcgi" )
server.modules += ( "mod_fastcgi" )
include "${join(folder, "60.conf")}"
server.modules += ( "mod_dirlisting", "mod_staticfile" )
`;
}

/** A site as a file beside others, included by a configuration such as Debian's. */
function startPart(release: Release, site: Partial<Site>): Promise<WebServer> {
  const { files } = generateSite("lighttpd", {
    ...siteAt("", site),
    standalone: undefined,
    listen: { host: undefined, port: 80 },
  });
  expect(files.map(({ path }) => path)).toEqual(["/etc/lighttpd/conf-available/60-yourapplication.conf"]);
  const { program, args } = commandOf("lighttpd", release);
  return startWebServer({
    name: "lighttpd",
    program,
    version: "",
    mount: "",
    reloadSignal: "SIGUSR1",
    readyLine: /server started/,
    prepare: (place) => ({
      files: { "main.conf": debianLike(place), "60.conf": files[0]!.text },
      args: [...args, ...moduleFlags(release), "-D", "-f", join(place.folder, "main.conf")],
    }),
  });
}

const HOST = { Host: "example.com" } as const;

/** Kim, whose word is secret. */
function passwordFile(): string {
  return join(folderOf({ passwords: "kim:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n" }), "passwords");
}

function basic(login: string): { readonly headers: { readonly Authorization: string } } {
  return { headers: { Authorization: `Basic ${Buffer.from(login).toString("base64")}` } };
}

/** A `.fcgi` file that lighttpd's user may start, and that tells what it was given. */
function programFolder(command = "serve.mjs"): string {
  const folder = temporaryFolder("spawned");
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(repositoryRoot, join(folder, "node_modules", "postern"));
  writeFileSync(
    join(folder, "serve.mjs"),
    `import { serve } from "postern";
await serve((req, res) => res.end(JSON.stringify({ ...process.env, mount: req.baseUrl, url: req.url })));
`,
    { mode: 0o644 },
  );
  writeFileSync(join(folder, "x.fcgi"), `#!/bin/sh\nexec ${process.execPath} ${command}\n`);
  chmodSync(join(folder, "x.fcgi"), 0o755);
  const user = serverUser();
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  return folder;
}

function spawned(folder: string): Spawned {
  return {
    kind: "spawned",
    program: join(folder, "x.fcgi"),
    processes: 2,
    isDynamic: false,
    socket: join(folder, "p.sock"),
    environment: { WORD: `a "b" $HOME \\n` },
  };
}

/** A WebSocket that gets its own words back. */
async function talk(web: WebServer): Promise<void> {
  const client = await open(`${web.url}/echo`);
  client.socket.send("hello");
  expect(await client.next()).toBe("hello");
  client.socket.terminate();
}

/** One request over TLS, with a certificate or without. */
function secure(web: WebServer, who?: string): Promise<{ status: number; body: string; authorized: string }> {
  const own = who === undefined ? {} : { cert: pem(`${who}.pem`), key: pem(`${who}.key`) };
  const where = { host: "127.0.0.1", port: web.port, path: "/x", servername: "example.com" };
  return new Promise((resolve, reject) => {
    const outgoing = https.get({ ...where, ...own, rejectUnauthorized: false, agent: false }, (answer) => {
      text(answer).then((body) => {
        const authorized = String(answer.headers["x-authorized"]);
        resolve({ status: answer.statusCode ?? 0, body, authorized });
      }, reject);
    });
    outgoing.once("error", reject);
  });
}

/** Says what the web server vouches for. */
const vouched: Application = (req, res) => {
  res.setHeader("X-Authorized", String((req.socket as unknown as { authorized: boolean }).authorized));
  res.end(JSON.stringify(fastcgi(req).gateway));
};

for (const [release, describeHere] of [
  [
    "system",
    (title: string, tests: () => void) => describeWithServer("lighttpd", `lighttpd ${title}`, tests),
  ],
  [
    "current",
    (title: string, tests: () => void) => describeWithCurrent("lighttpd", `current lighttpd ${title}`, tests),
  ],
] as const) {
  describeHere("at the root", () => {
    it.each([
      ["with a folder of files", true],
      ["without one", false],
    ])("passes every URL on as it came, %s", async (_, hasFolder) => {
      const publicFolder = hasFolder
        ? folderOf({ "folder/a.txt": "from disk", ".env": "secret" })
        : undefined;
      await behind(release, echo, { publicFolder }, async ({ web }) => {
        const seen: string[] = [];
        for (const target of TARGETS) {
          const { mount, url } = await asked(web.origin + target);
          seen.push(`${mount}${url}`);
        }
        expect(seen).toEqual(TARGETS);
      });
    });

    it("sends files of the folder itself, and neither lists a folder nor shows a name with a dot", async () => {
      const publicFolder = folderOf({
        "a.txt": "from disk",
        "static/deep/b.css": "a{}",
        ".env": "secret",
        ".git/config": "secret",
        ".well-known/c.txt": "for anybody",
      });
      await behind(release, echo, { publicFolder }, async ({ web }) => {
        expect((await request(`${web.url}/a.txt`)).text).toBe("from disk");
        const css = await request(`${web.url}/static/deep/b.css?v=2`);
        expect([css.text, css.headers["content-type"]]).toEqual(["a{}", "text/css"]);
        expect((await request(`${web.url}/.well-known/c.txt`)).text).toBe("for anybody");
        for (const path of ["/.env", "/%2Eenv", "/.git/config", "/static/", "/static/deep/", "/a.txt/"]) {
          expect((await asked(web.url + path)).url, path).toBe(path);
        }
      });
    });

    it.each([true, false])(
      "passes every method that lighttpd knows on (files first: %s)",
      async (hasFolder) => {
        const publicFolder = hasFolder ? folderOf({}) : undefined;
        await behind(release, echo, { publicFolder }, async ({ web }) => {
          for (const method of ["GET", "DELETE", "OPTIONS", "PATCH", "PROPFIND"]) {
            expect((await asked(`${web.url}/x`, method)).method).toBe(method);
          }
          const put = await request(`${web.url}/x`, { method: "PUT", body: "x" });
          expect(JSON.parse(put.text)).toMatchObject({ method: "PUT" });
        });
      },
    );

    it("passes an event stream on as it comes", async () => {
      const { opened, open: goOn } = gate();
      const events: Application = async (_req, res) => {
        res.setHeader("Content-Type", "text/event-stream");
        res.write("data: first\n\n");
        await opened;
        res.end("data: last\n\n");
      };
      await behind(release, events, {}, async ({ web }) => {
        const client = await connectHttp({ host: "127.0.0.1", port: web.port });
        await client.send("GET /events HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
        await client.waitForText(/data: first/);
        goOn();
        expect(await client.waitForEnd()).toMatch(/data: last/);
      });
    });

    it("passes an upload on piece by piece when it streams", async () => {
      const first = gate<string>();
      const upload: Application = (req, res) => {
        let bytes = 0;
        req.on("data", (piece: Buffer) => {
          bytes += piece.length;
          first.open(String(piece));
        });
        req.on("end", () => res.end(String(bytes)));
      };
      await behind(release, upload, { isStreaming: true }, async ({ web }) => {
        const client = await connectHttp({ host: "127.0.0.1", port: web.port });
        await client.send(
          "PUT /up HTTP/1.1\r\nHost: example.com\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhello",
        );
        expect(await first.opened).toBe("hello");
        await client.send("again");
        expect(await client.waitForEnd()).toMatch(/\r\n\r\n(?:2\r\n)?10/);
      });
    });

    it("refuses a body that is too large, by itself", async () => {
      const asked = { count: 0 };
      const counting: Application = (req, res) => {
        asked.count++;
        req.resume().once("end", () => res.end("taken"));
      };
      await behind(release, counting, { maxBodyBytes: 64 * 1024 }, async ({ web }) => {
        expect((await request(`${web.url}/`, { body: Buffer.alloc(64 * 1024) })).text).toBe("taken");
        expect((await request(`${web.url}/`, { body: Buffer.alloc(64 * 1024 + 1) })).status).toBe(413);
        expect(asked.count).toBe(1);
      });
    });

    it("gives up on an application that is silent for too long", async () => {
      const silent: Application = () => {};
      await behind(release, silent, { timeoutSeconds: 1 }, async ({ web }) => {
        expect((await request(`${web.url}/`, { timeoutMs: 20_000 })).status).toBe(504);
        await web.waitForErrorLog(/read timeout/);
      });
    });

    it("shares requests among several addresses", async () => {
      const named =
        (name: string): Application =>
        (_req, res) => {
          setTimeout(() => res.end(name), 50);
        };
      const one = await servePostern(named("one"), "unix");
      const two = await servePostern(named("two"), "tcp");
      const application = externalAt(one.address, two.address);
      const web = await startGenerated("lighttpd", { application }, release);
      const answers = await Promise.all(Array.from({ length: 8 }, () => request(`${web.url}/`)));
      expect(new Set(answers.map((answer) => answer.text))).toEqual(new Set(["one", "two"]));
      await web.stop();
      await one.close();
      await two.close();
    });
  });

  describeHere("below a path", () => {
    const MOUNT = "/yourapplication";

    it("passes on what is below it, in the visitor's spelling, and nothing else", async () => {
      await behind(release, echo, { mount: MOUNT, server: { base: MOUNT } }, async ({ web }) => {
        for (const path of ["", "/", "/x?y", "/a%2Fb", "//x", "/caf%C3%A9"]) {
          const { mount, url } = await asked(web.url + path);
          expect([mount, url]).toEqual([MOUNT, path === "" ? "/" : path]);
        }
        for (const path of ["/other", "/yourapplicationx", "/yourapplicationx/y", "/YOURAPPLICATION/"]) {
          expect((await request(web.origin + path)).status, path).toBe(404);
        }
      });
    });

    it("leaves the rest to the document root, but for names that begin with a dot", async () => {
      const publicFolder = folderOf({ "a.txt": "from disk", ".env": "secret", "deep/.git/x": "secret" });
      await behind(
        release,
        echo,
        { mount: MOUNT, publicFolder, server: { base: MOUNT } },
        async ({ web }) => {
          expect((await request(`${web.origin}/a.txt`)).text).toBe("from disk");
          for (const path of ["/.env", "/%2Eenv", "/deep/.git/x", "/x/../.env"]) {
            expect((await request(web.origin + path)).status, path).toBe(403);
          }
          expect((await asked(`${web.url}/.env`)).url).toBe("/.env");
        },
      );
    });

    it("says that the mount has to be told", async () => {
      const { notes } = generateSite("lighttpd", siteAt(temporaryFolder("x"), { mount: MOUNT }));
      expect(notes.join("\n")).toContain("--base /yourapplication");
    });

    it("sends static files from anywhere in the site", async () => {
      const folder = folderOf({ "a.css": "a{}", ".hidden": "secret", "deep/.git/x": "secret" });
      const statics = [
        { url: "/static/", folder },
        { url: "/yourapplication/a+b(1)/", folder },
      ];
      await behind(release, echo, { mount: MOUNT, statics, server: { base: MOUNT } }, async ({ web }) => {
        expect((await request(`${web.origin}/static/a.css`)).text).toBe("a{}");
        expect((await request(`${web.url}/a+b(1)/a.css`)).text).toBe("a{}");
        expect((await request(`${web.url}/aab(1)/a.css`)).text).toContain(MOUNT);
        for (const path of ["/static/.hidden", "/static/%2ehidden", "/static/deep/.git/x", "/static/"]) {
          expect((await request(web.origin + path)).status, path).toBe(403);
        }
        expect((await request(`${web.origin}/static/missing`)).status).toBe(404);
        expect((await request(`${web.origin}/static/../static/a.css`)).text).toBe("a{}");
      });
    });
  });

  describeHere("with texts that mean something to it", () => {
    it("takes folders, sockets and mounts as they are", async () => {
      const odd = join(temporaryFolder("odd"), `a "b" $c {d} #e %1 \\f ü;`);
      mkdirSync(odd);
      const publicFolder = folderOf({ "a.txt": "from disk" }, odd);
      const server: ServerOptions = { bind: `unix:${join(odd, "a'b.sock")}` };
      await behind(
        release,
        echo,
        { publicFolder, statics: [{ url: `/s"t(/`, folder: odd }], server },
        async ({ web }) => {
          expect((await request(`${web.url}/a.txt`)).text).toBe("from disk");
          expect((await request(`${web.url}/s%22t(/a.txt`)).text).toBe("from disk");
          expect((await asked(`${web.url}/x`)).url).toBe("/x");
        },
      );
      const mount = `/ü"$1(.*)\\d`;
      const encoded = "/%C3%BC%22$1(.*)%5Cd";
      await behind(release, echo, { mount, server: { base: encoded } }, async ({ web }) => {
        expect(await asked(`${web.origin}${encoded}/x`)).toMatchObject({ url: "/x" });
        expect((await request(`${web.origin}/%C3%BC%22$1xx%5Cd/x`)).status).toBe(404);
      });
    });
  });

  describeHere("with passwords", () => {
    it.each([
      ["at the root, with a folder of files", "", true],
      ["at the root, without one", "", false],
      ["below a path", "/yourapplication", false],
    ])("asks for one everywhere, and tells the application who it is, %s", async (_, mount, hasFolder) => {
      const publicFolder = hasFolder ? folderOf({ "a.txt": "from disk" }) : undefined;
      const options = { mount, passwords: passwordFile(), publicFolder, server: { base: mount } };
      await behind(release, echo, options, async ({ web }) => {
        for (const path of [
          "",
          "/",
          "/x",
          "/x/y",
          "/a.txt",
          "//x",
          "/yourapplication.fcgi/x",
          "/a/%2e%2e/x",
        ]) {
          expect((await request(web.url + path)).status, path).toBe(401);
        }
        expect((await request(`${web.url}/x`, basic("kim:wrong"))).status).toBe(401);
        const page = await request(`${web.url}/x`, basic("kim:secret"));
        expect(JSON.parse(page.text)).toMatchObject({ url: "/x", user: "kim" });
        if (hasFolder)
          expect((await request(`${web.url}/a.txt`, basic("kim:secret"))).text).toBe("from disk");
      });
    });

    it.each(["", "/yourapplication"])(
      "asks even where mod_fastcgi was loaded before mod_auth (%j)",
      async (mount) => {
        const served = await servePostern(echo, "unix");
        const web = await startPart(release, {
          application: externalAt(served.address),
          mount,
          passwords: passwordFile(),
        });
        for (const path of ["/", "/x", "/x/y"]) {
          expect((await request(web.origin + mount + path, { headers: HOST })).status, path).toBe(401);
        }
        const known = { headers: { ...basic("kim:secret").headers, ...HOST } };
        expect((await request(`${web.origin}${mount}/x`, known)).status).toBe(200);
        await web.stop();
        await served.close();
      },
    );

    it("takes no user from a header when it asks for none", async () => {
      const headers = { Authorization: `Basic ${Buffer.from("kim:made up").toString("base64")}` };
      await behind(release, echo, {}, async ({ web }) => {
        const page = await request(`${web.url}/x`, { headers });
        expect(Object.keys(JSON.parse(page.text) as Seen)).not.toContain("user");
      });
    });
  });

  describeHere("sending files for the application", () => {
    it("sends what X-Sendfile names below the folders, and nothing else", async () => {
      const folder = folderOf({ "two words.txt": "a report" });
      const outside = folderOf({ "secret.txt": "secret" });
      const naming: Application = (req, res) => {
        const file = new URL(req.url ?? "/", "http://x").searchParams.get("file") ?? "";
        res.setHeader("X-Sendfile", encodeURI(file));
        res.end();
      };
      await behind(release, naming, { sendFile: [{ folder, url: undefined }] }, async ({ web }) => {
        const of = (path: string): string => `${web.url}/?file=${encodeURIComponent(path)}`;
        expect((await request(of(join(folder, "two words.txt")))).text).toBe("a report");
        const refused = await request(of(join(outside, "secret.txt")));
        expect([refused.status, refused.text]).not.toContain("secret");
        expect(refused.status).toBe(403);
      });
    });
  });

  describeHere("passing WebSockets to a side listener", () => {
    it.each([
      ["below the URL that was named", "", "/echo", false],
      ["anywhere, with a folder of files", "", "", true],
      ["anywhere below a path", "/yourapplication", "/yourapplication", false],
    ])("does it %s, and everything else by FastCGI", async (_, mount, url, hasFolder) => {
      const path = join(temporaryFolder("ws"), "ws.sock");
      const { application, socket } = await serveApplication(
        join(repositoryRoot, "test", "compat", "websocket", "app.js"),
        ["--workers", "1", "--base", mount, "--ws-http", `unix:${path}`],
      );
      const web = await startGenerated(
        "lighttpd",
        {
          application: externalAt({ unix: socket }),
          mount,
          publicFolder: hasFolder ? folderOf({ "a.txt": "from disk" }) : undefined,
          webSocket: { url, address: { kind: "unix", path } },
        },
        release,
      );
      await talk(web);
      expect((await request(`${web.url}/observed?id=none`)).status).toBe(200);
      await web.stop();
      await application.stop();
    });
  });

  if (release === "current") {
    describeHere("carrying WebSockets inside FastCGI", () => {
      const APP = join(repositoryRoot, "test", "compat", "websocket", "app.js");
      const webSocket = { url: "/echo", address: undefined };

      it.each([
        ["at the root, with a folder of files", "", true],
        ["at the root, without one", "", false],
        ["below a path", "/yourapplication", false],
        ["anywhere, with a folder of files", "", true, ""],
        ["anywhere below a path", "/yourapplication", false, "/yourapplication"],
      ])("does so %s", async (_, mount, hasFolder, url = `${mount}/echo`) => {
        const { application, socket } = await serveApplication(APP, ["--workers", "1", "--base", mount]);
        const publicFolder = hasFolder ? folderOf({ "a.txt": "from disk" }) : undefined;
        const options = { application: externalAt({ unix: socket }), mount, publicFolder };
        const web = await startGenerated(
          "lighttpd",
          { ...options, webSocket: { ...webSocket, url } },
          release,
        );
        await talk(web);
        expect((await request(`${web.url}/observed?id=none`)).status).toBe(200);
        await web.stop();
        await application.stop();
      });

      it("does so with a program that it has started", async () => {
        await built();
        const folder = programFolder(`${CLI} serve ${APP} --workers 0`);
        const application = { ...spawned(folder), processes: 1 };
        const publicFolder = folderOf({ "a.txt": "from disk" });
        const web = await startGenerated("lighttpd", { application, publicFolder, webSocket }, release);
        await talk(web);
        await web.stop();
        await waitFor(async () => !(await isListening({ path: join(folder, "p.sock-0") })), {
          what: "the program to end",
        });
      });
    });
  }

  describeHere("starting the application itself", () => {
    it("gives each process a socket and the environment that was named, and ends it", async () => {
      await built();
      const folder = programFolder();
      const web = await startGenerated("lighttpd", { application: spawned(folder) }, release);
      const answer = await request(`${web.url}/a%2Fb?c`);
      const seen = JSON.parse(answer.text) as Readonly<Record<string, string>>;
      expect(seen).toMatchObject({ mount: "", url: "/a%2Fb?c", WORD: `a "b" $HOME \\n` });
      expect(seen["PATH"]).toBe("/usr/local/bin:/usr/bin:/bin");
      expect(Object.keys(seen)).not.toContain("POSTERN_TEST_RUN");
      const sockets = ["p.sock-0", "p.sock-1"].map((name) => join(folder, name));
      for (const path of sockets) expect(await isListening({ path })).toBe(true);
      await web.stop();
      for (const path of sockets) {
        await waitFor(async () => !(await isListening({ path })), { what: `nobody to listen on ${path}` });
      }
    });

    it("refuses a program whose path it would split", () => {
      const application = { ...spawned("/srv"), program: "/srv/my app/x.fcgi" };
      expect(() => generateSite("lighttpd", siteAt("/srv", { application }))).toThrow(
        /splits a command at its spaces/,
      );
    });
  });

  const tlsPackages = release === "system" ? (["lighttpd", "lighttpd-openssl"] as const) : [];
  const describeTls = (title: string, tests: () => void): void =>
    tlsPackages.length === 0
      ? describeHere(title, tests)
      : describeWithServer(tlsPackages, `lighttpd ${title}`, tests);

  describeTls("with TLS", () => {
    const tls = {
      certificate: join(TLS, "server.pem"),
      key: join(TLS, "server.key"),
      clientCa: join(TLS, "clients.pem"),
    };

    it("verifies a certificate of the visitor, and shows it to the application", async () => {
      await behind(release, vouched, { tls }, async ({ web }) => {
        const { status, body, authorized } = await secure(web, "kim");
        expect([status, authorized]).toEqual([200, "true"]);
        const facts = JSON.parse(body) as GatewayFacts;
        const certificate = facts.clientCertificate!;
        const own = new X509Certificate(pem("kim.pem"));
        expect(certificate).toMatchObject({ verify: "SUCCESS", isVerified: true, commonName: "kim" });
        expect(new X509Certificate(certificate.pem!).fingerprint256).toBe(own.fingerprint256);
        expect(certificate.serial?.toUpperCase()).toBe(own.serialNumber);
        expect(certificate.subject).toMatch(/CN ?= ?kim/);
        expect([facts.https, facts.scheme]).toEqual([true, "https"]);
        expect(facts.tls?.protocol).toMatch(/^TLSv1\.[23]$/);
        expect(facts.tls?.cipher).toMatch(/\w/);
      });
    });

    it("lets visitors without a certificate in, as such", async () => {
      await behind(release, vouched, { tls }, async ({ web }) => {
        const { body, authorized } = await secure(web);
        const facts = JSON.parse(body) as GatewayFacts;
        expect([facts.https, facts.clientCertificate, authorized]).toEqual([true, undefined, "false"]);
      });
    });

    it("never says that a certificate which nobody has signed is verified", async () => {
      await behind(release, vouched, { tls }, async ({ web }) => {
        const outcome = await secure(web, "stranger").then(
          ({ body }) => (JSON.parse(body) as GatewayFacts).clientCertificate,
          () => "refused",
        );
        // lighttpd lets the visitor in; Postern believes nothing of it.
        expect(outcome).toMatchObject({ verify: expect.stringMatching(/^FAILED/), isVerified: false });
        expect(Object.keys(outcome ?? {})).not.toContain("pem");
      });
    });
  });

  describeHere("printing what it has read", () => {
    it("prints what the check reads: an include is looked at, too", async () => {
      const folder = temporaryFolder("printed");
      const { files } = generateSite("lighttpd", { ...siteAt(folder, { mount: "/app" }) });
      writeFileSync(join(folder, "site.conf"), `${files[0]!.text}server.tag = "web"\n`);
      writeFileSync(join(folder, "main.conf"), `include "${join(folder, "site.conf")}"\n`);
      const { program, args } = commandOf("lighttpd", release);
      const printed = await run(program, [...args, "-p", "-f", join(folder, "main.conf")]);
      expect(printed.code).toBe(0);
      const expected = { addresses: undefined, mount: "/app", maxBodyBytes: undefined, sendFile: undefined };
      const found = checkConfiguration("lighttpd", printed.stdout, expected);
      expect(found.map(({ rule }) => rule)).toEqual(["server-tag"]);
    });
  });

  describeHere("as a part of an existing configuration", () => {
    it("is taken beside files that name the same modules, and answers for its host alone", async () => {
      const served = await servePostern(echo, "unix");
      const web = await startPart(release, {
        application: externalAt(served.address),
        publicFolder: folderOf({ "a.txt": "from disk" }),
        webSocket: { url: "/ws", address: undefined },
      });
      const of = (host: string, path: string): Promise<HttpAnswer> =>
        request(web.origin + path, { headers: { Host: host } });
      // As Debian has it, the main configuration decodes %2F: what Postern tells the application is not that.
      expect(JSON.parse((await of("example.com", "/x%2Fy")).text)).toMatchObject({ url: "/x%2Fy" });
      expect(JSON.parse((await of("Example.com:8080", "/x")).text)).toMatchObject({ url: "/x" });
      expect((await of("example.com", "/a.txt")).text).toBe("from disk");
      for (const host of ["example.org", "www.example.com", "examplexcom", "example.com.evil"]) {
        expect((await of(host, "/x")).status, host).toBe(404);
      }
      expect(web.errorLog()).not.toMatch(/WARN|duplicate/i);
      await web.stop();
      await served.close();
    });
  });
}
