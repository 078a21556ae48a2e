/** `postern explain` as people use it: files, standard input, and live behind real web servers. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { run, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { startApache } from "../support/web-servers/apache.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { startLighttpd } from "../support/web-servers/lighttpd.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { serverUser } from "../support/web-servers/web-server.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");
const explain = (args: readonly string[], options: { input?: string; cwd?: string } = {}) =>
  run(process.execPath, [CLI, "explain", ...args], { input: "", timeoutMs: 30_000, ...options });

beforeAll(() => built());

describe("a file", () => {
  const PARAMS = "REQUEST_URI=/app/a%2Fb\nSCRIPT_NAME=/app\nPATH_INFO=/a/b\nSERVER_SOFTWARE=nginx/1.22.1\n";

  it("of parameters is explained, as text and as JSON", async () => {
    const { code, stdout } = await explain(["-"], { input: PARAMS });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}mount +\/app, path \/a%2Fb +rule mounted: /m);
    expect(stdout).toMatch(/^ {2}req\.url +\/a%2Fb$/m);
    expect(stdout).toMatch(/^ {2}path-decoded +PATH_INFO lost something/m);
    const json = JSON.parse((await explain(["-", "--json"], { input: PARAMS })).stdout);
    expect(json).toMatchObject({ server: "nginx", seen: { target: { base: "/app", path: "/a%2Fb" } } });
    expect(json.notes.map(({ name }: { name: string }) => name)).toContain("path-decoded");
  });

  it("is explained by the settings of the application here, which flags beat", async () => {
    const folder = temporaryFolder("explain");
    writeFileSync(join(folder, "postern.config.json"), JSON.stringify({ app: "app.js", base: "/app" }));
    writeFileSync(join(folder, "params"), "REQUEST_URI=/app/x\nSCRIPT_NAME=/app/x\n");
    expect((await explain(["params"], { cwd: folder })).stdout).toMatch(/mount +\/app, path \/x +rule base:/);
    const flagged = await explain(["params", "--base", ""], { cwd: folder });
    expect(flagged.stdout).toMatch(/mount +the root, path \/app\/x +rule base:/);
  });

  it.each([
    ["no file at all", [], 2, /name a file to explain, or --listen ADDRESS/],
    ["a file that is not there", ["/nowhere"], 2, /\/nowhere: there is no such file/],
    ["a mount that is none", ["-", "--base", "x y"], 2, /base is "x y": it must be/],
    ["a file without a request", ["-"], 2, /there is no parameter in it/],
  ])("%s is said in a sentence", async (_what, args, code, says) => {
    expect(await explain(args)).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(says) });
  });
});

describe.each([
  ["nginx", startNginx],
  ["apache", startApache],
  ["lighttpd", startLighttpd],
] as const)("live behind %s", (name, startServer) => {
  describeWithServer(name, "a mounted application", () => {
    it("shows a page, text or JSON of the visitor's own request, and the terminal as well", async () => {
      const socket = join(temporaryFolder("live"), "e.sock");
      const user = serverUser();
      const live = start(process.execPath, [
        CLI,
        "explain",
        "--listen",
        socket,
        ...(user ? ["--listen-group", String(user.gid)] : []),
      ]);
      await live.waitForLine(/explaining what comes to unix:/, { timeoutMs: 20_000 });
      const web = await startServer({ application: { unix: socket }, mount: "/yourapplication" });
      const ask = (accept: string) =>
        request(`${web.url}/x%20y?q=%3Cb%3E`, {
          headers: { accept, cookie: "id=SECRET", "user-agent": "<i>" },
        });
      const json = await ask("application/json");
      expect(JSON.parse(json.text)).toMatchObject({
        server: name,
        seen: { target: { base: "/yourapplication", url: "/x%20y?q=%3Cb%3E" } },
      });
      const page = await ask("text/html");
      expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
      expect(page.text).toContain("/yourapplication/x%20y?q=%3Cb%3E</h1>");
      expect(page.text).not.toContain("<i>");
      const text = await ask("*/*");
      expect(text.text).toMatch(/^ {2}mount +\/yourapplication, path \/x%20y /m);
      for (const { text: all } of [json, page, text]) expect(all).not.toContain("SECRET");
      await live.waitForLine(/^ {2}mount +\/yourapplication/);
      await web.stop();
      live.signal("SIGTERM");
      expect(await live.exited).toMatchObject({ code: 0 });
    });
  });
});

it("live, visitors from elsewhere are told nothing unless the operator says so", async () => {
  const socket = join(temporaryFolder("live"), "e.sock");
  const ask = () =>
    run(
      process.execPath,
      [
        CLI,
        "curl",
        "/secret",
        "--connect",
        socket,
        "--client-address",
        "203.0.113.5",
        "-s",
        "-w",
        "%{http_code}",
      ],
      { input: "", timeoutMs: 20_000 },
    );
  for (const [flags, status] of [
    [[], 403],
    [["--any-client"], 200],
  ] as const) {
    const live = start(process.execPath, [CLI, "explain", "--listen", socket, ...flags]);
    await live.waitForLine(/explaining what comes to/, { timeoutMs: 20_000 });
    const { stdout } = await ask();
    expect(stdout).toMatch(new RegExp(`${status}$`));
    expect(stdout.includes("REQUEST_URI")).toBe(status === 200);
    live.signal("SIGTERM");
    await live.exited;
  }
});
