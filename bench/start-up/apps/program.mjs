// A program that serves itself: `program.mjs listener|fetch [ADDRESS]`; without an address on descriptor 0.
import { serve } from "../../../dist/index.js";

const { default: app } = await import(`./${process.argv[2]}.mjs`);
const bind = process.argv[3];
await serve(app, bind === undefined ? {} : { bind });
