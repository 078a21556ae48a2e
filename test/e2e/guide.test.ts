/**
 * The debugging chapter of docs/guide.md: each mistake is made, and what the chapter quotes is what is printed. The
 * configurations in the guide are run by examples.test.ts.
 */
import { chmodSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { makeSetting, type Setting, startDocumented } from "../support/e2e/documented.ts";
import { childrenOf } from "../support/e2e/manager.ts";
import { expectQuoted, readQuoting } from "../support/e2e/quoted.ts";
import { request } from "../support/http.ts";
import type { CodeBlock } from "../support/markdown.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort } from "../support/ports.ts";
import { run, type StartOptions, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { serverUser } from "../support/web-servers/web-server.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");
const NODE = dirname(process.execPath);
const SOON = { timeoutMs: 30_000 };
const LONG = { timeout: patience(60_000) };
const { blocks, names: named, quoted, commandAbove } = readQuoting("docs/guide.md");
const user = serverUser();

beforeAll(built);

/** Makes the mistake of a block in a site of its own. @returns everything that was printed */
type Mistake = (setting: Setting, shell: Shell) => Promise<string>;
/** A command line, in the application's folder. */
type Shell = (command: string, options?: StartOptions) => Promise<string>;

const app = ({ site }: Setting): string => join(site, "app.js");
const program = ({ site }: Setting): string => join(site, "yourapplication.fcgi");
const MISSING = 'import "yourlibrary";\nexport default (req, res) => res.end();\n';

const MISTAKES: Readonly<Record<string, Mistake>> = {
  "by-hand": (_, shell) => shell("./yourapplication.fcgi"),
  module(setting, shell) {
    writeFileSync(app(setting), MISSING);
    return shell("./yourapplication.fcgi");
  },
  async "module-serve"(setting, shell) {
    writeFileSync(app(setting), MISSING);
    const printed = await shell(
      `node ${CLI} serve ${app(setting)} --bind unix:./a.sock; echo "exit code $?"`,
    );
    expect(printed).toMatch(/^exit code 4$/m); // as the text says
    return printed;
  },
  cgi: (_, shell) => shell(commandAbove("cgi")),
  async http(setting) {
    const port = await freePort();
    const args = [CLI, "serve", app(setting), "--http", `127.0.0.1:${port}`];
    await using running = start(process.execPath, args, { cwd: setting.site });
    await running.waitForLine(/open http/, SOON);
    return running.output().replaceAll(String(port), "8080");
  },
  relative(setting, shell) {
    const read = 'import { readFileSync } from "node:fs";\nreadFileSync("settings.json");\n';
    writeFileSync(app(setting), `${read}export default (req, res) => res.end();\n`);
    writeFileSync(join(setting.site, "settings.json"), "{}");
    return shell(commandAbove("relative").replaceAll("/var/www/yourapplication", setting.site));
  },
  environment(_, shell) {
    // A machine on which node is where only a user's PATH leads.
    const bin = temporaryFolder("bin");
    for (const name of ["sh", "dirname"]) symlinkSync(`/usr/bin/${name}`, join(bin, name));
    return shell("./yourapplication.fcgi", { env: { PATH: bin } });
  },
  crlf(setting, shell) {
    writeFileSync(program(setting), '#!/usr/bin/env node\r\nimport("./serve.js");\r\n');
    return shell("head -1 yourapplication.fcgi | cat -A; ./yourapplication.fcgi");
  },
  extension(setting, shell) {
    const serving = readFileSync(join(setting.site, "serve.js"), "utf8");
    writeFileSync(program(setting), `#!/usr/bin/env node\n${serving}`);
    return shell("./yourapplication.fcgi");
  },
  execute(setting, shell) {
    chmodSync(program(setting), 0o644);
    return shell("./yourapplication.fcgi");
  },
};

/** What takes another user, which only root can become. */
const MISTAKES_OF_USERS: Readonly<Record<string, Mistake>> = {
  su: (_, shell) => shell("su www-data -c true"),
  unreadable(setting, shell) {
    chmodSync(app(setting), 0o600);
    // su gives it a PATH of its own.
    return shell(`su -s /bin/sh www-data -c 'PATH=${NODE}:$PATH ./yourapplication.fcgi'`);
  },
};

/** What a web server writes into its log of a program that ends at once. */
const LOGS: Readonly<Record<string, { readonly server: "apache" | "lighttpd"; readonly needs: string }>> = {
  "apache-log": { server: "apache", needs: "modules=fcgid" },
  "lighttpd-log": { server: "lighttpd", needs: "spawns=/" },
};

describe("the debugging chapter", () => {
  async function make(mistake: Mistake, block: CodeBlock): Promise<void> {
    const setting = await makeSetting();
    const shell: Shell = async (command, options = {}) => {
      // No POSTERN_ variables, no sockets: as in a terminal.
      const env = { PATH: `${NODE}:${process.env["PATH"]}`, HOME: setting.site, LC_ALL: "C.UTF-8" };
      const { stdout, stderr } = await run("/bin/sh", ["-c", command], {
        cwd: setting.site,
        env,
        ...SOON,
        ...options,
      });
      return `${stdout}\n${stderr}`;
    };
    expectQuoted(block, await mistake(setting, shell), setting);
  }

  it.each(quoted(Object.keys(MISTAKES)))("quotes what is printed: %s", LONG, (name, block) =>
    make(MISTAKES[name]!, block),
  );

  it.skipIf(user === undefined).each(quoted(Object.keys(MISTAKES_OF_USERS)))(
    "quotes what is printed to another user: %s",
    LONG,
    (name, block) => make(MISTAKES_OF_USERS[name]!, block),
  );

  for (const [name, { server, needs }] of Object.entries(LOGS)) {
    describeWithServer(server === "apache" ? ["apache", "apache-fcgid"] : server, `with ${server}`, () => {
      it(`quotes the log of a program that ends before it answers: ${name}`, LONG, async () => {
        const [[, block]] = quoted([name]) as [[string, CodeBlock]];
        // As ourselves: www-data need not be allowed to read the repository, which node_modules/postern leads to.
        const setting = { ...(await makeSetting()), user: undefined };
        const configuration = blocks.find(
          ({ language, info }) => language === server && info.includes(needs) && info.includes("spawns="),
        )!;
        if (server === "apache") writeFileSync(app(setting), MISSING);
        const web = await startDocumented(configuration, setting);
        try {
          if (server === "lighttpd") {
            // It does not start at all with a program that does not.
            expect((await request(`${web.origin}/x`)).status).toBe(200);
            writeFileSync(program(setting), "#!/bin/sh\necho no database >&2\nexit 1\n");
            for (const pid of childrenOf(web.process.pid)) process.kill(pid, "SIGKILL");
          }
          await request(`${web.origin}/x`).catch(() => {});
          const lines = block.text.split("\n").filter((line) => line !== "");
          await waitFor(
            async () => {
              if (server === "lighttpd") await request(`${web.origin}/x`).catch(() => {});
              const log = web.errorLog().replaceAll(setting.run, "/run/yourapplication");
              return lines.every((line) => log.includes(line));
            },
            { what: `${lines.join(" and ")} in the log`, evidence: web.errorLog, ...SOON },
          );
          if (server === "apache") expect(web.errorLog()).toContain("ERR_MODULE_NOT_FOUND");
        } finally {
          await web.stop();
        }
      });
    });
  }

  it("quotes nothing else", () => {
    const known = [MISTAKES, MISTAKES_OF_USERS, LOGS].flatMap((all) => Object.keys(all));
    expect([...named].sort()).toEqual(known.sort());
  });
});
