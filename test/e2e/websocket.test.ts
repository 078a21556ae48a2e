/**
 * What becomes of tunnels when something happens (a reload, a crash, a stop), WebSockets by HTTP to the side listener
 * as docs/deploy shows it, and what clients get where neither is set up. What applications see is in test/compat.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeSite, render } from "../support/deploy-docs.ts";
import { servePostern } from "../support/e2e/served.ts";
import { CLI, open, refused, serveApplication } from "../support/e2e/websocket-sites.ts";
import { request } from "../support/http.ts";
import { type CodeBlock, readDocuments } from "../support/markdown.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort } from "../support/ports.ts";
import { type Running, run } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer, programOf, type ServerName } from "../support/web-servers/available.ts";
import {
  type Command,
  currentCommand,
  currentFolder,
  describeWithCurrent,
} from "../support/web-servers/current.ts";
import { startLighttpd } from "../support/web-servers/lighttpd.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { serverUser, startWebServer, type WebServer } from "../support/web-servers/web-server.ts";

const APP = join(repositoryRoot, "test", "compat", "websocket", "app.js");
const EXAMPLE = join(repositoryRoot, "examples", "websocket", "app.js");
const READY = { timeoutMs: 40_000 } as const;

const pidOf = async (web: { readonly url: string }): Promise<string> =>
  (await request(`${web.url}/pid`)).text;

describeWithCurrent("lighttpd", "a tunnel behind lighttpd", () => {
  const serve = async (
    test: (web: WebServer, application: Running) => Promise<void>,
    flags: readonly string[],
    more: { readonly mount?: string; readonly streaming?: boolean } = {},
  ): Promise<void> => {
    const { application, socket } = await serveApplication(APP, flags);
    const web = await startLighttpd({
      ...more,
      application: { unix: socket },
      isCurrent: true,
      upgrade: true,
    });
    try {
      await test(web, application);
    } finally {
      await web.stop();
      await application.stop();
    }
  };

  it.each([
    ["mounted", { mount: "/yourapplication" }],
    ["with request and response streaming", { streaming: true }],
  ])("works %s", async (_how, more) => {
    await serve(
      async (web) => {
        const client = await open(`${web.url}/hello?x=1`);
        expect(await client.next()).toBe("hello from 127.0.0.1, you asked for /hello?x=1");
        client.socket.close();
        await client.closed;
        expect((await refused(`${web.url}/private`)).status).toBe(401);
        expect(web.errorLog()).not.toMatch(/unexpected end-of-file/);
      },
      ["--workers", "0"],
      more,
    );
  });

  it("lives on in the old worker while new ones serve, and ends with the drain timeout", async () => {
    await serve(
      async (web, application) => {
        const before = await pidOf(web);
        const client = await open(`${web.url}/echo`);
        application.signal("SIGHUP");
        await application.waitForLine(/reloaded/, READY);
        await waitFor(async () => (await pidOf(web)) !== before, { what: "a new worker", timeoutMs: 20_000 });
        client.socket.send("still here?");
        expect(await client.next()).toBe("still here?");
        expect(await client.closed).toEqual({ code: 1006, reason: "" });
        await application.waitForLine(/tunnels were ended/, READY);
        expect(web.errorLog()).not.toMatch(/unexpected end-of-file/);
      },
      ["--workers", "1", "--drain-timeout", "3"],
    );
  });

  it("that ends by itself lets its worker go", async () => {
    await serve(
      async (web, application) => {
        const client = await open(`${web.url}/echo`);
        application.signal("SIGTERM");
        await application.waitForLine(/stopping|draining/i, READY);
        client.socket.send("bye");
        expect(await client.next()).toBe("bye");
        client.socket.close(1000);
        expect((await client.closed).code).toBe(1000);
        expect((await application.exited).code).toBe(0);
        expect(application.output()).not.toMatch(/tunnels were ended|requests were cut/);
      },
      ["--workers", "1", "--drain-timeout", "60"],
    );
  });

  it("alone breaks when a listener of its socket throws, which is logged", async () => {
    await serve(
      async (web, application) => {
        const [one, other] = [await open(`${web.url}/throw`), await open(`${web.url}/echo`)];
        one.socket.send("now");
        expect((await one.closed).code).toBe(1006);
        await application.waitForLine(/the application failed.*the application fails/, READY);
        other.socket.send("not this one");
        expect(await other.next()).toBe("not this one");
        other.socket.close();
      },
      ["--workers", "1"],
    );
  });

  it("breaks when the application crashes, and the next worker takes new ones", async () => {
    await serve(
      async (web, application) => {
        const [one, other] = [await open(`${web.url}/crash`), await open(`${web.url}/echo`)];
        const from = application.lines.length;
        one.socket.send("now");
        expect((await one.closed).code).toBe(1006);
        expect((await other.closed).code).toBe(1006);
        await application.waitForLine(/ready/, { ...READY, from });
        // lighttpd leaves an application alone for a while that has failed it.
        const client = await waitFor(() => open(`${web.url}/echo`).catch(() => undefined), {
          timeoutMs: 30_000,
        });
        client.socket.send("again");
        expect(await client.next()).toBe("again");
        client.socket.close();
      },
      ["--workers", "1"],
    );
  });

  it("is no request of a worker: neither its limits nor its deadlines are its", async () => {
    await serve(
      async (web, application) => {
        const client = await open(`${web.url}/echo`);
        expect((await request(`${web.url}/never`)).status).toBe(504);
        await application.waitForLine(/slow request.*never/, READY);
        client.socket.send("later than that");
        expect(await client.next()).toBe("later than that");
        expect(application.output()).not.toMatch(/slow request.*echo/);
        client.socket.close();
        await client.closed;
      },
      [
        "--workers",
        "1",
        "--max-concurrency",
        "1",
        "--request-terminate-timeout",
        "1",
        "--request-slowlog-timeout",
        "500ms",
      ],
    );
  });

  it("is not opened for h2c, whose request is an ordinary one", async () => {
    await serve(
      async (web) => {
        const headers = {
          connection: "Upgrade, HTTP2-Settings",
          upgrade: "h2c",
          "http2-settings": "AAMAAABk",
        };
        expect((await request(`${web.url}/x`, { headers })).text).toBe("ordinary GET /x -");
      },
      ["--workers", "0"],
    );
  });

  it("that is not opened ends with the answer: lighttpd closes the connection, as it does not end STDIN", async () => {
    const ok = (_request: IncomingMessage, response: ServerResponse): void => void response.end("ok");
    const served = await servePostern(ok, "unix", { lingerTimeoutMs: 3_600_000 });
    const web = await startLighttpd({ application: served.address, isCurrent: true, upgrade: true });
    try {
      const { body } = await refused(`${web.url}/x`);
      expect(body).toBe("ok");
      await waitFor(() => served.server.stats.connections === 0);
      expect(web.errorLog()).not.toMatch(/unexpected end-of-file/);
    } finally {
      await web.stop();
      await served.close();
    }
  });

  it("works as docs/deploy/lighttpd.md shows it, with the example", async () => {
    const block = blocksOf("lighttpd", /\btunnels\b/)[0]!;
    const setting = await makeSetting();
    const { application } = await serveApplication(
      EXAMPLE,
      ["--workers", "1"],
      join(setting.run, "app.sock"),
    );
    const { program, args } = currentCommand("lighttpd");
    const command = { program, args: [...args, "-m", join(currentFolder(), "usr", "lib", "lighttpd")] };
    const web = await startConfigured("lighttpd", command, block, setting);
    try {
      expect((await request(`${web.url}/`)).text).toContain("<title>chat</title>");
      const [one, other] = [await open(`${web.url}/ws`), await open(`${web.url}/ws`)];
      one.socket.send("hello");
      expect([await one.next(), await other.next()]).toEqual(["127.0.0.1: hello", "127.0.0.1: hello"]);
      one.socket.close();
      other.socket.close();
    } finally {
      await web.stop();
      await application.stop();
    }
  });
});

interface Setting {
  readonly run: string;
  readonly site: string;
  readonly tcpPort: number;
  readonly user: ReturnType<typeof serverUser>;
}

/** What the documents call /run/yourapplication and /var/www/yourapplication. */
async function makeSetting(): Promise<Setting> {
  const folder = temporaryFolder("site");
  makeSite(join(folder, "www"));
  return {
    run: temporaryFolder("run"),
    site: join(folder, "www"),
    tcpPort: await freePort(),
    user: serverUser(),
  };
}

