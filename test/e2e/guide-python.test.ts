/**
 * docs/guide-python.md, done: its commands and files serve a Flask application, its configurations stand before one or
 * start one, and each mistake of the debugging chapter is made, to compare what is printed with what is quoted. The page
 * in Russian has the same blocks, so what runs here runs there.
 */
import { chmodSync, chownSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { LANGUAGES, markOf } from "../support/deploy-docs.ts";
import { built } from "../support/e2e/built.ts";
import { startDocumented, withText } from "../support/e2e/documented.ts";
import { childrenOf } from "../support/e2e/manager.ts";
import { MIDDLEWARES } from "../support/e2e/probe-python.ts";
import { asDocumented, expectQuoted, readQuoting } from "../support/e2e/quoted.ts";
import { startSharedHost } from "../support/e2e/shared-host.ts";
import { get } from "../support/e2e/supervised.ts";
import { type HttpAnswer, request } from "../support/http.ts";
import { type CodeBlock, type Document, readDocument } from "../support/markdown.ts";
import { freePort } from "../support/ports.ts";
import type { Running, StartOptions } from "../support/process.ts";
import { type FlaskSite, makeFlaskSite } from "../support/python/flask-site.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer, type ServerName } from "../support/web-servers/available.ts";
import { serverUser, type WebServer } from "../support/web-servers/web-server.ts";

const SOON = { timeoutMs: 30_000 };
const LONG = { timeout: patience(60_000) };
const { blocks, names, quoted, commandAbove } = readQuoting("docs/guide-python.md");
const NEEDED: readonly ServerName[] = ["python", "flask"];

const running: (Running | WebServer)[] = [];
beforeAll(built);
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});

/** Stopped with the test. */
function remember<T extends Running | WebServer>(one: T): T {
  running.push(one);
  return one;
}

/** The block with `runs=NAME` in its fence. */
function runsOf(name: string): string {
  const block = blocks.find(({ info }) => info.split(" ").includes(`runs=${name}`));
  if (block === undefined) throw new Error(`no block of the guide says runs=${name}`);
  return block.text;
}

/** A manager by a command of the guide, serving. */
async function manage(site: FlaskSite, command: string, folder?: string): Promise<Running> {
  const manager = remember(site.started(command.trim(), folder));
  await manager.waitForLine(/info {2}listening for FastCGI/, SOON);
  return manager;
}

/** What the application says, asked over FastCGI at its socket. */
async function pageAt(site: FlaskSite, path = "/news", socket = "app.sock"): Promise<string> {
  return (await get(`unix:${join(site.run, socket)}`, path)).text;
}

/** Puts something in the place of what only runs when the file is run by itself. */
function withoutMain({ app }: FlaskSite, instead: string): void {
  const [before] = readFileSync(app, "utf8").split("if __name__");
  writeFileSync(app, `${before}${instead}`);
}

