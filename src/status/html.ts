/**
 * A pool as a page for a browser: numbers, workers, and what these work on. One file that asks for nothing else, in
 * light and dark, on narrow screens too. It shows itself anew every two seconds where JavaScript runs, and otherwise
 * loads itself anew. Whatever strangers have sent is escaped. Pure.
 */
import type { PoolSnapshot, WorkerSnapshot } from "./snapshot.ts";
import { ascii, bytes, duration, printable } from "./text.ts";

const STYLE = `:root{color-scheme:light dark;--line:#8884;--soft:#8881;--dim:#777;--good:#18794e;--busy:#ad5700;--bad:#cd2b31}
@media(prefers-color-scheme:dark){:root{--dim:#999;--good:#4cc38a;--busy:#ffa057;--bad:#ff8589}}
*{box-sizing:border-box}body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:75rem;padding:1rem}
h1{font-size:1.3rem;margin:0 0 .2rem}h2{font-size:1rem;margin:1.6rem 0 .5rem}p{margin:.2rem 0;color:var(--dim);overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.5rem;margin:1rem 0 0}
dl div{background:var(--soft);border:1px solid var(--line);border-radius:.4rem;padding:.45rem .6rem}
dt{color:var(--dim);font-size:.8rem}dd{margin:0;font-size:1.15rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;font-size:.8rem;color:var(--dim)}.t{text-align:left}td.u{white-space:normal;overflow-wrap:anywhere;min-width:14rem;font-family:ui-monospace,monospace;font-size:.85rem}
.ready{color:var(--good)}.busy,.draining,.starting{color:var(--busy)}.bad{color:var(--bad)}
.bar{display:flex;height:.5rem;border-radius:.25rem;overflow:hidden;background:var(--line);margin-top:.35rem}.bar i{background:var(--good)}.bar i.busy{background:var(--busy)}`;

/** Text alone goes in, never markup: the answer is this page again. */
const SCRIPT = `setInterval(async()=>{if(document.hidden)return;try{const r=await fetch(location.href,{cache:"no-store"});if(!r.ok)throw 0;const d=new DOMParser().parseFromString(await r.text(),"text/html");document.querySelector("main").replaceWith(d.querySelector("main"))}catch{document.querySelector("#live").textContent="no answer: shown is what was last known"}},2000)`;

const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'";

