/**
 * The configurations of `postern config`, ordinary and hostile, through each web server's own check, and some in use:
 * no name of a folder, a socket or a mount breaks out of its place.
 */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { beforeAll, expect, it } from "vitest";
import { SettingError } from "../../src/base/errors.ts";
import { type GeneratedSite, generateSite, type Site } from "../../src/sites/index.ts";
import { addressOf, servePostern } from "../support/e2e/served.ts";
import { request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { run } from "../support/process.ts";
import { HOSTILE_NAMES, hostileSite, plainSite, tableOf } from "../support/sites-table.ts";
import { temporaryFolder } from "../support/temp.ts";
import { isThorough } from "../support/thorough.ts";
import { patience } from "../support/wait.ts";
import { describeWithServer, type ServerName } from "../support/web-servers/available.ts";
import { describeWithCurrent } from "../support/web-servers/current.ts";
import {
  commandOf,
  externalAt,
  modulesOf,
  type Release,
  startGenerated,
} from "../support/web-servers/generated.ts";
import { serverUser } from "../support/web-servers/web-server.ts";

const SERVERS = ["nginx", "apache", "lighttpd", "caddy", "haproxy", "h2o"] as const;
const CURRENT = ["nginx", "lighttpd", "caddy", "haproxy"] as const;
type Server = (typeof SERVERS)[number];

/** Modules and the like, which are packages of their own. */
const PACKAGES: Partial<Record<Server, readonly ServerName[]>> = {
  apache: ["apache", "apache-fcgid"],
};

/** Made before the tests are named; what is in it is made by {@link prepare}. */
const FOLDER = temporaryFolder("s");
const TLS = join(repositoryRoot, "test", "support", "tls");
/** As `htpasswd -B` writes it. */
const PASSWORDS = "kim:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n";

function places(site: Site): string[] {
  return [site.publicFolder, ...site.statics.map(({ folder }) => folder)].filter(
    (path) => path !== undefined,
  );
}

/** The files that a site names: some checks look for them. */
function prepare(site: Site): void {
  for (const folder of places(site)) mkdirSync(folder, { recursive: true });
  const files = [
    [site.passwords, PASSWORDS],
    [site.application.kind === "spawned" ? site.application.program : undefined, "#!/bin/sh\n"],
  ] as const;
  for (const [path, text] of files) {
    if (path === undefined) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    chmodSync(path, 0o755);
  }
}

/** A configuration, or the sentence by which it is refused. */
function attempt(server: Server, release: Release, site: Site): GeneratedSite | string {
  const user = serverUser();
  const standalone = {
    folder: FOLDER,
    user: user?.user,
    group: user?.group,
    modules: modulesOf(server, release),
  };
  try {
    return generateSite(server, { ...site, standalone });
  } catch (error) {
    if (error instanceof SettingError) return error.message;
    throw error;
  }
}

/** What the server's own check says of it; empty when it is content. */
async function complaint(server: Server, release: Release, made: GeneratedSite): Promise<string> {
  for (const { path, text, mode } of made.files) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    chmodSync(path, mode);
  }
  // What it wants to be made of the site's files; the second time some of it is there already.
  for (const { what, command } of made.steps) {
    if (what === "install" && command.includes(FOLDER)) await run("sh", ["-c", command], { cwd: FOLDER });
  }
  const { program, args } = commandOf(server, release);
  const { code, stdout, stderr } = await run(program, [...args, ...made.check.slice(1)], {
    cwd: FOLDER,
    env: { ...process.env, HOME: FOLDER, XDG_CONFIG_HOME: FOLDER, XDG_DATA_HOME: FOLDER },
    timeoutMs: 30_000,
  });
  return code === 0 ? "" : `${stdout}\n${stderr}\n${made.files[0]?.text}`;
}

beforeAll(() => {
  for (const name of ["server.pem", "server.key", "clients.pem"]) {
    copyFileSync(join(TLS, name), join(FOLDER, name));
  }
});

const TABLE = tableOf({
  folder: FOLDER,
  certificate: join(FOLDER, "server.pem"),
  key: join(FOLDER, "server.key"),
  clientCa: join(FOLDER, "clients.pem"),
}).filter(({ isBasic }) => isBasic || isThorough);

/** Names for folders that are used: the first that the server's language can hold. */
const USED_NAMES = [
  HOSTILE_NAMES.filter((name) => name !== "/")
    .join(" ")
    .slice(0, 60),
  'it\'s "x";} #é',
  "a b'é",
];

function suite(server: Server, release: Release): void {
  it.each(TABLE)(
    "passes its own check: $title",
    { timeout: patience(60_000) },
    async ({ site, refusedBy }) => {
      const made = attempt(server, release, site);
      if (typeof made === "string") {
        expect(refusedBy === "any" || refusedBy.includes(server), made).toBe(true);
        return;
      }
      prepare(site);
      expect(await complaint(server, release, made)).toBe("");
    },
  );

  it("passes its own check whatever the names of files and URLs are", {
    timeout: patience(300_000),
  }, async () => {
    let passed = 0;
    await fc.assert(
      fc.asyncProperty(hostileSite(FOLDER), async (site) => {
        const made = attempt(server, release, site);
        if (typeof made === "string") return;
        prepare(site);
        expect(await complaint(server, release, made)).toBe("");
        passed++;
      }),
      { numRuns: isThorough ? 60 : 8, endOnFailure: true },
    );
    expect(passed).toBeGreaterThan(0);
  });

  it("serves from folders with such names, and reaches sockets in them", {
    timeout: patience(60_000),
  }, async () => {
    const base = temporaryFolder("u");
    const name = USED_NAMES.find((one) => {
      const application = externalAt({ unix: join(base, one, "s") });
      const site = plainSite(FOLDER, { application, publicFolder: join(base, one) });
      return typeof attempt(server, release, site) !== "string";
    });
    expect(name).toBeDefined();
    const folder = join(base, name ?? "");
    mkdirSync(join(folder, "static"), { recursive: true });
    writeFileSync(join(folder, "static", "file.txt"), "a file");
    const mount = "/app";
    const served = await servePostern((request_, response) => response.end(`${request_.url}`), "unix", {
      bind: `unix:${join(folder, "s")}`,
      base: mount,
    });
    try {
      const web = await startGenerated(
        server,
        {
          application: externalAt(addressOf(served.server.addresses[0] ?? "")),
          mount,
          // What a server cannot do for files it says in a note; a folder of static files all can but HAProxy.
          publicFolder: server === "haproxy" ? undefined : folder,
          statics: server === "haproxy" ? [] : [{ url: "/static/", folder: join(folder, "static") }],
        },
        release,
      );
      try {
        expect((await request(`${web.url}/x?y`)).text).toBe("/x?y");
        if (server !== "haproxy")
          expect((await request(`${web.origin}/static/file.txt`)).text).toBe("a file");
      } finally {
        await web.stop();
      }
    } finally {
      await served.close();
    }
  });
}

for (const server of SERVERS) {
  describeWithServer(PACKAGES[server] ?? server, `${server}, this system's`, () => suite(server, "system"));
}
for (const server of CURRENT) {
  describeWithCurrent(server, `${server}, the newest`, () => suite(server, "current"));
}