function blocksOf(language: string, mark: RegExp): CodeBlock[] {
  const found = readDocuments()
    .flatMap(({ blocks }) => blocks)
    .filter((block) => block.language === language && mark.test(block.info));
  if (found.length === 0) throw new Error(`docs/deploy has no block of ${language} for ${mark}`);
  return found;
}

function startConfigured(
  name: string,
  command: Command,
  block: CodeBlock,
  setting: Setting,
): Promise<WebServer> {
  return startWebServer({
    name,
    program: command.program,
    version: "",
    mount: "",
    documentRoot: join(setting.site, "public"),
    reloadSignal: "SIGHUP",
    readyLine: /./,
    prepare: ({ port, folder }) => {
      const { files, run: args, env = {} } = render(block, { folder, port, ...setting });
      return { files, args: [...command.args, ...args], env };
    },
  });
}

for (const name of [
  "nginx",
  "apache",
  "lighttpd",
  "caddy",
  "haproxy",
] as const satisfies readonly ServerName[]) {
  describeWithServer(name, `by HTTP behind ${name}, as docs/deploy/${name}.md shows it`, () => {
    const cases = blocksOf(name, /\bwebsocket\b/).flatMap((block) =>
      ["1", "0"].map((workers) => [`line ${block.line}`, workers, block] as const),
    );
    it.each(cases)("%s, --workers %s", async (_line, workers, block) => {
      const path = /\bwebsocket=(\S+)/.exec(block.info)?.[1] ?? "/ws";
      const setting = await makeSetting();
      const flags = ["--workers", workers, "--ws-http", `unix:${join(setting.run, "ws.sock")}`];
      const { application } = await serveApplication(APP, flags, join(setting.run, "app.sock"));
      const web = await startConfigured(name, { program: programOf(name), args: [] }, block, setting);
      try {
        const client = await open(`${web.url}${path === "/ws" ? "/ws" : "/echo"}`, { maxPayload: 8_000_000 });
        if (path === "/ws") expect(await client.next()).toBe("you asked for /ws");
        const bytes = Buffer.alloc(3_000_000, 7);
        client.socket.send("text");
        client.socket.send(bytes);
        expect(await client.next()).toBe("text");
        expect(bytes.equals((await client.next()) as Buffer)).toBe(true);
        client.socket.close(4005, "done");
        expect(await client.closed).toEqual({ code: 4005, reason: "done" });
        expect((await request(`${web.url}/x`)).text).toBe("ordinary GET /x -");
      } finally {
        await web.stop();
        await application.stop();
      }
    });
  });
}