describeWithServer(NEEDED, "the guide with Python", () => {
  it.each(["serve", "serve-fcgi", "spawn"])("serves as it says: %s", LONG, async (name) => {
    const site = await makeFlaskSite();
    await manage(site, runsOf(name));
    expect(await pageAt(site)).toBe('mount "", path /news\n');
  });

  it.each(["serve", "serve-fcgi", "spawn"])("starts no server for app.run(): %s", LONG, async (name) => {
    const site = await makeFlaskSite();
    withoutMain(site, "app.run(port=1)\n");
    await manage(site, runsOf(name));
    expect(await pageAt(site)).toBe('mount "", path /news\n');
  });

  it("serves on the socket that bindAddress names", LONG, async () => {
    const site = await makeFlaskSite();
    writeFileSync(site.program, site.here(runsOf("bind-address")));
    const program = remember(site.started("./yourapplication.fcgi"));
    const page = await waitFor(() => pageAt(site).catch(() => program.exit !== undefined && "it ended"), {
      what: "its socket",
      evidence: program.output,
      ...SOON,
    });
    expect(page).toBe('mount "", path /news\n');
  });

  it("has the .fcgi file and a JavaScript application in one manager", LONG, async () => {
    const site = await makeFlaskSite();
    writeFileSync(join(site.site, "live.js"), 'export default (req, res) => res.end("live, too");\n');
    writeFileSync(join(site.site, "postern.config.json"), site.here(runsOf("pools")));
    await manage(site, "postern serve");
    expect(await pageAt(site)).toBe('mount "", path /news\n');
    expect(await pageAt(site, "/news", "live.sock")).toBe("live, too");
  });

  it("keeps the middleware of the old guide right", LONG, async () => {
    const site = await makeFlaskSite();
    const middleware = `
class LighttpdCGIRootFix:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        environ["PATH_INFO"] = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        environ["SCRIPT_NAME"] = ""
        return self.app(environ, start_response)


app = LighttpdCGIRootFix(app)
`;
    withoutMain(site, middleware);
    await manage(site, runsOf("serve"));
    expect(await pageAt(site)).toBe('mount "", path /news\n');
  });

  describeWithServer(["apache", "apache-fcgid"], "on a shared host", () => {
    it.each([
      ["without", ""],
      ["with", MIDDLEWARES.ScriptNameStripper],
    ])("needs no ScriptNameStripper, and bears it: %s", LONG, async (_, middleware) => {
      const site = await makeFlaskSite();
      const program = join(temporaryFolder("home"), "yourapplication.fcgi");
      const text = site.here(runsOf("shared")).replace("\nWSGIServer(app)", `${middleware}\nWSGIServer(app)`);
      writeFileSync(program, text, { mode: 0o755 });
      const publicFolder = join(temporaryFolder("home"), "public_html");
      cpSync(join(site.site, "public", "static"), publicFolder, { recursive: true });
      const web = remember(await startSharedHost(program, publicFolder));
      const page = await request(`${web.origin}/news/caf%C3%A9?q=1`);
      expect([page.status, page.text], web.errorLog()).toEqual([200, 'mount "", path /news/café\n']);
      expect((await request(`${web.origin}/a.txt`)).text).toBe("from disk");
    });
  });

  describe("configurations that are written", () => {
    const written = blocks
      .find(({ text }) => text.startsWith("postern config nginx"))!
      .text.trim()
      .split("\n");

    it("name the socket that postern serve is given", LONG, async () => {
      const site = await makeFlaskSite();
      const printed = await site.shell(`${written[0]} --bind unix:/run/yourapplication/app.sock`);
      expect(printed).toContain(`server unix:${site.run}/app.sock;`);
      expect(printed).toContain("location /yourapplication/");
    });

    describeWithServer("lighttpd", "for lighttpd", () => {
      it("start the .fcgi file", LONG, async () => {
        const site = await makeFlaskSite();
        const port = await freePort();
        const folder = temporaryFolder("std");
        if (site.user !== undefined) chownSync(folder, site.user.uid, site.user.gid);
        const where = `--standalone ${folder} --listen 127.0.0.1:${port} --write`;
        const printed = await site.shell(`${written[1]} ${where}`);
        const [, run] = /^ {2}run +(.*)$/m.exec(printed) ?? [];
        const web = remember(site.started(run ?? "false"));
        const ask = async (): Promise<HttpAnswer | false> => {
          if (web.exit !== undefined) throw new Error(web.output());
          return await request(`http://127.0.0.1:${port}/news`).catch(() => false as const);
        };
        const page = await waitFor(ask, { what: "an answer", evidence: web.output, ...SOON });
        expect(page.text, printed).toBe('mount "", path /news\n');
      });
    });
  });

  for (const [language, server] of Object.entries(LANGUAGES)) {
    const marked = (mark: "serves" | "spawns"): [string, CodeBlock, string][] =>
      blocks.flatMap((block) => {
        const mount = block.language === language ? markOf(block, mark) : undefined;
        return mount === undefined ? [] : [[`line ${block.line}`, block, mount]];
      });
    const [serving, spawning] = [marked("serves"), marked("spawns")];
    if (serving.length + spawning.length === 0) continue;

    describeWithServer(server, `configurations for ${language}`, () => {
      it.each(serving)("%s serves it", LONG, async (_, block, mount) => {
        const site = await makeFlaskSite();
        // The page says so: lighttpd does not tell the mount when it is asked for without a slash.
        const base = server === "lighttpd" && mount !== "" ? ` --base ${mount}` : "";
        await manage(site, `${runsOf("serve").trim()}${base}`);
        const web = remember(await startDocumented(block, site));
        const page = await request(`${web.origin}${mount}/caf%C3%A9/a%2Fb?q=1`);
        expect([page.status, page.text], web.errorLog()).toEqual([200, `mount "${mount}", path /café/a/b\n`]);
        const top = await request(`${web.origin}${mount}`);
        // Flask redirects from the mount to its slash by itself, if the web server did not.
        if (mount !== "") expect(top.headers.location).toMatch(new RegExp(`^http://127[^/]*${mount}/$`));
        else expect(top.text).toBe('mount "", path /\n');
      });
    });

    if (spawning.length === 0) continue;
    const modules: readonly ServerName[] = server === "apache" ? [server, "apache-fcgid"] : [server];
    describeWithServer(modules, `programs of ${language}`, () => {
      it.each(spawning)("%s starts it", LONG, async (_, block) => {
        const site = { ...(await makeFlaskSite()), user: undefined };
        const web = remember(await startDocumented(withText(block, replacements(site, block)), site));
        const page = await request(`${web.origin}/caf%C3%A9/a%2Fb?q=1`);
        expect([page.status, page.text], web.errorLog()).toEqual([200, 'mount "", path /café/a/b\n']);
        expect((await request(`${web.origin}/static/a.txt`)).text).toBe("from disk");
      });
    });
  }
});

