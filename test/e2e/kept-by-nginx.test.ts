/**
 * What src/server/farewell.ts builds on: nginx closes a connection in its cache as soon as something is to be read from
 * it, and an empty STDERR where it waits for an answer is nothing to it. No word of either is in its documentation.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RequestOptions, request } from "../support/http.ts";
import { decodeRecords, rawRecord, TYPE } from "../support/records.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { describeWithCurrent } from "../support/web-servers/current.ts";
import { type NginxOptions, startNginx } from "../support/web-servers/nginx.ts";
import type { WebServer } from "../support/web-servers/web-server.ts";

const QUESTION = rawRecord(TYPE.STDERR, 1);
const ANSWER = Buffer.concat([
  rawRecord(TYPE.STDOUT, 1, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"),
  rawRecord(TYPE.STDOUT, 1),
  rawRecord(TYPE.END_REQUEST, 1, Buffer.alloc(8)),
]);

const WAYS: readonly [string, Partial<NginxOptions>][] = [
  ["as it is", {}],
  ["without buffers", { streaming: true }],
  [
    "with a cache",
    {
      globalDirectives: "fastcgi_cache_path cache keys_zone=z:1m;",
      directives: "fastcgi_cache z; fastcgi_cache_valid 200 1m; fastcgi_cache_key $request_id;",
    },
  ],
];

for (const isCurrent of [false, true]) {
  for (const [title, options] of WAYS) {
    const tests = (): void => {
      /** What the application has accepted, the newest last. */
      const connections: Socket[] = [];
      /** Written before the answers. */
      let before: Buffer[] = [];
      let web: WebServer;
      const application = createServer((socket) => {
        let rest: Buffer = Buffer.alloc(0);
        connections.push(socket);
        socket.on("error", () => {}); // nginx leaves without reading
        socket.on("data", (chunk: Buffer) => {
          const decoded = decodeRecords(Buffer.concat([rest, chunk]));
          rest = decoded.rest;
          const isWhole = decoded.records.some(
            ({ type, content }) => type === TYPE.STDIN && content.length === 0,
          );
          if (!isWhole) return;
          for (const piece of before) socket.write(piece);
          setImmediate(() => socket.write(ANSWER));
        });
      });
      const ask = async (question: RequestOptions = {}): Promise<string> => {
        const { status, text } = await request(`${web.url}/`, question);
        return `${status} ${text}`;
      };

      beforeAll(async () => {
        application.listen(0, "127.0.0.1");
        await once(application, "listening");
        const { port } = application.address() as AddressInfo;
        const { directives = "", ...more } = options;
        web = await startNginx({
          application: { host: "127.0.0.1", port },
          mount: "",
          keepConn: true,
          isCurrent,
          directives: `fastcgi_next_upstream off; ${directives}`,
          ...more,
        });
      });
      afterAll(async () => {
        await web.stop();
        application.close();
        for (const socket of connections) socket.destroy();
      });

      it("keeps a connection, and closes it when something is to be read", async () => {
        before = [];
        expect(await ask()).toBe("200 hello");
        expect(await ask({ body: "x".repeat(100_000) })).toBe("200 hello");
        const [kept] = connections;
        expect(connections).toHaveLength(1);
        kept?.write(QUESTION);
        await waitFor(() => kept?.destroyed, { what: "nginx to close" });
        expect(await ask()).toBe("200 hello");
        expect(connections).toHaveLength(2);
      });

      it("takes no notice of it before an answer, and keeps the connection", async () => {
        before = [QUESTION];
        const count = connections.length;
        for (const question of [{}, { body: "x".repeat(100_000) }, {}]) {
          expect(await ask(question)).toBe("200 hello");
        }
        expect(connections).toHaveLength(count);
        expect(await ask({ method: "HEAD" })).toBe("200 "); // nginx keeps none that it had one over
        expect(web.errorLog()).not.toMatch(/\[(error|crit|alert)\]/);
      });
    };
    if (isCurrent) describeWithCurrent("nginx", `the newest nginx, ${title}`, tests);
    else describeWithServer("nginx", `nginx, ${title}`, tests);
  }
}