describe("the side listener of --ws-http", () => {
  const serveSide = async (
    test: (port: string, application: Running, name: string) => Promise<void>,
    file: string,
    ...flags: string[]
  ): Promise<void> => {
    const port = String(await freePort());
    const { application, name } = await serveApplication(file, ["--ws-http", `127.0.0.1:${port}`, ...flags]);
    try {
      await test(port, application, name);
    } finally {
      await application.stop();
    }
  };

  it("takes nothing but upgrades", async () => {
    await serveSide(
      async (port) => {
        const answer = await request(`http://127.0.0.1:${port}/x`);
        expect([answer.status, answer.headers["upgrade"]]).toEqual([426, "websocket"]);
        expect(answer.text).toMatch(/^Upgrades alone/);
      },
      APP,
      "--workers",
      "0",
    );
  });

  it("answers 501 for an application that takes no upgrades", async () => {
    await serveSide(
      async (port) => {
        const { status, body } = await refused(`http://127.0.0.1:${port}/x`);
        expect(status).toBe(501);
        expect(body).toMatch(/no http\.Server with an 'upgrade' listener/);
      },
      join(repositoryRoot, "examples", "node-listener", "app.js"),
      "--workers",
      "0",
    );
  });

  it("takes a mount that is stated off the URL", async () => {
    await serveSide(
      async (port) => {
        const client = await open(`http://127.0.0.1:${port}/app/hello?x=1`);
        expect(await client.next()).toBe("hello from 127.0.0.1, you asked for /hello?x=1");
        client.socket.close();
        await client.closed;
      },
      APP,
      "--workers",
      "0",
      "--base",
      "/app",
    );
  });

  /** A worker that has not heard yet that it is to go may take one more, and keeps it as long as the others. */
  async function openInNewWorker(url: string, since: number): Promise<Awaited<ReturnType<typeof open>>> {
    for (;;) {
      const client = await open(url);
      if (Number(await client.next()) > since) return client;
      client.socket.close();
      await client.closed;
    }
  }

  it("is shared by workers, and at a reload tunnels live on until the drain timeout", async () => {
    await serveSide(
      async (port, application) => {
        const url = `http://127.0.0.1:${port}/echo`;
        const client = await open(url);
        const before = Date.now();
        application.signal("SIGHUP");
        await application.waitForLine(/reloaded/, READY);
        client.socket.send("still here?");
        expect(await client.next()).toBe("still here?");
        const other = await openInNewWorker(`http://127.0.0.1:${port}/born`, before);
        expect((await client.closed).code).toBe(1006);
        await application.waitForLine(/tunnels were ended/, READY);
        other.socket.send("in a new worker");
        expect(await other.next()).toBe("in a new worker");
        other.socket.close();
        await other.closed;
      },
      APP,
      "--workers",
      "2",
      "--drain-timeout",
      "8",
    );
  });

  it("does not listen for strangers unless it is told who may come", async () => {
    const socket = join(temporaryFolder("public"), "app.sock");
    const args = [CLI, "serve", APP, "--bind", `unix:${socket}`, "--ws-http", "0.0.0.0:0"];
    for (const workers of ["0", "1"]) {
      const { code, stderr } = await run(process.execPath, [...args, "--workers", workers], {
        timeoutMs: 30_000,
      });
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/0\.0\.0\.0.*allowedClients|allowed-clients/s);
    }
  });

  it("is listed in the status", async () => {
    await serveSide(
      async (_port, _application, name) => {
        // As JSON: a line for people is cut where the terminal ends.
        const asked = [CLI, "status", name, "--json"];
        const { stdout } = await run(process.execPath, asked, { timeoutMs: 30_000 });
        expect(stdout).toMatch(/"ws-http 127\.0\.0\.1:\d+"/);
      },
      APP,
      "--workers",
      "1",
    );
  });
});

