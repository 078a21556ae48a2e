/** Files that web servers send in the application's place, which does not notice. */
import { createReadStream, utimesSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { PassThrough, pipeline } from "node:stream";
import { createGzip } from "node:zlib";
import express from "express";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createGateway } from "../../src/gateway/index.ts";
import {
  contentOf,
  LARGE_BYTES,
  makeFiles,
  ODD_NAMES,
  type OffloadingServer,
  type OffloadSite,
  startOffloadSite,
} from "../support/e2e/offload-site.ts";
import { gate, servePostern } from "../support/e2e/served.ts";
import { type HttpAnswer, type RequestOptions, request } from "../support/http.ts";
import { patience } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

/** More than any head, less than any file. */
const MOST_HEAD_BYTES = 2000;

const NEEDS = {
  nginx: ["nginx"],
  lighttpd: ["lighttpd"],
  apache: ["apache", "apache-xsendfile"],
} as const;

for (const name of ["nginx", "lighttpd", "apache"] as const satisfies readonly OffloadingServer[]) {
  describeWithServer(NEEDS[name], `files sent by ${name}`, () => {
    const { folder, outside } = makeFiles();
    const file = join(folder, "a.txt");
    const content = contentOf("a.txt");
    let site: OffloadSite;
    let listener: Listener = () => {};

    beforeAll(async () => {
      const app = express();
      app.use("/files", express.static(folder));
      app.get("/download/:name", (req, res) => res.download(join(folder, req.params.name)));
      app.get("/send", (_req, res) => res.sendFile(file));
      app.get("/outside", (_req, res) => res.sendFile(join(outside, "secret.txt")));
      app.use("/listener", (req, res) => listener(req, res));
      app.use((_req, res) => {
        res.status(404).send("none of ours");
      });
      site = await startOffloadSite(name, folder, app);
    });
    afterAll(() => site.close());

    /** An answer, and how much of it came over the socket of the application. */
    async function ask(
      path: string,
      options: RequestOptions = {},
    ): Promise<{ answer: HttpAnswer; bytes: number }> {
      const before = site.answeredBytes;
      const answer = await request(`${site.web.origin}${path}`, options);
      return { answer, bytes: site.answeredBytes - before };
    }

    async function expectOffloaded(
      path: string,
      expected: Buffer,
      options?: RequestOptions,
    ): Promise<HttpAnswer> {
      const { answer, bytes } = await ask(path, options);
      expect({ status: answer.status, same: answer.body.equals(expected) }).toEqual({
        status: options?.headers?.["Range"] === undefined ? 200 : 206,
        same: true,
      });
      expect(bytes, "bytes over the socket").toBeLessThan(MOST_HEAD_BYTES);
      expect(answer.headers["x-sendfile"] ?? answer.headers["x-accel-redirect"]).toBeUndefined();
      expect(Number(answer.headers["content-length"])).toBe(expected.length);
      return answer;
    }

    async function expectOwn(path: string, expected: Buffer, options?: RequestOptions): Promise<HttpAnswer> {
      const { answer, bytes } = await ask(path, options);
      expect(answer.body.equals(expected)).toBe(true);
      expect(bytes, "bytes over the socket").toBeGreaterThanOrEqual(expected.length);
      return answer;
    }

    it("come from express.static, sendFile and download", async () => {
      const answer = await expectOffloaded("/files/a.txt", content);
      expect(answer.headers["content-type"]).toBe("text/plain; charset=utf-8");
      expect(answer.headers["cache-control"]).toBe("public, max-age=0");
      expect(answer.headers["accept-ranges"]).toBe("bytes");
      await expectOffloaded("/send", content);
      await expectOffloaded("/files/deep/b.txt", contentOf("deep/b.txt"));
      const download = await expectOffloaded("/download/a.txt", content);
      expect(download.headers["content-disposition"]).toMatch(/^attachment; filename="?a\.txt"?$/);
    });

    it("may have any name", async () => {
      for (const odd of ODD_NAMES) {
        const path = `/files/${encodeURIComponent(odd)}`;
        // What mod_xsendfile makes of a percent sign depends on its configuration.
        if (name === "apache" && odd.includes("%")) await expectOwn(path, contentOf(odd));
        else await expectOffloaded(path, contentOf(odd));
      }
    });

    it("are sent in ranges", async () => {
      const range = (Range: string): RequestOptions => ({ headers: { Range } });
      const first = await expectOffloaded("/files/a.txt", content.subarray(0, 10), range("bytes=0-9"));
      expect(first.headers["content-range"]).toBe(`bytes 0-9/${content.length}`);
      await expectOffloaded("/files/a.txt", content.subarray(-5), range("bytes=-5"));
      await expectOffloaded("/files/a.txt", content.subarray(20_000), range("bytes=20000-99999"));
      expect((await ask("/files/a.txt", range("bytes=999999-"))).answer.status).toBe(416);
    });

    it("are not sent again to whom has them", async () => {
      const { headers } = (await ask("/files/a.txt")).answer;
      for (const condition of [
        { "If-None-Match": headers.etag },
        { "If-Modified-Since": headers["last-modified"] },
      ]) {
        const { answer } = await ask("/files/a.txt", { headers: condition });
        expect([answer.status, answer.body.length]).toEqual([304, 0]);
      }
    });

    it("are known by another ETag when they have changed", async () => {
      const changing = join(folder, "changing.txt");
      writeFileSync(changing, "one", { mode: 0o644 });
      listener = (_req, res) => createReadStream(changing).pipe(res);
      const { etag } = (await ask("/listener")).answer.headers;
      writeFileSync(changing, "two");
      utimesSync(changing, 1e9, 1e9);
      const again = await ask("/listener", { headers: etag === undefined ? {} : { "If-None-Match": etag } });
      expect([again.answer.status, again.answer.text]).toEqual([200, "two"]);
    });

    it("have a head", async () => {
      const { answer } = await ask("/files/a.txt", { method: "HEAD" });
      expect([answer.status, answer.body.length]).toEqual([200, 0]);
      // Apache drops the length that an application tells for HEAD.
      if (name !== "apache") expect(answer.headers["content-length"]).toBe(String(content.length));
    });

    it("may be empty, or missing", async () => {
      const empty = (await ask("/files/empty.txt")).answer;
      expect([empty.status, empty.body.length]).toEqual([200, 0]);
      const missing = (await ask("/files/missing.txt")).answer;
      expect([missing.status, missing.text]).toEqual([404, "none of ours"]);
    });

    it("are those of the folder, wherever a symlink leads", async () => {
      await expectOffloaded("/files/in.txt", content);
      await expectOwn("/files/out.txt", contentOf("secret"));
      await expectOwn("/outside", contentOf("secret"));
    });

    it(
      "of 200 MiB cost the application a few hundred bytes",
      async () => {
        const before = site.answeredBytes;
        const { answer } = await ask("/download/large.bin", { timeoutMs: 30_000 });
        expect(answer.body.length).toBe(LARGE_BYTES);
        expect(site.answeredBytes - before).toBeLessThan(MOST_HEAD_BYTES);
      },
      patience(40_000),
    );

    it("are found in pipe and pipeline, with the head made or not, and the application's events are as ever", async () => {
      const events: string[] = [];
      const variants: Readonly<Record<string, Listener>> = {
        pipe: (_req, res) => void createReadStream(file).pipe(res),
        "pipe after writeHead": (_req, res) => {
          res.writeHead(200, ["Content-Type", "text/plain", "Content-Length", String(content.length)]);
          createReadStream(file, { highWaterMark: 10 }).pipe(res);
        },
        "pipe with a strict length": (_req, res) => {
          res.strictContentLength = true;
          res.setHeader("Content-Length", content.length);
          createReadStream(file).pipe(res);
        },
        pipeline: (_req, res) => {
          pipeline(createReadStream(file), res, (error) => events.push(`pipeline ${error ?? "done"}`));
        },
        "pipeline with an end": (_req, res) => {
          pipeline(createReadStream(file, { start: 0, end: content.length - 1 }), res, (error) =>
            events.push(`pipeline ${error ?? "done"}`),
          );
        },
      };
      for (const [variant, serve] of Object.entries(variants)) {
        events.length = 0;
        const closed = gate();
        const sourceClosed = gate();
        let finished = 0;
        listener = (req, res) => {
          res.once("pipe", (source) => {
            source.once("close", () => sourceClosed.open());
            for (const event of ["open", "end", "close", "error"])
              source.once(event, () => events.push(event));
          });
          res.once("finish", () => finished++);
          res.once("close", () => closed.open());
          serve(req, res);
        };
        await expectOffloaded("/listener", content);
        await Promise.all([closed.opened, sourceClosed.opened]);
        expect([variant, finished, [...events].sort()]).toEqual([
          variant,
          1,
          ["close", "end", "open", ...(variant.startsWith("pipeline") ? ["pipeline done"] : [])],
        ]);
      }
    });

    it("that cannot be opened fail as ever", async () => {
      listener = (_req, res) => {
        const source = createReadStream(join(folder, "gone.txt"));
        source.once("error", (error: NodeJS.ErrnoException) => {
          res.statusCode = 404;
          res.end(error.code);
        });
        source.pipe(res);
      };
      const { answer } = await ask("/listener");
      expect([answer.status, answer.text]).toEqual([404, "ENOENT"]);
    });

    it("are sent by the application when they are not what the web server would send", async () => {
      const part = content.subarray(5, 100);
      const variants: Readonly<Record<string, readonly [Listener, Buffer]>> = {
        "a part nobody asked for": [
          (_req, res) => void createReadStream(file, { start: 5, end: 99 }).pipe(res),
          part,
        ],
        "something before it": [
          (_req, res) => {
            res.write("> ");
            createReadStream(file).pipe(res);
          },
          Buffer.concat([Buffer.from("> "), content]),
        ],
        "something after it": [
          (_req, res) => {
            const source = createReadStream(file);
            source.pipe(res, { end: false });
            source.once("end", () => res.end(" <"));
          },
          Buffer.concat([content, Buffer.from(" <")]),
        ],
        "something between": [
          (_req, res) => void createReadStream(file).pipe(new PassThrough()).pipe(res),
          content,
        ],
        "somebody who looks on": [
          (_req, res) => {
            const source = createReadStream(file);
            source.on("data", () => {});
            source.pipe(res);
          },
          content,
        ],
        "somebody who writes in between": [
          (_req, res) => {
            const write = res.write.bind(res);
            res.write = (piece: Buffer): boolean => write(Buffer.from(piece.toString().toUpperCase()));
            createReadStream(file).pipe(res);
          },
          Buffer.from(content.toString().toUpperCase()),
        ],
        "another status": [
          (_req, res) => {
            res.statusCode = 203;
            createReadStream(file).pipe(res);
          },
          content,
        ],
        "an encoding of characters": [(_req, res) => void createReadStream(file, "utf8").pipe(res), content],
      };
      for (const [variant, [serve, expected]] of Object.entries(variants)) {
        listener = serve;
        const { answer, bytes } = await ask("/listener");
        expect([variant, answer.body.equals(expected), bytes >= expected.length]).toEqual([
          variant,
          true,
          true,
        ]);
      }
    });

    it("are sent by the application when they are compressed already", async () => {
      listener = (_req, res) => {
        res.setHeader("Content-Encoding", "gzip");
        pipeline(createReadStream(file), createGzip(), res, () => {});
      };
      expect((await ask("/listener")).answer.headers["content-encoding"]).toBe("gzip");
      listener = (_req, res) => {
        res.setHeader("Content-Encoding", "x-own");
        createReadStream(file).pipe(res);
      };
      const own = await expectOwn("/listener", content);
      expect(own.headers["content-encoding"]).toBe("x-own");
    });

    it("that are destroyed on the way leave no answer that looks whole", async () => {
      listener = (_req, res) => {
        const source = createReadStream(file);
        source.pipe(res);
        source.once("open", () => {
          source.destroy();
          res.statusCode = 500;
          res.end("destroyed");
        });
      };
      const { answer } = await ask("/listener");
      expect([answer.status, answer.text]).toEqual([500, "destroyed"]);
    });

    it("can be named by the application itself", async () => {
      listener = (_req, res) => {
        if (name === "nginx") res.setHeader("X-Accel-Redirect", "/protected-files/a.txt");
        else res.setHeader("X-Sendfile", file);
        res.end("not this");
      };
      const { answer } = await ask("/listener");
      expect(answer.body.equals(content)).toBe(true);
    });
  });
}

