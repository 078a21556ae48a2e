/**
 * A body that the application could not finish: which way of breaking off makes a web server tell its client, and
 * that Postern's is one of them. The first part is the experiment of docs/adr; POSTERN_TABLE=all tries every way.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Application } from "../../src/index.ts";
import { type CutResponder, startCutResponder, WAYS, type WayName } from "../support/e2e/cut-responder.ts";
import { gate, type Site, startSite, titleOf, withSite } from "../support/e2e/served.ts";
import { connectHttp } from "../support/http.ts";
import { notice } from "../support/notice.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

const APACHE = { globalDirectives: "KeepAliveTimeout 50ms\n" };
const SITES: readonly Omit<Site, "transport">[] = [
  { web: "nginx", mount: "" },
  { web: "nginx", mount: "", streaming: true },
  { web: "nginx", mount: "", keepConn: true },
  { web: "nginx", mount: "", keepConn: true, streaming: true },
  { web: "apache", mount: "", ...APACHE },
  { web: "apache", mount: "", keepConn: true, streaming: true, ...APACHE },
  { web: "lighttpd", mount: "" },
  { web: "lighttpd", mount: "", streaming: true },
];

/**
 * What the client got: the body `whole`, or `cut` before the end that was announced; `nothing`, not even a head;
 * `open`, no end within a moment. Or an error status.
 */
async function outcome(url: string, timeoutMs: number): Promise<string> {
  const client = await connectHttp(url);
  const target = url.slice(url.indexOf("/", "http://".length));
  try {
    await client.send(`GET ${target} HTTP/1.1\r\nHost: example.com\r\n\r\n`);
    const response = await client.nextResponse({ timeoutMs });
    if (response.status !== 200) return String(response.status);
    return response.complete ? "whole" : "cut";
  } catch (error) {
    const { message } = error as Error;
    if (message.includes("without a response head")) return "nothing";
    if (message.includes("waited")) return "open";
    throw error;
  } finally {
    client.close();
  }
}

const SMALL_AT_ONCE = "bytes=100&pauseMs=0";
const BIG_LATER = "bytes=200000&pauseMs=30";
const ALL = process.env["POSTERN_TABLE"] === "all";
const SOME: readonly WayName[] = ["whole", "failed", "fin", "reset", "wrongVersion", "length"];
const CASES = ALL
  ? [SMALL_AT_ONCE, "bytes=100&pauseMs=30", "bytes=200000&pauseMs=0", BIG_LATER]
  : [SMALL_AT_ONCE, BIG_LATER];

for (const transport of ["unix", "tcp"] as const) {
  describeWithServer(["nginx", "apache", "lighttpd"], `breaking off over ${transport}`, () => {
    let responder: CutResponder;
    const rows: string[] = [];
    beforeAll(async () => {
      responder = await startCutResponder(transport);
    });
    afterAll(async () => {
      await responder.close();
      notice(
        `\nbodies without Content-Length over ${transport}: small at once / large later\n${rows.join("\n")}`,
      );
    });

    for (const site of SITES) {
      it(`${titleOf({ ...site, transport })}: a record of version 0 is never taken for the end of a body`, async () => {
        const web = await startSite({ ...site, transport }, responder.address);
        const seen = new Map<WayName, string[]>();
        for (const way of ALL ? (Object.keys(WAYS) as WayName[]) : SOME) {
          const cells: string[] = [];
          for (const one of CASES) cells.push(await outcome(`${web.url}/?way=${way}&${one}`, 400));
          seen.set(way, cells);
          rows.push(
            `${titleOf({ ...site, transport }).padEnd(40)} ${WAYS[way].what.padEnd(55)} ${cells.join(" / ")}`,
          );
        }
        await web.stop();
        expect(new Set(seen.get("whole"))).toEqual(new Set(["whole"]));
        // lighttpd 1.4.69 counts what it has not sent yet and announces that as the length, whatever comes then.
        const told = seen
          .get("wrongVersion")!
          .slice(site.web === "lighttpd" ? (site.streaming ? -1 : CASES.length) : 0);
        expect(told).not.toContain("whole");
        // Why something must be sent at all: the plain end of the connection is the end of the body to nginx.
        if (site.web === "nginx" && !site.keepConn) expect(seen.get("fin")).toEqual(CASES.map(() => "whole"));
      });
    }
  });
}

/** How applications fail in the middle of a response. */
const FAILURES: Readonly<Record<string, Application>> = {
  "a Node listener rejects": async (_request: IncomingMessage, response: ServerResponse) => {
    response.write("x".repeat(100));
    await new Promise(setImmediate);
    throw new Error("failed half-way");
  },
  "a Node listener destroys a large response": (_request: IncomingMessage, response: ServerResponse) => {
    response.write("x".repeat(1_000_000), () => response.destroy());
  },
  "a Node listener promises more than it sends": (_request: IncomingMessage, response: ServerResponse) => {
    response.setHeader("Content-Length", 1000);
    response.write("x".repeat(100), () => response.destroy());
  },
  "a fetch body errors": {
    fetch: () => {
      const pieces = [new Uint8Array(100_000), undefined];
      return new Response(
        new ReadableStream({
          pull: (controller) => {
            const piece = pieces.shift();
            if (piece === undefined) controller.error(new Error("failed half-way"));
            else controller.enqueue(piece);
          },
        }),
      );
    },
  },
};

for (const site of SITES) {
  const place = { ...site, transport: "unix" } as const;
  const isLighttpd = site.web === "lighttpd";
  describeWithServer(site.web, `${titleOf(place)}: a body that Postern cuts`, () => {
    for (const [name, failing] of Object.entries(FAILURES)) {
      const mayLookWhole = isLighttpd && !name.includes("promises");
      it(`${name}: ${mayLookWhole ? "may look whole to lighttpd 1.4.69" : "never looks whole"}`, async () => {
        await withSite(place, failing, async ({ web, served }) => {
          const got = await outcome(`${web.url}/`, 3000);
          expect(["cut", "nothing", "502", "503", ...(mayLookWhole ? ["whole"] : [])]).toContain(got);
          expect(served.log.filter((entry) => entry.level === "error")).toHaveLength(1);
        });
      });
    }

    it("the server is destroyed: never looks whole, except to lighttpd 1.4.69", async () => {
      const writing = gate();
      const answer = (_request: IncomingMessage, response: ServerResponse): void => {
        response.write("x".repeat(100), () => writing.open());
      };
      await withSite(place, answer, async ({ web, served }) => {
        const got = outcome(`${web.url}/`, 3000);
        await writing.opened;
        served.server.destroy("the test wants it");
        if (isLighttpd) await got;
        else expect(await got).not.toBe("whole");
      });
    });

    const itStreams = site.streaming ? it : (): void => {};
    itStreams("it fails after the client has seen a part: the client sees that it is cut", async () => {
      const seen = gate();
      const answer = async (_request: IncomingMessage, response: ServerResponse): Promise<void> => {
        response.write("a part");
        await seen.opened;
        throw new Error("failed half-way");
      };
      await withSite(place, answer, async ({ web }) => {
        const client = await connectHttp(web.url);
        await client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
        await client.waitForText(/a part/);
        seen.open();
        expect(await client.nextResponse()).toMatchObject({ status: 200, complete: false });
        client.close();
      });
    });
  });
}