describe("a WebSocket by --http, without a web server", () => {
  it.each(["0", "1"])(
    "reaches the application, and ends with the drain timeout, --workers %s",
    async (workers) => {
      const port = await freePort();
      const flags = ["--workers", workers, "--http", `127.0.0.1:${port}`, "--drain-timeout", "1"];
      const { application } = await serveApplication(APP, flags);
      try {
        const url = `http://127.0.0.1:${port}`;
        await waitFor(async () => (await request(`${url}/x`).catch(() => undefined))?.status === 200);
        const client = await open(`${url}/hello?x=1`);
        expect(await client.next()).toBe("hello from 127.0.0.1, you asked for /hello?x=1");
        application.signal("SIGTERM");
        expect((await client.closed).code).toBe(1006);
        expect((await application.exited).code).toBe(0);
      } finally {
        await application.stop();
      }
    },
  );
});

describeWithServer("nginx", "behind a web server that cannot carry it", () => {
  it("a WebSocket is answered 501, and the log says what to do, once", async () => {
    const { application, socket } = await serveApplication(APP, ["--workers", "0"]);
    // With what people write who know proxy_pass.
    const web = await startNginx({ application: { unix: socket } });
    try {
      for (let times = 0; times < 2; times++) {
        const { status, body } = await refused(`${web.url}/echo`);
        expect(status).toBe(501);
        expect(body).toMatch(/postern serve --ws-http/);
      }
      expect(application.output().match(/does not carry WebSocket over FastCGI: answered 501/g)).toHaveLength(
        1,
      );
      const h2c = { connection: "Upgrade, HTTP2-Settings", upgrade: "h2c", "http2-settings": "AAMAAABk" };
      expect((await request(`${web.url}/x`, { headers: h2c })).text).toBe("ordinary GET /x h2c");
    } finally {
      await web.stop();
      await application.stop();
    }
  });
});

describeWithServer("apache", "behind Apache's mod_proxy_fcgi", () => {
  it("a WebSocket is answered 501", async () => {
    const { startApache } = await import("../support/web-servers/apache.ts");
    const { application, socket } = await serveApplication(APP, ["--workers", "0"]);
    const web = await startApache({ application: { unix: socket } });
    try {
      const { status, body } = await refused(`${web.url}/echo`);
      expect(status).toBe(501);
      expect(body).toMatch(/postern serve --ws-http/);
    } finally {
      await web.stop();
      await application.stop();
    }
  });
});
