/** Requests of fetch applications that no client of good manners sends. */
import { describe, expect, it } from "vitest";
import { startServer } from "../../support/wire.ts";

describe("the request of a fetch application", () => {
  it.each(["GET", "get", "head", "post", "QUERY"])("can be read when its method is %s", async (method) => {
    await using server = await startServer({
      async fetch(request) {
        const copy = request.clone();
        return new Response(`${request.method} ${await request.text()} ${await copy.text()}`);
      },
    });
    const answer = await server.ask({
      params: { REQUEST_METHOD: method, CONTENT_LENGTH: "4", HTTP_HOST: "a", REQUEST_URI: "/" },
      stdin: "body",
    });
    // Request has no body with GET and HEAD, whatever the case.
    const body = /^(?:get|head)$/i.test(method) ? "" : "body";
    expect(answer.body.toString()).toBe(`${method} ${body} ${body}`);
  });
});