/** The folder of our Python files, which nobody else renders. */
function replacements(site: FlaskSite, { text }: CodeBlock): Record<string, string> {
  const [documented] = /\/usr\/local\/lib\/[\w/]+/.exec(text) ?? [];
  return documented === undefined ? {} : { [documented]: site.here(documented) };
}

/** Makes the mistake of a block in a site of its own. @returns everything that was printed */
type Mistake = (site: FlaskSite) => Promise<string>;

/** As the page starts it by hand. */
const byHand = (site: FlaskSite, options?: StartOptions): Promise<string> =>
  site.shell(commandAbove("by-hand"), options);

const MISTAKES: Readonly<Record<string, Mistake>> = {
  "by-hand": (site) => byHand(site),
  flup: (site) => site.shell("./yourapplication.fcgi"),
  module(site) {
    rmSync(site.app);
    return byHand(site);
  },
  async "module-serve"(site) {
    const printed = await site.shell(`${commandAbove("module-serve").trim()}; echo "exit code $?"`);
    expect(printed).toMatch(/^exit code 4$/m);
    // As the text says.
    await manage(
      site,
      `postern serve ${site.site}/yourapplication:app --bind ${join(site.run, "app.sock")}`,
      "/",
    );
    expect(await pageAt(site)).toBe('mount "", path /news\n');
    return printed;
  },
  library(site) {
    site.spoil("import yourlibrary");
    return site.shell(runsOf("serve"));
  },
  cgi: (site) => site.shell(commandAbove("cgi")),
  async curl(site) {
    await manage(site, runsOf("serve"));
    return site.shell(commandAbove("curl"));
  },
  async dev(site) {
    const port = await freePort();
    const dev = remember(site.started(`${commandAbove("dev").trim()} --port ${port}`));
    await dev.waitForLine(/^open http/, SOON);
    expect((await request(`http://localhost:${port}/news`)).text).toBe('mount "", path /news\n');
    return dev.output().replaceAll(String(port), "3000");
  },
  async relative(site) {
    site.spoil('open("settings.json")');
    writeFileSync(join(site.site, "settings.json"), "{}");
    const printed = await site.shell(commandAbove("relative"));
    await manage(site, runsOf("serve"), site.site); // as the text says, in its own folder
    return printed;
  },
  environment(site) {
    site.spoil('import os\nos.environ["DATABASE_URL"]');
    return site.shell(commandAbove("environment"));
  },
  interpreter(site) {
    const text = readFileSync(site.program, "utf8");
    const environment = blocks.find(({ text: line }) => line.startsWith("#!") && line.includes(".venv"))!;
    writeFileSync(site.program, text.replace("#!/usr/bin/python3\n", site.here(environment.text)));
    return byHand(site);
  },
  async crlf(site) {
    writeFileSync(site.program, readFileSync(site.program, "utf8").replaceAll("\n", "\r\n"));
    expect(await byHand(site)).toContain("./yourapplication.fcgi: not found");
    const printed = await site.shell(commandAbove("crlf"));
    await site.shell("sed -i 's/\\r$//' yourapplication.fcgi");
    expect(await byHand(site)).toContain("nothing to listen on");
    return printed;
  },
  execute(site) {
    chmodSync(site.program, 0o644);
    return byHand(site);
  },
  hidden(site) {
    cpSync(site.app, join(site.site, "flask.py"));
    return byHand(site);
  },
};

