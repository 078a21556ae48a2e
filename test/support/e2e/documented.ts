/** Configurations of the documents, run: a web server from a block, and what stands for the folders in it. */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LANGUAGES, makeSite, render } from "../deploy-docs.ts";
import { type CodeBlock, readDocument } from "../markdown.ts";
import { repositoryRoot } from "../paths.ts";
import { freePort } from "../ports.ts";
import { type Running, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { programOf } from "../web-servers/available.ts";
import { type ServerUser, serverUser, startWebServer, type WebServer } from "../web-servers/web-server.ts";

/** What the documents call /run/yourapplication, /var/www/yourapplication and 127.0.0.1:9000. */
export interface Setting {
  readonly run: string;
  readonly site: string;
  readonly tcpPort: number;
  readonly user: ServerUser | undefined;
}

export async function makeSetting(): Promise<Setting> {
  const folder = temporaryFolder("doc");
  const run = join(folder, "run");
  mkdirSync(run);
  const user = serverUser();
  if (user !== undefined) {
    // Set-group-ID, as the documents advise: sockets made in here belong to the web server's group.
    chownSync(run, -1, user.gid);
    chmodSync(run, 0o2750);
  }
  const site = join(folder, "www");
  makeSite(site);
  return { run, site, tcpPort: await freePort(), user };
}

/** The one block of a document with `mark` in its fence, such as `name=before`. */
export function blockOf(document: string, mark: string): CodeBlock {
  const [block, ...more] = readDocument(document).blocks.filter(({ info }) => info.split(" ").includes(mark));
  if (block === undefined || more.length > 0)
    throw new Error(`${document} has ${more.length} more than one, or no, block with ${mark}`);
  return block;
}

/** The block with a part of its text replaced, for what is of no concern to the others that render it. */
export function withText(block: CodeBlock, replace: Readonly<Record<string, string>>): CodeBlock {
  const text = Object.entries(replace).reduce((all, [from, to]) => all.replaceAll(from, to), block.text);
  return { ...block, text };
}

export interface Documented extends WebServer {
  /** Puts another configuration in the place of this one, and reloads. */
  become(block: CodeBlock): Promise<void>;
}

/** The web server of the block's language, running. */
export async function startDocumented(block: CodeBlock, setting: Setting): Promise<Documented> {
  const name = LANGUAGES[block.language];
  if (name === undefined) throw new Error(`no server takes ${block.language}`);
  const web = await startWebServer({
    name,
    program: programOf(name),
    version: "",
    mount: "",
    documentRoot: join(setting.site, "public"),
    reloadSignal: "SIGHUP",
    readyLine: /start worker processes|resuming normal operations|server started/,
    prepare: ({ port, folder }) => {
      const { files, run: args } = render(block, { folder, port, ...setting });
      return { files, args };
    },
  });
  return {
    ...web,
    async become(other) {
      const { files } = render(other, { folder: web.folder, port: web.port, ...setting });
      for (const [path, text] of Object.entries(files)) writeFileSync(join(web.folder, path), text);
      await web.reload();
    },
  };
}

/** `postern serve`, serving, for a web server of this machine. The caller stops it. */
export async function servePostern(
  file: string,
  flags: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Running> {
  const user = serverUser();
  const group = user === undefined ? [] : ["--listen-group", user.group];
  const cli = join(repositoryRoot, "dist", "cli", "main.js");
  const running = start(process.execPath, [cli, "serve", file, ...group, ...flags], {
    cwd: "/",
    env: { ...process.env, ...env },
  });
  await running.waitForLine(/info {2}(listening for FastCGI|open) /, { timeoutMs: 30_000 });
  return running;
}
