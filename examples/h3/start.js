// Without Postern: node start.js
import { serve } from "h3";
import app from "./app.js";

const options = { port: Number(process.env.PORT ?? 3000), hostname: process.env.HOST, silent: true };
const server = await serve(app, options).ready();
console.log(`listening on port ${new URL(server.url).port}`);
