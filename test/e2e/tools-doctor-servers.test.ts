/**
 * The doctor's eyes for web servers: real ones, started with generated configurations on ports of their own, are found
 * by their processes, and what their logs say of a failure is explained.
 */
import { chmodSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { generateSite, type Site, type WebServerName } from "../../src/sites/index.ts";
import { CHECKS } from "../../src/tools/doctor/checks.ts";
import type { DoctorOptions, Facts, Finding, Stage, WebServerFact } from "../../src/tools/doctor/model.ts";
import { findWebServers } from "../../src/tools/doctor/servers/index.ts";
import { type Backend, forbidden, httpServer, nobody, responder } from "../support/e2e/failing.ts";
import { request } from "../support/http.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { startGenerated } from "../support/web-servers/generated.ts";
import { serverUser, startWebServer, type WebServer } from "../support/web-servers/web-server.ts";

type Startable = Parameters<typeof startGenerated>[0];

const OPTIONS: DoctorOptions = {
  cwd: "/",
  deadlineMs: 30_000,
  postern: [process.execPath],
  environment: { PATH: process.env["PATH"] },
};

/** What the log is to tell of each, in the words of src/sites/failures.ts. */
const CAUSES: Readonly<Record<Startable, readonly string[]>> = {
  nginx: ["no-socket"],
  apache: ["no-socket"],
  lighttpd: ["no-socket"],
  caddy: ["no-socket"],
  haproxy: ["no-socket"],
  h2o: ["no-socket"],
};

for (const server of Object.keys(CAUSES) as Startable[]) {
  describeWithServer(server, `the doctor before ${server}`, () => {
    let backend: Backend;
    let web: WebServer;
    beforeAll(async () => {
      backend = await nobody("no socket");
      web = await started(server, backend.application);
    });
    afterAll(async () => {
      await web?.stop();
      await backend?.close();
    });

    it("finds the running process, its user, its files and where it sends requests", async () => {
      const fact = await factOf(web);
      const file = configurationOf(web);
      expect(fact).toMatchObject({ server, running: true, version: web.version, hidden: [] });
      expect(fact.files[0]).toBe(file);
      expect(fact.master?.pid).toBe(web.process.pid);
      if (server !== "caddy") expect(fact.user?.uid).toBe(serverUser()?.uid ?? process.getuid?.());
      const { application } = backend;
      if (application.kind !== "external") throw new Error("an application by itself");
      expect(fact.backends.map(({ address }) => address)).toEqual(application.addresses);
      // The place is a line that names the socket.
      const [place] = fact.backends.map((one) => one.place);
      const [path, line] = place!.split(/:(?=\d+$)/);
      const said = readFileSync(path!, "utf8").split("\n")[Number(line) - 1];
      expect(said).toMatch(server === "h2o" ? /fastcgi\.connect/ : /a\.sock/);
      expect(fact.listens).toContainEqual(expect.objectContaining({ port: web.port, isTls: false }));
    });

    it("is accepted by the server itself, runs what is on the disk, and nothing is wrong in it", async () => {
      const found = await ask("web-server", await factsOf(web));
      expect(found.filter(({ verdict }) => verdict === "bad" || verdict === "doubtful")).toEqual([]);
      const ids = found.map(({ id }) => id);
      expect(ids).toEqual(
        expect.arrayContaining(["web-server.syntax", "web-server.running", "web-server.reloaded"]),
      );
    });

    it("explains the line of its log about an application that is not there", async () => {
      expect((await request(web.url)).status).toBeGreaterThanOrEqual(502);
      const found = await waitFor(
        async () => {
          const lines = await ask("log", await factsOf(web));
          return lines.some(({ verdict }) => verdict === "doubtful") ? lines : undefined;
        },
        { timeoutMs: 10_000, what: "the line in the log", evidence: web.errorLog },
      );
      const causes = (found as Finding[]).filter(({ verdict }) => verdict !== "good").map(({ id }) => id);
      expect(causes, web.errorLog()).toEqual(
        expect.arrayContaining(CAUSES[server].map((cause) => `log.${cause}`)),
      );
    });

    it("asks through the server, and shows what it logged meanwhile", async () => {
      const facts = await factsOf(web);
      const [first] = await ask("request", facts);
      expect(first).toMatchObject({ id: "request.failed", verdict: "bad" });
      expect(first?.evidence.join("\n")).toMatch(/through \w+: 50[234]/);
    });
  });
}

describeWithServer("nginx", "the doctor before an nginx with a broken application", () => {
  const servers: { stop(): Promise<unknown> }[] = [];
  const backends: Backend[] = [];
  afterAll(async () => {
    for (const one of servers) await one.stop();
    for (const one of backends) await one.close();
  });
  const before = async (backend: Backend, more: Partial<Site> = {}): Promise<WebServer> => {
    backends.push(backend);
    const web = await startGenerated("nginx", { application: backend.application, ...more });
    servers.push(web);
    return web;
  };

  it.each([
    ["not-fastcgi", httpServer, /72 .*HTTP/],
    ["no-permission", forbidden, /may not write to the socket/],
    ["socket-refused", () => nobody("stale socket"), /nobody listens/],
  ] as const)("explains %s", async (cause, how, says) => {
    const web = await before(await how());
    await request(web.url);
    const lines = await ask("log", await factsOf(web));
    expect(lines.find(({ id }) => id === `log.${cause}`)?.says).toMatch(says);
  });

  it("tells of a process that dies as something that is wrong, and leaves out what was logged before a reload", async () => {
    const web = await before(await responder(false));
    await request(`${web.url}/?way=die`);
    expect((await ask("log", await factsOf(web))).map(({ id, verdict }) => `${id} ${verdict}`)).toContain(
      "log.died bad",
    );
  });

  it("says when a body was too large, and the edit that is printed lets it through", async () => {
    const web = await before(await responder(false), { maxBodyBytes: 1000 });
    const big = { method: "POST", body: Buffer.alloc(5000) };
    expect((await request(web.url, big)).status).toBe(413);
    const found = (await ask("web-server", await factsOf(web))).find(
      ({ id }) => id === "web-server.body-limit",
    );
    expect(found?.verdict).toBe("bad");
    await apply(web, found!);
    // The old worker may take another one.
    await waitFor(async () => (await request(web.url, big)).status !== 413, {
      timeoutMs: 10_000,
      what: "the larger limit",
      evidence: web.errorLog,
    });
  });

  it("says when the configuration was changed and not read again", async () => {
    const web = await before(await responder(false));
    const later = new Date(Date.now() + 5000);
    utimesSync(configurationOf(web), later, later);
    const found = (await ask("web-server", await factsOf(web))).find(
      ({ id }) => id === "web-server.not-reloaded",
    );
    expect(found).toMatchObject({
      verdict: "doubtful",
      remedy: [{ run: expect.stringMatching(/^kill -HUP \d+$/) }],
    });
  });

  it("says what nginx says of a mistake, and takes the line out", async () => {
    const web = await before(await responder(false));
    const file = configurationOf(web);
    writeFileSync(file, `${readFileSync(file, "utf8")}\nfastcgi_read_timout 60s;\n`);
    const found = (await ask("web-server", await factsOf(web))).find(({ id }) => id === "web-server.syntax");
    expect(found?.evidence.join("\n")).toMatch(/unknown directive "fastcgi_read_timout"/);
    await apply(web, found!);
    const again = (await ask("web-server", await factsOf(web))).find(({ id }) => id === "web-server.syntax");
    expect(again?.verdict).toBe("good");
  });
});

/** Caddy and HAProxy write to what they are started with: here a file, as behind a service of runit or a shell. */
async function started(server: Startable, application: Site["application"]): Promise<WebServer> {
  if (server !== "caddy" && server !== "haproxy") return startGenerated(server, { application });
  return startWebServer({
    name: server,
    program: "/bin/sh",
    version: await versionBy(server),
    mount: "",
    reloadSignal: "SIGHUP",
    readyLine: /./,
    prepare({ port, folder, documentRoot, user }) {
      const { files, run } = generateSite(
        server,
        site(application, port, folder, documentRoot, user?.user, user?.group),
      );
      for (const { path, text, mode } of files) {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, text);
        chmodSync(path, mode);
      }
      return {
        files: {},
        args: ["-c", 'exec "$@" 2>>"$0/error.log"', folder, programOf(server), ...(run ?? []).slice(1)],
        env: { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
      };
    },
  });
}

async function versionBy(server: WebServerName): Promise<string> {
  const [fact] = await findWebServers(
    { server, configFile: "/dev/null", environment: OPTIONS.environment },
    AbortSignal.timeout(10_000),
  );
  return fact?.version ?? "";
}

function site(
  application: Site["application"],
  port: number,
  folder: string,
  publicFolder: string,
  user: string | undefined,
  group: string | undefined,
): Site {
  return {
    name: "yourapplication",
    serverNames: ["example.com"],
    listen: { host: "127.0.0.1", port },
    mount: "",
    application,
    apacheModule: "proxy_fcgi",
    publicFolder,
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
    standalone: { folder, user, group, modules: undefined },
  };
}

/** The fact about one of several that run. */
async function factOf(web: WebServer): Promise<WebServerFact> {
  const all = await findWebServers(OPTIONS, AbortSignal.timeout(20_000));
  const found = all.find(({ master }) => master?.pid === web.process.pid);
  if (found === undefined)
    throw new Error(`not found: ${JSON.stringify(all.map((one) => [one.server, one.master]))}`);
  return found;
}

/** As `--server NAME --config-file FILE`. */
async function factsOf(web: WebServer): Promise<Facts> {
  const options = { ...OPTIONS, server: web.name as WebServerName, configFile: configurationOf(web) };
  const webServers = await findWebServers(options, AbortSignal.timeout(20_000));
  expect(webServers.map(({ master }) => master?.pid)).toEqual([web.process.pid]);
  return { webServers, options };
}

async function ask(stage: Stage, facts: Facts): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const check of CHECKS[stage]) found.push(...(await check.examine(facts, AbortSignal.timeout(20_000))));
  return found;
}

/** The printed steps, to the letter. */
async function apply(web: WebServer, { remedy }: Finding): Promise<void> {
  for (const step of remedy) {
    if ("file" in step) {
      const lines = readFileSync(step.file, "utf8").split("\n");
      lines[step.line! - 1] = lines[step.line! - 1]!.replace(step.from, () => step.to);
      writeFileSync(step.file, lines.join("\n"));
    } else if ("run" in step) {
      expect(step.run).toBe(`kill -HUP ${web.process.pid}`);
      await web.reload();
    } else throw new Error(step.advice);
  }
}

function configurationOf({ name, folder }: WebServer): string {
  const files: Readonly<Record<string, string>> = {
    nginx: "nginx.conf",
    apache: "apache.conf",
    lighttpd: "lighttpd.conf",
    caddy: "Caddyfile",
    haproxy: "haproxy.cfg",
    h2o: "h2o.conf",
  };
  return join(folder, files[name] ?? "");
}
