// Without Postern: node start.js
import { serve } from "@hono/node-server";
import app from "./app.js";

const options = { port: Number(process.env.PORT ?? 3000), hostname: process.env.HOST };
serve({ fetch: app.fetch, ...options }, ({ port }) => {
  console.log(`listening on port ${port}`);
});
