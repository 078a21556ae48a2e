import { describe, expect, it } from "vitest";
import { errorPage } from "../../../src/cgi/error-page.ts";
import { ResponseHeadParser } from "../../../src/cgi/response-head.ts";

describe("an error page", () => {
  it("is a whole response with its exact length", () => {
    const { head, body } = errorPage(503, "Service Unavailable");
    const parser = new ResponseHeadParser();
    parser.push(Buffer.from(head));
    expect(parser.head).toEqual({
      status: 503,
      reason: "Service Unavailable",
      headers: [
        ...[
          "Content-Type",
          "text/html; charset=utf-8",
          "Content-Length",
          String(body.length),
          "Cache-Control",
          "no-store",
        ],
      ],
      localRedirect: undefined,
    });
    expect(body).toContain("<h1>503 Service Unavailable</h1>");
    expect(body).not.toContain("<pre>");
  });

  it("is ASCII, so that bytes are characters", () => {
    const { head, body } = errorPage(500, "Café", "naïve \u{1f600} \u2028\nnext\tcell");
    expect(body).toMatch(/^[\x09\x0a\x20-\x7e]*$/);
    expect(body).toContain("<pre>na&#239;ve &#128512; &#8232;\nnext\tcell</pre>");
    expect(head).toContain(`Content-Length: ${body.length}\r\n`);
  });

  it("shows nothing as markup and no control characters", () => {
    const { body } = errorPage(400, "Bad Request", `<script>alert("1")</script>&'\x1b[31m\0\x7f\r\n`);
    expect(body).toContain("<pre>&#60;script&#62;alert(&#34;1&#34;)&#60;/script&#62;&#38;&#39;[31m\n</pre>");
  });

  it("fits one record whatever the detail", () => {
    for (const character of ["\u{10ffff}", "\uffff", "<", "\ud800"]) {
      const { head, body } = errorPage(500, "Internal Server Error", character.repeat(100_000));
      expect(head.length + body.length).toBeLessThan(65528);
      expect(body).toContain("&#8230;</pre>");
    }
  });

  it("may have headers of its own", () => {
    expect(errorPage(503, "Service Unavailable", undefined, ["Retry-After", "5"]).head).toContain(
      "Retry-After: 5\r\n",
    );
  });
});
