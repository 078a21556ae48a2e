/**
 * Shared hosting with real Apache: what `postern init shared-hosting` writes, in public folders as hosts set them up.
 * The `.htaccess` of old guides is tested beside it, and what its mistakes look like.
 */
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { checkConfiguration } from "../../src/sites/index.ts";
import { built } from "../support/e2e/built.ts";
import { CLI } from "../support/e2e/service.ts";
import { classicRules } from "../support/e2e/shared-host.ts";
import { connectHttp, request } from "../support/http.ts";
import { run } from "../support/process.ts";
import { PYTHON } from "../support/python/python.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { startWebServer, type WebServer } from "../support/web-servers/web-server.ts";

const READY = { timeoutMs: 30_000 } as const;
const MODULES = "/usr/lib/apache2/modules";

const APP = `export default (req, res) => {
  let bodyBytes = 0;
  req.on("data", (piece) => { bodyBytes += piece.length; });
  req.on("end", () => res.end(JSON.stringify({
    method: req.method, mount: req.baseUrl, url: req.url, authorization: req.headers.authorization, bodyBytes, pid: process.pid,
  })));
};
`;

/** The same in Python. */
const WSGI = `import json, os

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    mount = environ["SCRIPT_NAME"]
    told = {
        "method": environ["REQUEST_METHOD"], "mount": mount, "url": environ["REQUEST_URI"][len(mount):],
        "bodyBytes": len(body), "pid": os.getpid(),
    }
    if "HTTP_AUTHORIZATION" in environ:
        told["authorization"] = environ["HTTP_AUTHORIZATION"]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
`;

interface Home {
  readonly app: string;
  /** What the host calls public_html. */
  readonly publicFolder: string;
  /** The printed commands, by what they do. */
  readonly steps: ReadonlyMap<string, string>;
}

/** A user's home on a shared host, with the files written into `folder` of the public one. */
function makeHome(folder = "", ...flags: readonly string[]): Promise<Home> {
  return makeHomeOf("app.js", "app.js", folder, flags);
}

/** @param named the application, as it is named; its file is `file` */
async function makeHomeOf(
  named: string,
  file: string,
  folder: string,
  flags: readonly string[],
): Promise<Home> {
  await built();
  const home = temporaryFolder("home");
  const app = join(home, "shop", file);
  const publicFolder = join(home, "public_html");
  const output = join(publicFolder, folder);
  mkdirSync(join(home, "shop"));
  mkdirSync(join(output, "sub"), { recursive: true });
  writeFileSync(join(home, "shop", "package.json"), '{ "type": "module" }');
  writeFileSync(app, file.endsWith(".py") ? WSGI : APP);
  writeFileSync(join(output, "a.txt"), "a file");
  writeFileSync(join(output, "sub", "b.txt"), "deeper");
  writeFileSync(join(output, ".env"), "SECRET=1");
  const args = ["init", "shared-hosting", join(home, "shop", named), "--name", "shop", "--output", output];
  const { code, stdout, stderr } = await run(process.execPath, [CLI, ...args, ...flags], READY);
  expect(code, stderr).toBe(0);
  const steps = [...stdout.matchAll(/^ {2}(\w+) +(.*)$/gm)].map(
    ([, what = "", command = ""]) => [what, command] as const,
  );
  return { app, publicFolder, steps: new Map(steps) };
}

interface HostOptions {
  readonly allowOverride?: string;
  readonly modules?: readonly string[];
  readonly directives?: string;
}

