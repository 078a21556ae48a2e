/**
 * A door and what is behind it, for tests of authorizers: the configurations of docs/authorizer.md on real servers, an
 * authorizer that knows a word and a password, and behind it an application that says which parameters it got.
 */
import { chmodSync, chownSync, cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Application, fastcgi, type RawHandler } from "../../../src/index.ts";
import { LANGUAGES, makeSite, render } from "../deploy-docs.ts";
import type { CodeBlock } from "../markdown.ts";
import { repositoryRoot } from "../paths.ts";
import { freePort } from "../ports.ts";
import { temporaryFolder } from "../temp.ts";
import { type Command, currentFolder } from "../web-servers/current.ts";
import { commandOf, type Release } from "../web-servers/generated.ts";
import { serverUser, startWebServer, type WebServer } from "../web-servers/web-server.ts";
import { built, programPath } from "./built.ts";
import { type Served, servePostern } from "./served.ts";

/** What the authorizer was asked. */
export interface Question {
  readonly params: Readonly<Record<string, string>>;
  readonly role: string;
  readonly bodyBytes: number;
}

export interface Door {
  readonly web: WebServer;
  readonly questions: readonly Question[];
  /** The authorizer goes; the web server stays. */
  abandon(): Promise<void>;
}

export interface DoorOptions {
  readonly release?: Release;
  /** In the place of the authorizer that knows the words, which fails on `throw`. */
  readonly application?: Application;
}

/** Runs `test` behind a configuration of the page, word for word but for paths and ports. */
export async function behindDoor(
  block: CodeBlock,
  options: DoorOptions,
  test: (door: Door) => Promise<void>,
): Promise<void> {
  const folder = temporaryFolder("door");
  const runFolder = join(folder, "run");
  mkdirSync(runFolder);
  const user = serverUser();
  if (user !== undefined) {
    chownSync(runFolder, -1, user.gid);
    chmodSync(runFolder, 0o2750);
  }
  const site = join(folder, "www");
  makeSite(site);
  mkdirSync(join(site, "public", "private"));
  writeFileSync(join(site, "public", "private", "a.txt"), "a file behind the door");
  if (block.text.includes("door.fcgi")) await writeProgram(site);
  const questions: Question[] = [];
  const port = await freePort();
  const authorizer = await servePostern(options.application ?? (await knowing(questions)), "unix", {
    bind: [`unix:${join(runFolder, "authorizer.sock")}`, `127.0.0.1:${port}`],
  });
  const house = await servePostern(telling, "unix", { bind: `unix:${join(runFolder, "app.sock")}` });
  const { release = "system" } = options;
  const name = LANGUAGES[block.language] as "nginx" | "apache" | "lighttpd";
  const command: Command = commandOf(name, release);
  const modules =
    name === "lighttpd" && release === "current"
      ? ["-m", join(currentFolder(), "usr", "lib", "lighttpd")]
      : [];
  const web = await startWebServer({
    name,
    program: command.program,
    version: "",
    mount: "",
    documentRoot: join(site, "public"),
    reloadSignal: "SIGHUP",
    readyLine: /./,
    prepare: (place) => {
      const { files, run } = render(block, { ...place, run: runFolder, site, tcpPort: port });
      return { files, args: [...command.args, ...run, ...modules] };
    },
  });
  try {
    await test({ web, questions, abandon: () => authorizer.close() });
  } finally {
    await web.stop();
    await closeAll(authorizer, house);
  }
}

async function closeAll(...all: readonly Served[]): Promise<void> {
  for (const one of all) await one.close();
}

/** An authorizer that notes what it is asked and answers by the rules. */
async function knowing(questions: Question[]): Promise<Application> {
  const rules = pathToFileURL(programPath("door-rules.js")).href;
  const { decide } = (await import(rules)) as { decide: RawHandler };
  return {
    async authorizer(request, response) {
      let bodyBytes = 0;
      for await (const piece of request.stdin) bodyBytes += (piece as Buffer).length;
      questions.push({
        params: { ...request.params } as Record<string, string>,
        role: request.role,
        bodyBytes,
      });
      decide(request, response);
    },
  };
}

/** Says which parameters it got, and how long the body was. */
const telling: Application = async (req, res) => {
  let bodyBytes = 0;
  for await (const piece of req) bodyBytes += (piece as Buffer).length;
  res.setHeader("Content-Type", "application/json");
  res.end(JSON.stringify({ ...fastcgi(req).params, "body bytes": bodyBytes }));
};

/** `door.fcgi`, which the web server's user can run whatever the permissions of the repository are. */
async function writeProgram(site: string): Promise<void> {
  await built();
  const installed = join(site, "node_modules", "postern");
  rmSync(installed);
  mkdirSync(installed);
  cpSync(join(repositoryRoot, "dist"), join(installed, "dist"), { recursive: true });
  cpSync(join(repositoryRoot, "package.json"), join(installed, "package.json"));
  cpSync(programPath("door-rules.js"), join(site, "door-rules.js"));
  writeFileSync(
    join(site, "door.js"),
    'import { serve } from "postern";\nimport { decide } from "./door-rules.js";\nawait serve({ authorizer: decide });\n',
  );
  const file = join(site, "door.fcgi");
  writeFileSync(file, `#!/bin/sh\nexec ${process.execPath} ${join(site, "door.js")}\n`);
  chmodSync(file, 0o755);
}
