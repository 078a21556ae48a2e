/** An explanation as a page: small, escaped, without scripts or anything from elsewhere. */
import { escapeHtml } from "../../cgi/error-page.ts";
import type { Explanation } from "./explanation.ts";
import { explanationSections, type TextOptions } from "./text.ts";

const STYLE = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 1em/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.1em; margin: 2em 0 .4em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3em 1em .3em 0; border-top: 1px solid var(--line); }
th { font-weight: 500; white-space: nowrap; }
td { overflow-wrap: anywhere; min-width: 8em; }
td:nth-child(2) { font-family: ui-monospace, monospace; font-size: .9em; }
td:nth-child(3) { opacity: .75; }
.notes td:nth-child(2) { font: inherit; }
@media (max-width: 40em) {
  th, td { display: block; border: 0; padding: 0; }
  th { font-weight: 600; }
  tr { display: block; border-top: 1px solid var(--line); padding: .4em 0; }
}
`;

export function explanationPage(explanation: Explanation, options: TextOptions): string {
  const title =
    explanation.seen === undefined
      ? "A refused request"
      : `${explanation.seen.method} ${explanation.seen.target.originalUrl}`;
  const sections = explanationSections(explanation, options).map(({ title: heading, rows }) => {
    const lines = rows.map(([first = "", ...others]) => {
      const cells = others.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("");
      return `<tr><th scope="row">${escapeHtml(first)}</th>${cells}</tr>`;
    });
    const kind = heading === "Notes" ? ' class="notes"' : "";
    return `<h2>${escapeHtml(heading)}</h2>\n<div class="wide"><table${kind}>\n${lines.join("\n")}\n</table></div>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
<p>What postern explain makes of this request.</p>
${sections.join("\n")}
</body>
</html>
`;
}