/** Apache as a host sets it up: everything that a user can change is in an `.htaccess`. */
function startHost({ publicFolder }: Home, options: HostOptions = {}): Promise<WebServer> {
  const { allowOverride = "All", modules = ["fcgid"], directives = "" } = options;
  const names = ["mpm_event", "authz_core", "alias", "mime", "dir", "rewrite", "setenvif", ...modules];
  return startWebServer({
    name: "apache",
    program: programOf("apache"),
    version: "",
    mount: "",
    documentRoot: publicFolder,
    reloadSignal: "SIGUSR1",
    readyLine: /resuming normal operations/,
    prepare: ({ port, folder, user }) => {
      const config = `
ServerRoot "${folder}"
DefaultRuntimeDir "${folder}"
PidFile "${join(folder, "apache.pid")}"
ErrorLog "${join(folder, "error.log")}"
Listen 127.0.0.1:${port}
ServerName example.com
${names.map((name) => `<IfModule !${name}_module>\nLoadModule ${name}_module "${MODULES}/mod_${name}.so"\n</IfModule>`).join("\n")}
${user ? `User ${user.user}\nGroup ${user.group}` : ""}
StartServers 1
TypesConfig /dev/null
<IfModule mod_fcgid.c>
  FcgidIPCDir "${join(folder, "fcgid")}"
  FcgidProcessTableFile "${join(folder, "fcgid.table")}"
  FcgidMaxRequestLen 1000000
</IfModule>
<IfModule mod_cgid.c>
  ScriptSock "${join(folder, "cgid.sock")}"
</IfModule>
AllowEncodedSlashes NoDecode
DocumentRoot "${publicFolder}"
${directives}
<Directory "${publicFolder}">
  Require all granted
  Options FollowSymLinks
  AllowOverride ${allowOverride}
</Directory>
`;
      return {
        files: { "apache.conf": config },
        args: ["-d", folder, "-f", join(folder, "apache.conf"), "-D", "FOREGROUND"],
      };
    },
  });
}

async function onHost(
  home: Home,
  options: HostOptions,
  test: (web: WebServer) => Promise<void>,
): Promise<void> {
  const web = await startHost(home, options);
  try {
    await test(web);
  } finally {
    await web.stop();
  }
}

interface Told {
  readonly method: string;
  readonly mount: string;
  readonly url: string;
  readonly authorization?: string;
  readonly bodyBytes: number;
  readonly pid: number;
}

async function told(
  web: WebServer,
  path: string,
  options: Parameters<typeof request>[1] = {},
): Promise<Told> {
  const { status, text } = await request(web.origin + path, { ...READY, ...options });
  expect(status, `${path}\n${text}\n${web.errorLog()}`).toBe(200);
  return JSON.parse(text) as Told;
}

/** Everything that the files promise, for a public folder at `base`. */
async function keepsItsPromises(web: WebServer, base: string): Promise<void> {
  const at = (path: string): string => `${base}${path}`;
  // REQUEST_URI reaches the application as it was sent; %25 and %3F too, which a rewritten path could not hold.
  for (const path of ["/", "/x/y?q=1&r", "/a%2Fb", "/100%25/x", "/a%3Fb", "/caf%C3%A9", "/x?", "/a//b"]) {
    const { mount, url } = await told(web, at(path));
    expect([mount, url]).toEqual([base, path]);
  }
  const headers = { Authorization: "Bearer abc" };
  expect((await told(web, at("/x"), { headers })).authorization).toBe("Bearer abc");
  expect((await told(web, at("/x"))).authorization).toBeUndefined();
  expect(await told(web, at("/x"), { body: "x".repeat(200_000) })).toMatchObject({
    method: "POST",
    bodyBytes: 200_000,
  });
  expect((await request(web.origin + at("/a.txt"))).text).toBe("a file");
  expect((await request(web.origin + at("/sub/b.txt"))).text).toBe("deeper");
  expect((await told(web, at("/.env"))).url).toBe("/.env");
  for (const [path, clean] of [
    ["/shop.fcgi", "/"],
    ["/shop.fcgi/", "/"],
    ["/shop.fcgi/x%25y/z?q=1", "/x%25y/z?q=1"],
  ] as const) {
    const { status, headers: answered } = await request(web.origin + at(path));
    expect([status, answered.location?.replace(/^http:\/\/[^/]*/, "")]).toEqual([308, at(clean)]);
  }
  const client = await connectHttp(web.origin);
  await client.send(`GET ${at("/.htaccess")} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n`);
  expect(await client.waitForEnd(10_000)).not.toContain("RewriteEngine");
}

