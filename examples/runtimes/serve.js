// One file for three runtimes; the address is the argument, or what the process inherits.
//   node serve.js unix:/run/yourapplication/app.sock
//   bun serve.js unix:/run/yourapplication/app.sock
//   deno run --allow-all serve.js unix:/run/yourapplication/app.sock
import process from "node:process";
import { serve } from "postern";

const { bun, deno, node } = process.versions;
const runtime = bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`;
const [bind] = process.argv.slice(2);

await serve(
  {
    fetch(request) {
      return new Response(`${runtime} was asked for ${new URL(request.url).pathname}\n`);
    },
  },
  bind ? { bind } : {},
);