/** @param now ms since the epoch @param isFull what the workers work on as well */
export function renderHtmlStatus(pool: PoolSnapshot, now: number, isFull: boolean): string {
  const title = `${printable(pool.name)} · Postern`;
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex"><meta http-equiv="Content-Security-Policy" content="${POLICY}">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<style>${STYLE}</style></head><body>
<main>
<h1>${escaped(printable(pool.name))}</h1>
<p>${escaped(printable(pool.program))} on ${escaped(pool.addresses.map(printable).join(", ") || "no address")}</p>
<p id="live">${new Date(now).toISOString().slice(0, 19).replace("T", " ")} UTC</p>
${factsOf(pool, now)}
<h2>Answers</h2>
${answersOf(pool)}
<h2>Workers</h2>
${workersOf(pool, now)}
${isFull ? requestsOf(pool, now) : ""}</main>
<p>${isFull ? '<a href="?html">without requests</a>' : '<a href="?html&amp;full">with what they work on</a>'} ·
<a href="?json&amp;full">JSON</a> · <a href="?openmetrics">metrics</a> · <a href="?full">text</a></p>
<script>${SCRIPT}</script>
</body></html>
`;
}

function factsOf(pool: PoolSnapshot, now: number): string {
  const { workers } = pool;
  const active = workers.filter(({ concurrency, isBusy }) => (concurrency ?? (isBusy ? 1 : 0)) > 0).length;
  const busy = workers.filter(({ isBusy }) => isBusy).length;
  const open = workers.reduce((sum, { concurrency }) => sum + (concurrency ?? 0), 0);
  const waiting = workers.reduce((sum, { queuedRequests }) => sum + (queuedRequests ?? 0), 0);
  const facts: readonly (readonly [name: string, value: string | number, isBad?: boolean])[] = [
    ["up", duration(now - pool.startedAt)],
    ["workers", `${workers.length} of ${pool.maxChildren} (${pool.pm})`],
    ["active, busy", `${active}, ${busy}`],
    ["requests", pool.requests],
    ["open, waiting", `${open}, ${waiting}`],
    ["listen queue", `${pool.listenQueue ?? "–"} of ${pool.listenBacklog}`],
    ["most in queue", pool.maxListenQueue],
    ["average time", averageOf(pool)],
    ["sent", bytes(pool.sentBytes)],
    ["slow", pool.slowRequests, pool.slowRequests > 0],
    ["lost", pool.lostRequests, pool.lostRequests > 0],
    ["crashed", pool.workersCrashed, pool.workersCrashed > 0],
    ["all busy", `${pool.maxChildrenReached}×`, pool.maxChildrenReached > 0],
    ["generation", `${pool.generation}${pool.isReloading ? ", reloading" : ""}`],
  ];
  const cells = facts.map(
    ([name, value, isBad]) =>
      `<div><dt>${name}</dt><dd${isBad === true ? ' class="bad"' : ""}>${escaped(String(value))}</dd></div>`,
  );
  const failure =
    pool.lastFailure === undefined
      ? ""
      : `\n<p class="bad">last failure: ${escaped(printable(pool.lastFailure))}</p>`;
  return `<dl>${cells.join("")}</dl>${failure}`;
}

function averageOf({ durations }: PoolSnapshot): string {
  return durations.count === 0 ? "–" : `${((durations.seconds * 1000) / durations.count).toFixed(1)} ms`;
}

function answersOf({ responses, durations }: PoolSnapshot): string {
  const heads = Object.keys(responses).map((name) => `<th>${escaped(name)}</th>`);
  const counts = Object.values(responses).map((count) => `<td>${count}</td>`);
  const wanted = durations.buckets.filter(({ upTo }) => [0.01, 0.1, 0.5, 1, 5].includes(upTo));
  const within = wanted.map(({ upTo }) => `<th>≤ ${duration(upTo * 1000)}</th>`);
  const shares = wanted.map(({ count }) => `<td>${percent(count / Math.max(1, durations.count))}</td>`);
  return `<div class="scroll"><table><tr>${heads.join("")}${within.join("")}</tr><tr>${counts.join("")}${shares.join("")}</tr></table></div>`;
}

function workersOf(pool: PoolSnapshot, now: number): string {
  if (pool.workers.length === 0) return "<p>no worker runs</p>";
  const rows = pool.workers.map((worker) => {
    const stage = worker.isBusy && worker.stage === "ready" ? "busy" : worker.stage;
    return `<tr><td>${worker.pid}</td><td class="t ${stage}">${stage}</td><td>${worker.generation}</td><td>${orDash(worker.requests)}</td><td>${orDash(worker.concurrency)}</td><td>${worker.loopDelayMs === undefined ? "–" : duration(worker.loopDelayMs)}</td><td>${loopOf(worker)}</td><td>${worker.memoryBytes === undefined ? "–" : bytes(worker.memoryBytes)}</td><td>${duration(now - worker.startedAt)}</td></tr>`;
  });
  return `<div class="scroll"><table><tr><th>pid</th><th class="t">stage</th><th>generation</th><th>requests</th><th>open</th><th>delay</th><th>loop</th><th>memory</th><th>age</th></tr>
${rows.join("\n")}</table></div>`;
}

function loopOf({ loopUtilisation }: WorkerSnapshot): string {
  if (loopUtilisation === undefined) return "–";
  const width = Math.round(Math.min(1, Math.max(0, loopUtilisation)) * 100);
  return `${width} %<div class="bar"><i${width > 80 ? ' class="busy"' : ""} style="width:${width}%"></i></div>`;
}

function requestsOf(pool: PoolSnapshot, now: number): string {
  const rows = pool.workers.flatMap(({ pid, current }) =>
    current.map(
      ({ method, url, client, startedAt }) =>
        `<tr><td>${pid}</td><td>${duration(now - startedAt)}</td><td class="t">${escaped(ascii(client))}</td><td class="t u">${escaped(ascii(`${method} ${url}`))}</td></tr>`,
    ),
  );
  const table =
    rows.length === 0
      ? "<p>none</p>"
      : `<div class="scroll"><table><tr><th>pid</th><th>for</th><th class="t">client</th><th class="t">request</th></tr>
${rows.join("\n")}</table></div>`;
  return `<h2>Requests now</h2>\n${table}\n`;
}

function orDash(value: number | undefined): string {
  return value === undefined ? "–" : String(value);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share === 1 || share === 0 ? 0 : 1)} %`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