describeWithServer(["apache", "apache-fcgid"], "shared hosting", () => {
  it.each(["All", "FileInfo Options", "FileInfo Options=ExecCGI"])(
    "at the root, where the host has AllowOverride %s",
    async (allowOverride) => {
      await onHost(await makeHome(), { allowOverride }, (web) => keepsItsPromises(web, ""));
    },
  );

  it("in a folder of the public one", async () => {
    await onHost(await makeHome("blog"), {}, (web) => keepsItsPromises(web, "/blog"));
  });

  it("in a folder that Apache knows by another name, told with --mount", async () => {
    const home = await makeHome("", "--mount", "/~kim");
    const directives = `Alias "/~kim" "${home.publicFolder}"\nDocumentRoot "${temporaryFolder("other")}"`;
    await onHost(home, { directives }, (web) => keepsItsPromises(web, "/~kim"));
  });

  it("without mod_fcgid, as plain CGI", async () => {
    await onHost(await makeHome(), { modules: ["cgid"] }, async (web) => {
      const first = await told(web, "/x%25y?q");
      const second = await told(web, "/");
      expect([first.mount, first.url, second.url]).toEqual(["", "/x%25y?q", "/"]);
      expect(second.pid).not.toBe(first.pid);
    });
  });

  it("loads new code on the command that was printed", () => loadsNewCode(makeHome()));

  it("loses no request to that command", () => losesNoRequest(makeHome()));

  describeWithServer("python", "with an application in Python", () => {
    const python = (folder = ""): Promise<Home> =>
      makeHomeOf("shop:app", "shop.py", folder, ["--", "--python", PYTHON]);

    it("at the root", async () => {
      await onHost(await python(), {}, (web) => keepsItsPromises(web, ""));
    });

    it("in a folder of the public one", async () => {
      await onHost(await python("blog"), {}, (web) => keepsItsPromises(web, "/blog"));
    });

    it("without mod_fcgid, as plain CGI", async () => {
      await onHost(await python(), { modules: ["cgid"] }, async (web) => {
        expect(await told(web, "/x%25y?q")).toMatchObject({ mount: "", url: "/x%25y?q" });
      });
    });

    it("loads new code on the command that was printed", () => loadsNewCode(python()));

    it("loses no request to that command", () => losesNoRequest(python()));

    it("tells the host's log why it does not start", async () => {
      const home = await python();
      writeFileSync(home.app, "import nowhere_to_be_found\n");
      await onHost(home, {}, async (web) => {
        expect((await request(`${web.origin}/x`)).status).toBe(500);
        expect(web.errorLog()).toMatch(/postern: application shop:app could not be loaded:/);
        expect(web.errorLog()).toMatch(/nowhere_to_be_found is not installed for /);
      });
      const tried = await run("/bin/sh", ["-c", home.steps.get("try") ?? ""]);
      expect(tried.stderr).toMatch(/No module named 'nowhere_to_be_found'/);
    });
  });

  /** The printed command ends the processes of whoever types it; here they are the web server's. */
  const reloadOf = ({ steps }: Home): string => (steps.get("reload") ?? "").replace(' -u "$(id -un)"', "");

  /** A visitor asks all the time, and each process is ended after its first answers. */
  async function losesNoRequest(made: Promise<Home>): Promise<void> {
    const home = await made;
    // One process at a time: one that is only starting cannot hear a signal yet. Its end is noticed within a second.
    const directives = "FcgidMaxProcessesPerClass 1\nFcgidZombieScanInterval 1\nFcgidErrorScanInterval 1";
    await onHost(home, { directives }, async (web) => {
      const pids = new Set<number>();
      let isEnding = false;
      while (pids.size <= 6) {
        const { pid } = await told(web, "/");
        if (pids.has(pid)) {
          if (isEnding) continue;
          isEnding = true;
          void run("/bin/sh", ["-c", reloadOf(home)]).then(() => {
            isEnding = false;
          });
        }
        pids.add(pid);
      }
    });
  }

  async function loadsNewCode(made: Promise<Home>): Promise<void> {
    const home = await made;
    await onHost(home, {}, async (web) => {
      const { pid } = await told(web, "/");
      expect((await told(web, "/")).pid).toBe(pid);
      const source = readFileSync(home.app, "utf8");
      const changed = source
        .replace("mount: req.baseUrl", 'mount: "new"')
        .replace('"mount": mount', '"mount": "new"');
      expect(changed).not.toBe(source);
      writeFileSync(home.app, changed);
      expect(await run("/bin/sh", ["-c", reloadOf(home)])).toMatchObject({ code: 0, stderr: "" });
      await waitFor(async () => (await told(web, "/")).mount === "new", {
        ...READY,
        what: "the new code",
        evidence: web.errorLog,
      });
    });
  }

  it("has nothing that --check finds wrong", async () => {
    const home = await makeHome();
    const unknown = { addresses: undefined, mount: undefined, maxBodyBytes: undefined, sendFile: undefined };
    for (const name of [".htaccess", "shop.fcgi"]) {
      const text = readFileSync(join(home.publicFolder, name), "utf8");
      expect(checkConfiguration("apache", text, unknown), name).toEqual([]);
    }
  });
});

/** The rules of old guides, which need more of the host. */
const CLASSIC = classicRules("shop.fcgi");

