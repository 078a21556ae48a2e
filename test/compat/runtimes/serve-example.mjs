/** Serves what a file exports: `serve-example.mjs FILE ADDRESS [OPTIONS]`, for a runtime that has no `postern serve`. */
import { pathToFileURL } from "node:url";
import { serve } from "postern";

const [file, address, options = "{}"] = process.argv.slice(2);
const { default: application } = await import(pathToFileURL(file).href);
await serve(application, { bind: address, ...JSON.parse(options) });
console.log(`listening ${address}`);
