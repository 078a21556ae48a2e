/** How applications end behind real web servers: gracefully under load, replaced by another, and by a crash. */
import { chmodSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { built, programPath, startProgram } from "../support/e2e/built.ts";
import { addressOf, type Site, startSite, titleOf } from "../support/e2e/served.ts";
import { connectHttp, request } from "../support/http.ts";
import { notice } from "../support/notice.ts";
import { type Running, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { giveToServerGroup, serverUser, type WebServer } from "../support/web-servers/web-server.ts";

const PER_REQUEST = [
  { web: "nginx", mount: "", transport: "unix" },
  { web: "apache", mount: "", transport: "unix" },
  { web: "lighttpd", mount: "", transport: "unix" },
] as const satisfies readonly Site[];
const KEPT = [
  { web: "nginx", mount: "", transport: "unix", keepConn: true },
  { web: "apache", mount: "", transport: "tcp", keepConn: true },
] as const satisfies readonly Site[];

const running: Running[] = [];
const webs: WebServer[] = [];
afterEach(async () => {
  for (const web of webs.splice(0)) await web.stop();
  for (const program of running.splice(0)) await program.stop({ signal: "SIGKILL" });
});

async function startApplication(): Promise<{ program: Running; address: ReturnType<typeof addressOf> }> {
  const user = serverUser();
  const bind = `unix:${join(temporaryFolder("life"), "a.sock")}`;
  const program = await startProgram("small-app.js", [bind, ...(user ? [String(user.gid)] : [])]);
  running.push(program);
  const [, address = ""] = await program.waitForLine(/^ready (\S+)/);
  return { program, address: addressOf(address) };
}

async function front(site: Site, address: ReturnType<typeof addressOf>): Promise<WebServer> {
  const web = await startSite(site, address);
  webs.push(web);
  return web;
}

for (const site of [...PER_REQUEST, KEPT[0]]) {
  describeWithServer(site.web, `${titleOf(site)}: TERM`, () => {
    it("lets open requests finish, and the process ends by itself", async () => {
      const { program, address } = await startApplication();
      const web = await front(site, address);
      const until = join(temporaryFolder("until"), "now");
      const answers = Array.from({ length: 20 }, () => request(`${web.url}/slow?until=${until}`));
      const asked = (): number => program.lines.filter(({ text }) => text === "asked").length;
      await waitFor(() => asked() === answers.length, { what: "all requests", evidence: program.output });
      program.signal("SIGTERM");
      await program.waitForLine(/draining/);
      writeFileSync(until, "");
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(answers.map(() => 200));
      expect(await program.exited).toEqual({ code: 0, signal: null });
    });
  });
}

/** The listening socket of a manager: bound here, accepted from by the programs that inherit it. */
async function bindListener(path: string): Promise<{ fd: number; close(): void }> {
  const { _createServerHandle } = net as unknown as {
    _createServerHandle(path: string, port: number, type: number): { fd: number; close(): void };
  };
  const handle = _createServerHandle(path, -1, -1);
  chmodSync(path, 0o660);
  giveToServerGroup(path);
  // listen(2) is done by a child, since Node would begin to accept here.
  const listen = "require('node:net').createServer().listen({ fd: 0 }, () => process.exit())";
  const child = start(process.execPath, ["-e", listen], { stdin: handle.fd });
  expect(await child.exited).toEqual({ code: 0, signal: null });
  return handle;
}

async function startOn(fd: number): Promise<Running> {
  await built();
  const program = start(process.execPath, [programPath("small-app.js")], { stdin: fd });
  running.push(program);
  await program.waitForLine(/^ready/);
  return program;
}

for (const site of [...PER_REQUEST, { ...KEPT[0] }, { ...KEPT[1], transport: "unix" } as const]) {
  describeWithServer(site.web, `${titleOf(site)}: replaced under load`, () => {
    const isKept = "keepConn" in site;
    it(`the old process drains while the new one serves${isKept ? "" : ": no request fails"}`, async () => {
      const path = join(temporaryFolder("swap"), "s.sock");
      const listener = await bindListener(path);
      const first = await startOn(listener.fd);
      const web = await front(site, { unix: path });
      const statuses = new Map<number, number>();
      const pids = new Set<number>();
      let isOver = false;
      const client = async (): Promise<void> => {
        while (!isOver) {
          // A POST, which no web server sends twice.
          const { status, text } = await request(`${web.url}/`, { body: "x" }).catch(() => ({
            status: 0,
            text: "",
          }));
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          if (status === 200) pids.add((JSON.parse(text) as { pid: number }).pid);
        }
      };
      const clients = Array.from({ length: 8 }, client);
      let current = first;
      for (let n = 0; n < 3; n++) {
        await waitFor(() => pids.has(current.pid));
        const next = await startOn(listener.fd);
        current.signal("SIGTERM");
        expect(await current.exited).toEqual({ code: 0, signal: null });
        current = next;
      }
      await waitFor(() => pids.has(current.pid));
      isOver = true;
      await Promise.all(clients);
      listener.close();
      const total = [...statuses.values()].reduce((sum, count) => sum + count, 0);
      const failed = total - (statuses.get(200) ?? 0);
      notice(
        `${titleOf(site)}: ${failed} of ${total} requests failed during 3 replacements (${JSON.stringify([...statuses])})`,
      );
      // A request that crosses the close of a kept connection is answered 502 or 503: none is sent twice.
      expect(failed).toBeLessThanOrEqual(isKept ? total / 10 : 0);
    });
  });
}

describe("an application that dies", () => {
  const DEAD = { nginx: [502, 502], apache: [503, 503], lighttpd: [500, 503] } as const;
  for (const site of PER_REQUEST) {
    const [crashed, gone] = DEAD[site.web];
    describeWithServer(site.web, titleOf(site), () => {
      it(`is answered ${crashed} while it dies and ${gone} when it is gone`, async () => {
        const { program, address } = await startApplication();
        const web = await front(site, address);
        expect((await request(`${web.url}/crash`)).status).toBe(crashed);
        await program.exited; // its connections close before its listening socket does
        expect((await request(`${web.url}/`)).status).toBe(gone);
      });

      it("is served again when it is back, over the socket file that it left", async () => {
        const { program, address } = await startApplication();
        const web = await front(site, address);
        expect((await request(`${web.url}/crash`)).status).toBe(crashed);
        await program.exited;
        const user = serverUser();
        const bind = "unix" in address ? `unix:${address.unix}` : "";
        const again = await startProgram("small-app.js", [bind, ...(user ? [String(user.gid)] : [])]);
        running.push(again);
        await again.waitForLine(/^ready/);
        // lighttpd looks again after a second, others at once.
        await waitFor(async () => (await request(`${web.url}/`)).status === 200, { timeoutMs: 10_000 });
      });
    });
  }

  describeWithServer("nginx", "nginx", () => {
    it("in the middle of a response cannot be told from one that has ended (so send Content-Length)", async () => {
      const { address } = await startApplication();
      const web = await front({ ...PER_REQUEST[0], streaming: true }, address);
      const client = await connectHttp(web.origin);
      await client.send("GET /crash?later HTTP/1.1\r\nHost: example.com\r\n\r\n");
      const response = await client.nextResponse();
      // The kernel closes for a dead process, without a word: nobody is left to send what Postern sends.
      expect(response).toMatchObject({ status: 200, complete: true });
      client.close();
    });
  });
});