/** What takes another user, which only root can become. */
const MISTAKES_OF_USERS: Readonly<Record<string, Mistake>> = {
  su: (site) => site.shell("su www-data -c true"),
  unreadable(site) {
    chmodSync(site.app, 0o600);
    return site.shell(`su -s /bin/sh www-data -c '${commandAbove("by-hand").trim()}'`);
  },
};

/** What a web server writes into its log of a program that ends at once. */
const LOGS: Readonly<Record<string, ServerName>> = { "apache-log": "apache", "lighttpd-log": "lighttpd" };

describeWithServer(NEEDED, "the debugging chapter", () => {
  const make = async (mistake: Mistake, block: CodeBlock): Promise<void> => {
    const site = await makeFlaskSite();
    expectQuoted(block, await mistake(site), site);
  };

  it.each(quoted(Object.keys(MISTAKES)))("quotes what is printed: %s", LONG, (name, block) =>
    make(MISTAKES[name]!, block),
  );

  // Only root can become the web server's user.
  it.skipIf(serverUser() === undefined).each(quoted(Object.keys(MISTAKES_OF_USERS)))(
    "quotes what is printed to another user: %s",
    LONG,
    (name, block) => make(MISTAKES_OF_USERS[name]!, block),
  );

  for (const [name, server] of Object.entries(LOGS)) {
    describeWithServer(server === "apache" ? ["apache", "apache-fcgid"] : server, `with ${server}`, () => {
      it(`quotes the log of a program that ends before it answers: ${name}`, LONG, async () => {
        const [[, block]] = quoted([name]) as [[string, CodeBlock]];
        const site = { ...(await makeFlaskSite()), user: undefined };
        const configuration = blocks.find(
          ({ language, info }) => language === server && info.includes("spawns="),
        )!;
        if (server === "apache") site.spoil("import yourlibrary");
        const web = remember(
          await startDocumented(withText(configuration, replacements(site, configuration)), site),
        );
        if (server === "lighttpd") {
          // It does not start at all with a program that does not.
          expect((await request(`${web.origin}/x`)).status).toBe(200);
          site.spoil("import yourlibrary");
          for (const pid of childrenOf(web.process.pid)) process.kill(pid, "SIGKILL");
        }
        const lines = block.text.split("\n").filter((line) => line !== "");
        const isThere = async (): Promise<boolean> => {
          await request(`${web.origin}/x`).catch(() => {});
          const log = asDocumented(web.errorLog(), site);
          return lines.every((line) => log.includes(line));
        };
        await waitFor(isThere, {
          what: `${lines.join(" and ")} in the log`,
          evidence: web.errorLog,
          ...SOON,
        });
      });
    });
  }

  it("quotes nothing else", () => {
    const known = [MISTAKES, MISTAKES_OF_USERS, LOGS].flatMap((all) => Object.keys(all));
    expect([...names].sort()).toEqual(known.sort());
  });
});

describe("the guide in Russian", () => {
  const [english, russian] = ["docs/guide-python.md", "docs/guide-python.ru.md"].map(readDocument) as [
    Document,
    Document,
  ];

  it("has the same blocks", () => {
    const shown = ({ blocks: all }: Document): string[] =>
      all.map(({ language, info, text }) => `${language} ${info}\n${text}`);
    expect(shown(russian)).toEqual(shown(english));
  });

  it("has them in the same places: headings, paragraphs, tables", () => {
    const shape = ({ text }: Document): string[] =>
      text.split("\n").map((line) => /^(?:#+ |```|\|)/.exec(line)?.[0] ?? (line === "" ? "" : "text"));
    const paragraphs = (document: Document): string =>
      shape(document)
        .join("\n")
        .replace(/\n{2,}/g, "\n");
    expect(paragraphs(russian)).toBe(paragraphs(english));
  });

  it("leads to the same pages", () => {
    const links = ({ prose }: Document): string[] =>
      [...prose.matchAll(/\]\(([^)]+)\)/g)]
        .map(([, link = ""]) => link)
        .filter((link) => !link.startsWith("#") && !link.startsWith("guide-python"));
    expect(links(russian)).toEqual(links(english));
  });
});
