// Without Postern: node start.js
import { node } from "@elysiajs/node";
import { Elysia } from "elysia";
import app from "./app.js";

const options = { port: Number(process.env.PORT ?? 3000), hostname: process.env.HOST };
new Elysia({ adapter: node() }).use(app).listen(options, ({ port }) => {
  console.log(`listening on port ${port}`);
});
