/** The page of `postern dev` for an error: small, nothing of it from elsewhere, light or dark as the browser is. Pure. */
import { escapeControls } from "../base/text.ts";
import { type ErrorPage, escapeHtml } from "../cgi/error-page.ts";
import { serializeHead } from "../cgi/response-head.ts";
import type { DevReport, Frame } from "./dev-report.ts";

export interface PageOptions {
  readonly status: number;
  /** Else text, for everybody who is no browser. */
  readonly isHtml: boolean;
  /** Where a page learns that the application has been mended; undefined for one that was not asked for by GET. */
  readonly changesUrl: string | undefined;
}

const STYLE = `:root{color-scheme:light dark;--ink:#1d2330;--dim:#667085;--paper:#fff;--box:#f4f5f7;--red:#b42318;--mark:#fee4e2}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ec;--dim:#98a2b3;--paper:#14171c;--box:#1d2128;--red:#ff8a80;--mark:#48201d}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1rem}h1{font-size:1rem;font-weight:600;color:var(--dim);margin:0 0 .5rem}
h2{font-size:1.35rem;line-height:1.35;margin:0 0 1rem;color:var(--red);white-space:pre-wrap;overflow-wrap:anywhere}
p{color:var(--dim);margin:1rem 0 .4rem;overflow-wrap:anywhere}pre,ol{background:var(--box);border-radius:.5rem;margin:0;padding:.75rem 0;overflow-x:auto;font:13px/1.6 ui-monospace,monospace}
pre span{display:block;width:max-content;min-width:100%;padding:0 .9rem;white-space:pre}pre .wrong{background:var(--mark)}
pre i{color:var(--dim);font-style:normal;user-select:none}b{color:var(--red)}
ol{list-style:none;padding:.75rem .9rem}li{white-space:pre;width:max-content}li.package,li.node{color:var(--dim)}summary{cursor:pointer;color:var(--dim);margin:.8rem 0 .4rem}`;

/** Reloads when the stream ends: it does when the application is started anew, and the new request waits for that. */
const script = (url: string): string =>
  `<script>{const s=new EventSource(${JSON.stringify(url).replaceAll("<", "\\u003c")});let o;s.onopen=()=>{if(o)location.reload();o=1};s.onerror=()=>{s.close();setTimeout(()=>location.reload(),o?50:1000)}}</script>`;

/** A whole answer. */
export function devPage(report: DevReport, options: PageOptions): ErrorPage {
  const { status, isHtml } = options;
  const body = isHtml ? html(report, options) : text(report);
  const type = isHtml ? "text/html" : "text/plain";
  const head = serializeHead(status, status === 503 ? "Service Unavailable" : "Internal Server Error", [
    "Content-Type",
    `${type}; charset=utf-8`,
    "Content-Length",
    String(Buffer.byteLength(body)),
    "Cache-Control",
    "no-store",
    "X-Content-Type-Options",
    "nosniff",
  ]);
  return { head, body };
}

function html({ title, message, where, excerpt, column, frames }: DevReport, options: PageOptions): string {
  const { status, changesUrl } = options;
  const own = frames.filter(({ of }) => of === "app");
  const others = frames.filter(({ of }) => of !== "app");
  const list = (some: readonly Frame[]): string =>
    `<ol>${some.map(({ of, text: frame }) => `<li class="${of}">${escapeHtml(frame)}</li>`).join("\n")}</ol>\n`;
  const width = String(excerpt.at(-1)?.number ?? 0).length;
  const source = excerpt
    .map((line) => {
      const number = `<i>${String(line.number).padStart(width)}  </i>`;
      if (!line.isWrong) return `<span>${number}${escapeHtml(line.text)}</span>`;
      const mark =
        column === undefined ? "" : `<span class="wrong">${" ".repeat(width + 1 + column)}<b>^</b></span>`;
      return `<span class="wrong">${number}${escapeHtml(line.text)}</span>${mark}`;
    })
    .join("");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${status} ${escapeHtml(title)}</title>
${changesUrl === undefined ? "" : `<noscript><meta http-equiv="refresh" content="2"></noscript>\n`}<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<h2>${escapeHtml(message)}</h2>
${where === undefined ? "" : `<p>${escapeHtml(where)}</p>\n`}${source === "" ? "" : `<pre>${source}</pre>\n`}${own.length === 0 ? "" : `<p>Stack</p>\n${list(own)}`}${others.length === 0 ? "" : `<details><summary>${others.length} more in packages and in Node</summary>\n${list(others)}</details>\n`}<p>${changesUrl === undefined ? "Mend it, and send the request again." : "Mend it: this page loads itself again."}</p>
</main>
${changesUrl === undefined ? "" : `${script(changesUrl)}\n`}</body>
</html>
`;
}

function text({ title, message, where, excerpt, column, frames }: DevReport): string {
  const width = String(excerpt.at(-1)?.number ?? 0).length;
  const source = excerpt.flatMap((line) => {
    const shown = `${line.isWrong ? ">" : " "} ${String(line.number).padStart(width)}  ${line.text}`;
    const mark = line.isWrong && column !== undefined ? [`${" ".repeat(width + 3 + column)}^`] : [];
    return [shown, ...mark];
  });
  const own = frames.filter(({ of }) => of === "app");
  const others = frames.length - own.length;
  const parts = [
    [title],
    [message, ...(where === undefined ? [] : [where])],
    source,
    [
      ...own.map((frame) => `  at ${frame.text}`),
      ...(others === 0 ? [] : [`  and ${others} more in packages and in Node`]),
    ],
  ];
  const lines = parts
    .filter((part) => part.length > 0)
    .map((part) => part.join("\n"))
    .join("\n\n")
    .split("\n");
  return `${lines.map(escapeControls).join("\n")}\n`;
}
