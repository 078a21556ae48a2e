/** What the socket of a request does when an application uses it as the TCP socket that node:http would have. */
import { createServer } from "node:http";
import { describe, expect, it } from "vitest";
import { TYPE } from "../../support/records.ts";
import { startServer } from "../../support/wire.ts";

describe("an 'error' that the application emits on the socket", () => {
  it("ends the request, not the process, when nobody listens", async () => {
    await using server = await startServer(
      createServer((request) => request.socket.emit("error", new Error("emitted"))),
    );
    expect((await server.ask()).head).toMatch(/^Status: 500 /);
    expect((await server.ask()).head).toMatch(/^Status: 500 /);
    expect(server.log.text).toEqual(["error the application failed", "error the application failed"]);
  });

  it("cuts an answer that has begun, so that nobody takes the part for the whole", async () => {
    await using server = await startServer(
      createServer((request, response) => {
        response.write("part");
        request.socket.emit("error", new Error("emitted"));
      }),
    );
    const wire = await server.connect();
    await wire.request().end();
    expect(wire.records.some(({ type }) => type === TYPE.END_REQUEST)).toBe(false);
  });

  it("is a 'clientError' of a server that listens for these, and reaches listeners of the socket", async () => {
    const heard: string[] = [];
    const application = createServer((request, response) => {
      request.socket.on("error", (error) => heard.push(`socket: ${error.message}`));
      request.socket.emit("error", new Error("emitted"));
      response.end("answered");
    });
    application.on("clientError", (error) => heard.push(`server: ${error.message}`));
    await using server = await startServer(application);
    expect(String((await server.ask()).body)).toBe("answered");
    expect(heard).toEqual(["server: emitted", "socket: emitted"]);
  });
});

describe("bytesRead and bytesWritten", () => {
  it("count the body of the request, and the answer with its head", async () => {
    const counts: number[][] = [];
    await using server = await startServer(
      createServer((request, response) => {
        const { socket } = request;
        const note = (): unknown => counts.push([socket.bytesRead, socket.bytesWritten]);
        note();
        request.resume().on("end", () => {
          note();
          response.end(Buffer.alloc(1000));
          note();
        });
      }),
    );
    const wire = await server.connect();
    wire.request({ params: { REQUEST_METHOD: "POST", CONTENT_LENGTH: "5" }, stdin: "12345" });
    const { stdout } = await wire.answer();
    expect(counts).toEqual([
      [0, 0],
      [5, 0],
      [5, stdout.length],
    ]);
  });
});
