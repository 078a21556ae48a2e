// Rows 9-13: hello with a connection per request, the one mode that all FastCGI servers can do.
import { ratioRow } from "./ratio.mjs";

const CLOSING = { work: "hello", connections: 8, close: true, transport: "unix" };

const row = (number, peer, ...theirs) =>
  ratioRow({
    row: number,
    work: `fetch hello, connection per request / ${peer}`,
    group: CLOSING,
    ours: ["postern fetch"],
    theirs,
  });

export const rows = [
  row("9", "node-fastcgi, same Node", { name: "node-fastcgi", gate: 0.18, goal: 0.1 }),
  row("10", "Go net/http/fcgi", { name: "go", gate: 0.5, goal: 0.28 }),
  // Perl's FCGI is libfcgi with Perl on top: in the table for information.
  row("11", "C libfcgi", { name: "libfcgi", gate: 1.2, goal: 0.9 }, { name: "perl" }),
  row("12", "php-fpm static 1", { name: "php-fpm", gate: 0.5, goal: 0.3 }),
  row("13", "uWSGI FastCGI", { name: "uwsgi", gate: 1.6, goal: 1.0 }),
];