describe("files behind the gateway", () => {
  it("are sent by the application: the gateway sends none for it", async () => {
    const { folder } = makeFiles();
    const served = await servePostern(express().use(express.static(folder)), "unix", {
      sendFile: [folder, `${folder}=/protected/`],
    });
    const gateway = createGateway({ connect: served.server.addresses[0]! });
    await gateway.listen("127.0.0.1:0");
    const answer = await request(`${gateway.url!.replace("localhost", "127.0.0.1")}a.txt`);
    expect(answer.body.equals(contentOf("a.txt"))).toBe(true);
    expect(Object.keys(answer.headers).filter((name) => /sendfile|accel/.test(name))).toEqual([]);
    await gateway.close();
    await served.close();
  });
});

describeWithServer("nginx", "files of a folder for X-Sendfile, behind nginx", () => {
  it("are sent by the application: nginx does not know that header", async () => {
    const { folder } = makeFiles();
    const app = express().use(express.static(folder));
    const site = await startOffloadSite("nginx", folder, app, { server: { sendFile: folder } });
    const answer = await request(`${site.web.origin}/a.txt`);
    expect(answer.body.equals(contentOf("a.txt"))).toBe(true);
    expect(site.answeredBytes).toBeGreaterThan(contentOf("a.txt").length);
    expect(answer.headers["x-sendfile"]).toBeUndefined();
    await site.close();
  });
});
