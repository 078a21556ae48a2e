// The same application listening by itself, as Astro's documentation shows it with Express.
import express from "express";
import { handler } from "./dist/server/entry.mjs";

const app = express();
app.use(express.static("dist/client"));
app.use((req, res, next) => handler(req, res, next, { address: req.socket.remoteAddress }));
app.listen(process.env.PORT ?? 3000);
