/**
 * The classic guide as it was written, for Python: its configurations, its `.fcgi` file and what it puts around the
 * application, with Flask, Django and Bottle. Only folders and ports are others. All the rest that is asked of them is in
 * web-servers.test.ts, where the configurations are those of `postern config`.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ask, echoOf } from "../support/e2e/behaviours/model.ts";
import { type Probe, startProbe } from "../support/e2e/probe.ts";
import { DEBIAN_PYTHON, type Middleware, type PythonForm } from "../support/e2e/probe-python.ts";
import { classicRules, startSharedHostWith } from "../support/e2e/shared-host.ts";
import { repositoryRoot } from "../support/paths.ts";
import { run } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience } from "../support/wait.ts";
import { startApache } from "../support/web-servers/apache.ts";
import { describeWithServer, programOf, type ServerName } from "../support/web-servers/available.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { ERROR_LOG, startWebServer, type WebServer } from "../support/web-servers/web-server.ts";

interface GuideSite {
  readonly title: string;
  readonly form: PythonForm;
  readonly wrapped?: Middleware;
  /** Whether the web server starts the `.fcgi` file; else `postern serve` does. */
  readonly isSpawned?: boolean;
  readonly mount: string;
  readonly needs: readonly ServerName[];
  start(probe: Probe): Promise<WebServer>;
}

const HTACCESS = classicRules("yourapplication.fcgi");

function startHtaccess({ program }: Probe): Promise<WebServer> {
  const files = { program, name: "yourapplication.fcgi", htaccess: HTACCESS };
  return startSharedHostWith(files, publicFolder());
}

function publicFolder(): string {
  const folder = join(temporaryFolder("public"), "www");
  mkdirSync(join(folder, "static"), { recursive: true });
  writeFileSync(join(folder, "static", "site.css"), "body { color: red }\n");
  return folder;
}

function startLighttpdOfTheGuide({ program }: Probe): Promise<WebServer> {
  const files = publicFolder();
  return startWebServer({
    name: "lighttpd",
    program: programOf("lighttpd"),
    version: "",
    mount: "",
    documentRoot: files,
    reloadSignal: "SIGUSR1",
    readyLine: /server started/,
    prepare: ({ port, folder, user }) => ({
      files: {
        "lighttpd.conf": `
server.modules = ( "mod_rewrite", "mod_alias", "mod_fastcgi" )
server.document-root = "${files}"
server.bind = "127.0.0.1"
server.port = ${port}
${user ? `server.username = "${user.user}"\nserver.groupname = "${user.group}"` : ""}
server.errorlog = "${join(folder, ERROR_LOG)}"
server.pid-file = "${join(folder, "lighttpd.pid")}"

fastcgi.server = ("/yourapplication.fcgi" =>
    ((
        "socket" => "${join(folder, "yourapplication-fcgi.sock")}",
        "bin-path" => "${program}",
        "check-local" => "disable",
        "max-procs" => 1
    ))
)

alias.url = (
    "/static/" => "${files}/static/"
)

url.rewrite-once = (
    "^(/static($|/.*))$" => "$1",
    "^(/.*)$" => "/yourapplication.fcgi$1"
)
`,
      },
      args: ["-D", "-f", join(folder, "lighttpd.conf")],
    }),
  });
}

function startNginxOfTheGuide(mount: string): (probe: Probe) => Promise<WebServer> {
  return ({ addresses: [application] }) => startNginx({ application: application!, mount });
}

const APACHE = {
  mount: "",
  isSpawned: true,
  needs: ["apache", "apache-fcgid"],
  start: startHtaccess,
} as const;
const LIGHTTPD = { mount: "", isSpawned: true, needs: ["lighttpd"], start: startLighttpdOfTheGuide } as const;
const MOUNT = "/yourapplication";

