// Row 21: from the start of a process to the end of its first answer. Wall time, and so at the mercy of the machine: CPU
// time is said beside it. The peers are for information.
import { median } from "../bench.mjs";
import { startOnce, starts } from "../start-up/starts.mjs";

const OURS = [
  "a worker of the manager, listener",
  "a worker of the manager, fetch",
  "serve() in a .fcgi, spawned, listener",
];
const PEERS = { "php-fpm": "php-fpm (manager and child)", "node:http": "node:http, CommonJS" };

export const rows = [
  {
    row: "21",
    work: "start to the first answered request (hello)",
    unit: " ms",
    gate: 120,
    goal: 70,
    peers: Object.keys(PEERS),
    needs: ["php"],
    async measure(bench) {
      const wanted = starts(bench.node, bench.folder).filter(
        ({ name }) => OURS.includes(name) || Object.values(PEERS).includes(name),
      );
      const figures = new Map(wanted.map(({ name }) => [name, { ms: [], cpu: [] }]));
      for (let round = 0; round < bench.rounds; round++) {
        for (const start of wanted) {
          const { ms, cpu } = await startOnce(start);
          figures.get(start.name).ms.push(ms);
          figures.get(start.name).cpu.push(cpu);
        }
      }
      const part = (name, more) => {
        const figure = figures.get(name);
        if (figure === undefined) return { ...more, missing: bench.missing.get("php") ?? `no ${name}` };
        const [measured, minima, ourUs] = [
          median(figure.ms),
          Math.min(...figure.ms),
          median(figure.cpu) * 1000,
        ];
        return { ...more, measured, minima, ourUs };
      };
      return [
        ...OURS.map((mode) => part(mode, { mode, peer: "none" })),
        ...Object.entries(PEERS).map(([peer, name]) =>
          part(name, { peer, mode: "the peer itself", gate: null, goal: null }),
        ),
      ];
    },
  },
];
