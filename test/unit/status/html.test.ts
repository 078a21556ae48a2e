/** The status page for browsers: everything in it, nothing of strangers acts in it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderHtmlStatus } from "../../../src/status/html.ts";
import { phpFpmStatusPage } from "../../../src/status/php-fpm.ts";
import { examplePool, exampleWorker, NOW } from "./example.ts";

/** The page with what does not depend on the pool taken out, and then text and tags apart. */
function read(page: string): { tags: readonly string[]; text: string } {
  const [, main = ""] = /<main>([\s\S]*)<\/main>/.exec(page) ?? [];
  return { tags: main.match(/<[^>]*>/g) ?? [], text: main.replace(/<[^>]*>/g, " ") };
}

describe("the status page as HTML", () => {
  it("is what ?html asks for, and has requests with ?html&full", () => {
    const { text, contentType } = phpFpmStatusPage(examplePool(), NOW, "html");
    expect(contentType).toBe("text/html");
    expect(text).toBe(renderHtmlStatus(examplePool(), NOW, false));
    expect(read(text).text).not.toContain("/login");
    const full = read(phpFpmStatusPage(examplePool(), NOW, "full&html").text).text;
    expect(full).toMatch(/4251\s+12 s\s+203\.0\.113\.9\s+GET \/reports\/2026\?format=pdf/);
  });

  it("has the numbers of the pool and of each worker", () => {
    const { text } = read(renderHtmlStatus(examplePool(), NOW, false));
    for (const part of [
      "/srv/yourapplication/app.js",
      "51204",
      "3 of 8 (dynamic)",
      "700 MB",
      "36.0 ms",
      "50900",
      "34 %",
      "88 MB",
      "2026-11-22 13:15:41 UTC",
    ])
      expect(text).toContain(part);
  });

  it("loads nothing from anywhere, and says so to the browser", () => {
    const page = renderHtmlStatus(examplePool(), NOW, true);
    expect(page).toContain("default-src 'none'");
    expect(
      page
        .match(/(?:src|href|url\()\s*=?\s*["'(]?[^"' )>]*/g)
        ?.filter((one) => !/=\s*"\?/.test(one))
        .join(""),
    ).not.toMatch(/\/\//);
    expect(page).not.toMatch(/@import|<link|<img|<iframe/);
  });

  it("is of use without JavaScript", () => {
    expect(renderHtmlStatus(examplePool(), NOW, false)).toContain('<noscript><meta http-equiv="refresh"');
  });

  it("says when no worker runs, and why the last one crashed", () => {
    const { text } = read(
      renderHtmlStatus(examplePool({ workers: [], lastFailure: "exit code 1: <Error>" }), NOW, true),
    );
    expect(text).toContain("no worker runs");
    expect(text).toContain("last failure: exit code 1: &#60;Error&#62;");
  });

  it("has the same tags whatever strangers and operators write", () => {
    const stranger = fc.oneof(
      fc.string({ unit: "binary", maxLength: 40 }),
      fc.constantFrom(
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</main>",
        "&lt;",
        "\u202e",
        "<!--",
        "'",
      ),
    );
    const pageOf = (text: string): string => {
      const worker = exampleWorker({ current: [{ method: text, url: text, client: text, startedAt: NOW }] });
      return renderHtmlStatus(
        examplePool({ name: text, program: text, addresses: [text], lastFailure: text, workers: [worker] }),
        NOW,
        true,
      );
    };
    const { tags } = read(pageOf("x"));
    const property = fc.property(stranger, (text) => {
      const page = pageOf(text);
      expect(read(page).tags).toEqual(tags);
      expect(read(page).text).not.toMatch(/[<>"']|&(?!#\d+;)/);
      expect(page.match(/<title>/g)).toHaveLength(1);
    });
    fc.assert(property, { numRuns: 50 });
  });
});
