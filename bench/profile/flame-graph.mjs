// A profile of V8 as a flame graph: one SVG, without scripts, that a browser or a page of documentation shows. Width is
// time; a frame stands on the one that called it; a frame's title says all that is known of it.

const WIDTH = 1200;
const ROW = 17;
const LEFT = 10;
const TOP = 64;
/** Narrower frames are left out, px: nobody could read or point at them. */
const LEAST = 0.4;
/** Of one character of the labels, px. */
const CHARACTER = 6.6;

/** Whose code a frame is, in the order of the legend. */
export const OWNERS = {
  postern: "Postern",
  application: "the application and its framework",
  node: "Node's JavaScript",
  native: "V8, C++ of Node, the kernel",
};

/**
 * @param profile of `node --cpu-prof`
 * @returns `{ root, ms: owner → ms by own time, totalMs }`; idle time counts nowhere
 */
export function treeOf(profile) {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const own = new Map();
  for (const [at, id] of profile.samples.entries()) {
    own.set(id, (own.get(id) ?? 0) + profile.timeDeltas[at] / 1000);
  }
  const ms = Object.fromEntries(Object.keys(OWNERS).map((owner) => [owner, 0]));
  const build = (node) => {
    const frame = frameOf(node.callFrame);
    const children = new Map(); // frames of the same function, called from several lines, are one
    for (const id of node.children ?? []) {
      const child = build(byId.get(id));
      if (child === undefined) continue;
      const same = children.get(child.key);
      if (same === undefined) children.set(child.key, child);
      else join(same, child);
    }
    if (frame.name === "(idle)") return undefined;
    const ownMs = own.get(node.id) ?? 0;
    ms[frame.owner] += ownMs;
    const list = [...children.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    return { ...frame, ownMs, ms: list.reduce((sum, child) => sum + child.ms, ownMs), children: list };
  };
  const root = build(profile.nodes[0]);
  return { root, ms, totalMs: root.ms };
}

function join(into, from) {
  into.ms += from.ms;
  into.ownMs += from.ownMs;
  for (const child of from.children) {
    const same = into.children.find(({ key }) => key === child.key);
    if (same === undefined) into.children.push(child);
    else join(same, child);
  }
}

function frameOf({ functionName, url, lineNumber }) {
  const owner = ownerOf(url);
  const name = functionName === "" ? "(anonymous)" : functionName;
  const place =
    url === ""
      ? ""
      : `${url.replace(/^.*\/(?=dist\/|node_modules\/|peers\/|profile\/)/, "")}:${lineNumber + 1}`;
  return { key: `${name} ${place}`, name, place, owner };
}

function ownerOf(url) {
  if (url.startsWith("node:")) return "node";
  if (/\/dist\/[^/]+/.test(url) && !url.includes("/node_modules/")) return "postern";
  if (url !== "") return "application";
  return "native";
}

/** @param title what was profiled, for the head @param note a line below it */
export function flameGraph({ root, ms, totalMs }, title, note) {
  const depth = depthOf(root, totalMs);
  const height = TOP + (depth + 1) * ROW + 16;
  const frames = [];
  draw(root, LEFT, 0, (WIDTH - 2 * LEFT) / totalMs, totalMs, frames);
  const legend = Object.entries(OWNERS).map(([owner, words], at) => {
    const share = `${Math.round((100 * ms[owner]) / totalMs)} %`;
    return `<g transform="translate(${LEFT + at * 290},46)"><rect class="${owner}" width="12" height="12"/><text x="18" y="10">${share} ${words}</text></g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">
<style>
svg { background: #fff; font: 11px ui-monospace, monospace; }
text { fill: #1b1b1b; } .title { font: bold 15px system-ui, sans-serif; } .note { font: 12px system-ui, sans-serif; }
rect { stroke: #fff; stroke-width: 0.5; }
.postern { fill: #f2a65a; } .application { fill: #9fc97f; } .node { fill: #8fb8de; } .native { fill: #c9c9c9; }
@media (prefers-color-scheme: dark) {
  svg { background: #161616; } .title, .note, g > text:only-of-type { fill: #e6e6e6; } rect { stroke: #161616; }
  .frame text { fill: #1b1b1b; }
}
</style>
<text class="title" x="${LEFT}" y="20">${escaped(title)}</text>
<text class="note" x="${LEFT}" y="37">${escaped(note)}</text>
${legend.join("\n")}
${frames.join("\n")}
</svg>
`;
}

function depthOf(node, totalMs) {
  const seen = node.children.filter((child) => isSeen(child, totalMs));
  return 1 + Math.max(0, ...seen.map((child) => depthOf(child, totalMs)));
}

function isSeen({ ms }, totalMs) {
  return (ms * (WIDTH - 2 * LEFT)) / totalMs >= LEAST;
}

function draw(node, x, level, pxPerMs, totalMs, frames) {
  const width = node.ms * pxPerMs;
  const percent = ((100 * node.ms) / totalMs).toFixed(1);
  const self = ((100 * node.ownMs) / totalMs).toFixed(1);
  const title = `${node.name} ${node.place}\n${percent} % of the time, ${self} % its own`;
  const y = TOP + level * ROW;
  const fits = Math.floor((width - 6) / CHARACTER);
  const label = fits < 3 ? "" : node.name.length > fits ? `${node.name.slice(0, fits - 1)}…` : node.name;
  const text = label === "" ? "" : `<text x="${(x + 3).toFixed(1)}" y="${y + 12}">${escaped(label)}</text>`;
  frames.push(
    `<g class="frame"><title>${escaped(title)}</title><rect class="${node.owner}" x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}"/>${text}</g>`,
  );
  let at = x;
  for (const child of node.children) {
    if (isSeen(child, totalMs)) draw(child, at, level + 1, pxPerMs, totalMs, frames);
    at += child.ms * pxPerMs;
  }
}

function escaped(text) {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
