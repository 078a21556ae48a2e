/** The harness itself: each foreign server really starts, really reaches a FastCGI application, and really stops. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { request } from "../support/http.ts";
import { isListening } from "../support/ports.ts";
import { temporaryFolder } from "../support/temp.ts";
import {
  startTrivialResponder,
  type TrivialAnswer,
  type TrivialResponder,
} from "../support/trivial-responder.ts";
import { startApache } from "../support/web-servers/apache.ts";
import { describeWithServer, type ServerName } from "../support/web-servers/available.ts";
import { cgiFcgi, spawnFcgi } from "../support/web-servers/cgi-fcgi.ts";
import { startLighttpd } from "../support/web-servers/lighttpd.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { startPhpFpm } from "../support/web-servers/php-fpm.ts";
import type { WebServer, WebServerOptions } from "../support/web-servers/web-server.ts";

const SERVERS: readonly [
  ServerName,
  (options: WebServerOptions) => Promise<WebServer>,
  canKeepConn: boolean,
][] = [
  ["nginx", startNginx, true],
  ["apache", startApache, true],
  ["lighttpd", startLighttpd, false],
];

async function ask(url: string, body?: string): Promise<TrivialAnswer> {
  const answer = await request(url, body === undefined ? {} : { body });
  expect(answer.status, answer.text).toBe(200);
  return JSON.parse(answer.text) as TrivialAnswer;
}

for (const [name, startServer, canKeepConn] of SERVERS) {
  describeWithServer(name, `${name} reaches an application`, () => {
    for (const transport of ["unix", "tcp"] as const) {
      describe(`over ${transport}`, () => {
        let responder: TrivialResponder;
        beforeAll(async () => {
          responder = await startTrivialResponder(transport);
        });
        afterAll(() => responder.close());

        it("mounted, and stops", async () => {
          const server = await startServer({ application: responder.address, mount: "/yourapplication" });
          const { params, keepConn } = await ask(`${server.url}/a%20b?q=1`);
          expect(params).toMatchObject({
            SCRIPT_NAME: "/yourapplication",
            PATH_INFO: "/a b",
            QUERY_STRING: "q=1",
          });
          expect(keepConn).toBe(false);
          expect(server.version).toMatch(/^\d+\.\d+/);
          await server.stop();
          expect(await isListening({ port: server.port, host: "127.0.0.1" })).toBe(false);
        });

        it("at the root, unbuffered, with a body", async () => {
          const server = await startServer({ application: responder.address, streaming: true });
          const { params, stdinBytes } = await ask(`${server.url}/a%20b`, "x".repeat(100_000));
          expect(params).toMatchObject({ SCRIPT_NAME: "", PATH_INFO: "/a b", REQUEST_METHOD: "POST" });
          expect(stdinBytes).toBe(100_000);
          await server.stop();
        });
      });
    }

    it("keeps the connection when asked to, or says that it cannot", async () => {
      const responder = await startTrivialResponder();
      const options = { application: responder.address, keepConn: true };
      if (canKeepConn) {
        const server = await startServer(options);
        expect((await ask(server.url)).keepConn).toBe(true);
        expect((await ask(server.url)).connection).toBe(1);
        await server.stop();
      } else expect(() => startServer(options)).toThrow("never keeps");
      await responder.close();
    });

    it("serves static files itself, reloads, and logs", async () => {
      const responder = await startTrivialResponder();
      const documentRoot = temporaryFolder("public");
      mkdirSync(join(documentRoot, "static"));
      writeFileSync(join(documentRoot, "static", "a.txt"), "from disk");
      const server = await startServer({ application: responder.address, documentRoot });
      expect((await request(`${server.origin}/static/a.txt`)).text).toBe("from disk");
      await server.reload();
      expect((await ask(`${server.url}/again`)).params).toMatchObject({ REQUEST_URI: "/again" });
      await responder.close();
      expect((await request(server.url)).status).toBeGreaterThanOrEqual(500);
      await server.waitForErrorLog(/refused|No such file|connect/i);
      await server.stop();
    });
  });
}

describeWithServer("php-fpm", "php-fpm answers", () => {
  it.each([false, true])("with tcp: %s", async (tcp) => {
    const php = await startPhpFpm({
      tcp,
      scripts: { "hello.php": "<?php echo 'hello ', $_SERVER['QUERY_STRING'];" },
    });
    // Any web server would do; without one there is nobody to ask it yet.
    const server = await startNginx({
      application: php.address,
      directives: `fastcgi_param SCRIPT_FILENAME ${php.script("hello.php")};`,
    });
    expect((await request(`${server.url}/?you`)).text).toBe("hello you");
    await server.stop();
    await php.stop();
  });
});

describeWithServer("cgi-fcgi", "cgi-fcgi asks", () => {
  it.each(["unix", "tcp"] as const)("over %s", async (transport) => {
    const responder = await startTrivialResponder(transport);
    const { stdout } = await cgiFcgi(responder.address, { params: { X: "1" }, stdin: "hello" });
    expect(stdout).toMatch(/^Status: 200 OK\r\nContent-Type: application\/json\r\n\r\n/);
    expect(stdout).toContain('"stdinBytes":5');
    await responder.close();
  });
});

describeWithServer("spawn-fcgi", "spawn-fcgi starts a program", () => {
  it("with the listening socket as fd 0", async () => {
    const path = join(temporaryFolder("spawn"), "s.sock");
    const program =
      "require('net').createServer((s) => s.end('hi')).listen({ fd: 0 }, () => console.log('up'))";
    const running = spawnFcgi(path, [process.execPath, "-e", program]);
    await running.waitForLine(/up/);
    expect(await isListening({ path })).toBe(true);
    await running.stop();
  });
});