/** What the checker names, and what Apache does: each mistake is really one. */
const MISTAKES: readonly {
  readonly rule: string;
  readonly htaccess: string;
  readonly allowOverride?: string;
  readonly status: number;
  readonly says?: RegExp;
}[] = [
  {
    rule: "rewrite-loop",
    htaccess: CLASSIC.replace(/.*!-f\n/, ""),
    status: 500,
    says: /AH00124: Request exceeded the limit of 10 internal redirects/,
  },
  {
    rule: "options-mixed",
    htaccess: CLASSIC.replace("+FollowSymLinks +ExecCGI", "FollowSymLinks +ExecCGI"),
    status: 500,
    says: /Either all Options must start with \+ or -, or no Option may/,
  },
  {
    rule: "follow-symlinks",
    htaccess: CLASSIC,
    allowOverride: "FileInfo Options=ExecCGI,SymLinksIfOwnerMatch",
    status: 500,
    says: /Option FollowSymLinks not allowed here/,
  },
  {
    rule: "exec-not-allowed",
    htaccess: CLASSIC.replace(" +ExecCGI", ""),
    status: 403,
    says: /does not have ExecCGI enabled/,
  },
  { rule: "rewrite-engine-off", htaccess: CLASSIC.replace(/.*RewriteEngine.*\n/, ""), status: 404 },
  {
    rule: "pass-auth-in-htaccess",
    htaccess: CLASSIC.replace("SetHandler", "CGIPassAuth On\nSetHandler"),
    allowOverride: "FileInfo Options",
    status: 500,
    says: /CGIPassAuth not allowed in <Files> context/,
  },
];

describeWithServer(["apache", "apache-fcgid"], "an .htaccess of one's own", () => {
  it("works when it is that of the old guides, but for the Authorization header", async () => {
    const home = await makeHome();
    writeFileSync(join(home.publicFolder, ".htaccess"), CLASSIC);
    await onHost(home, {}, async (web) => {
      const headers = { Authorization: "Bearer abc" };
      expect(await told(web, "/a%2Fb?q", { headers })).toMatchObject({ mount: "", url: "/a%2Fb?q" });
      expect((await told(web, "/x", { headers })).authorization).toBeUndefined();
      expect((await request(`${web.origin}/100%25/x`)).status).toBe(400);
      expect((await request(`${web.origin}/a%3Fb`)).status).toBe(403);
      expect((await request(`${web.origin}/a.txt`)).text).toBe("a file");
    });
  });

  it.each(MISTAKES)(
    "fails where --check says $rule",
    async ({ rule, htaccess, allowOverride = "All", status, says }) => {
      const unknown = {
        addresses: undefined,
        mount: undefined,
        maxBodyBytes: undefined,
        sendFile: undefined,
      };
      expect(checkConfiguration("apache", htaccess, unknown).map((one) => one.rule)).toContain(rule);
      const home = await makeHome();
      writeFileSync(join(home.publicFolder, ".htaccess"), htaccess);
      await onHost(home, { allowOverride }, async (web) => {
        expect((await request(`${web.origin}/x`, READY)).status, web.errorLog()).toBe(status);
        if (says !== undefined) await web.waitForErrorLog(says);
      });
    },
  );

  it.each([
    ["line-endings", (text: string) => text.replaceAll("\n", "\r\n")],
    ["byte-order-mark", (text: string) => `\uFEFF${text}`],
    ["interpreter-relative", (text: string) => text.replace("#!/bin/sh", "#!sh")],
  ])("does not start a program where --check says %s", async (rule, change) => {
    const home = await makeHome();
    const program = join(home.publicFolder, "shop.fcgi");
    const text = change(readFileSync(program, "utf8"));
    const unknown = { addresses: undefined, mount: undefined, maxBodyBytes: undefined, sendFile: undefined };
    expect(checkConfiguration("apache", text, unknown).map((one) => one.rule)).toContain(rule);
    rmSync(program);
    writeFileSync(program, text);
    chmodSync(program, 0o755);
    await onHost(home, {}, async (web) => {
      // mod_fcgid says nothing when the program is gone before it was sent the request.
      const isSaid = async (): Promise<boolean> => {
        expect((await request(`${web.origin}/x`, READY)).status, web.errorLog()).toBe(500);
        return /End of script output before headers/.test(web.errorLog());
      };
      await waitFor(isSaid, { what: "the reason in Apache's log", evidence: web.errorLog, ...READY });
    });
  });
});