const SITES: readonly GuideSite[] = [
  { title: "Apache's .htaccess", form: "flask", ...APACHE },
  { title: "Apache's .htaccess", form: "django", wrapped: "ScriptNameStripper", ...APACHE },
  { title: "Apache's .htaccess", form: "bottle", wrapped: "ScriptNameStripper", ...APACHE },
  { title: "lighttpd", form: "django", ...LIGHTTPD },
  { title: "lighttpd", form: "flask", wrapped: "ScriptNameStripper", ...LIGHTTPD },
  { title: "lighttpd", form: "bottle", wrapped: "LighttpdCGIRootFix", ...LIGHTTPD },
  { title: "nginx", form: "bottle", mount: MOUNT, needs: ["nginx"], start: startNginxOfTheGuide(MOUNT) },
  {
    title: "nginx at the root",
    form: "django",
    mount: "",
    needs: ["nginx"],
    start: startNginxOfTheGuide(""),
  },
  {
    title: "nginx at the root",
    form: "flask",
    wrapped: "ScriptNameStripper",
    mount: "",
    needs: ["nginx"],
    start: startNginxOfTheGuide(""),
  },
];

const VERSIONS = `import platform, flask, django, bottle
for name, version in ("Python", platform.python_version()), ("Flask", flask.__version__), ("Django", django.__version__), ("Bottle", bottle.__version__):
    print(name, ".".join(version.split(".")[:2]))`;

describeWithServer(["python", "flask", "django", "bottle"], "docs/python.md", () => {
  it("names the versions that are tested", async () => {
    const { stdout, stderr } = await run(DEBIAN_PYTHON, ["-W", "ignore", "-c", VERSIONS]);
    const document = readFileSync(join(repositoryRoot, "docs", "python.md"), "utf8");
    const versions = stdout.split("\n").filter(Boolean);
    expect(versions.length, stderr).toBe(4);
    for (const version of versions) expect(document).toMatch(new RegExp(`\\b${version}\\b`));
  });
});

describeWithServer(["python", "bottle", "apache"], "mod_proxy_fcgi with proxy-sendcl", () => {
  it("announces the length of a chunked body, without which Bottle sees none", async () => {
    const probe = await startProbe({ form: "bottle", transports: ["unix"] });
    const bytes = 100_000;
    const body = `${bytes.toString(16)}\r\n${"b".repeat(bytes)}\r\n0\r\n\r\n`;
    const seenWith = async (directives: string): Promise<number> => {
      const web = await startApache({ application: probe.addresses[0]!, mount: "", directives });
      try {
        return echoOf(await ask(web, "POST /upload\nTransfer-Encoding: chunked", body)).bodyBytes;
      } finally {
        await web.stop();
      }
    };
    try {
      expect(await seenWith("SetEnvIf Transfer-Encoding . proxy-sendcl=1")).toBe(bytes);
      expect(await seenWith("")).toBe(0);
    } finally {
      await probe.stop();
    }
  });
});

for (const site of SITES) {
  const wrapped = site.wrapped === undefined ? "" : ` in ${site.wrapped}`;
  const title = `the classic guide's ${site.title}, ${site.form}${wrapped}`;
  describeWithServer(["python", site.form, ...site.needs], title, () => {
    it("has the URL without the program's name, and the mount", { timeout: patience(60_000) }, async () => {
      const probe = await startProbe({
        form: site.form,
        transports: site.isSpawned ? [] : ["unix"],
        wrapped: site.wrapped,
      });
      const web = await site.start(probe);
      try {
        for (const url of ["/", "/news/", "/news/7?a=1&b=%20", "/caf%C3%A9/a%20b", "/news//7", "/a.html"]) {
          const echo = echoOf(await ask(web, `GET ${site.mount}${url}`));
          expect(echo).toMatchObject({ url, baseUrl: site.mount });
        }
        const file = await ask(web, "GET /static/site.css");
        if (site.isSpawned) expect(file.body.toString()).toBe("body { color: red }\n");
        const moved = await ask(web, `GET ${site.mount}/framework/redirect`);
        expect(moved.status).toBe(303);
        expect(moved.header("location")[0]?.replace(/^http:\/\/[^/]+/, "")).toBe(`${site.mount}/target`);
        const posted = echoOf(await ask(web, `POST ${site.mount}/upload\nContent-Length: 5`, "hello"));
        expect(posted).toMatchObject({ method: "POST", url: "/upload", bodyBytes: 5 });
      } finally {
        await web.stop();
        await probe.stop();
      }
    });
  });
}
