// The application of `npm start`: plain Express, which knows nothing of FastCGI.
import express from "express";
import { page } from "./page.js";

const app = express();

app.get("/", (req, res) => {
  res.type("html").send(page(req));
});

// Events one by one: the browser shows each second as it comes.
app.get("/clock", (req, res) => {
  res.type("text/event-stream");
  const tick = () => res.write(`data: ${new Date().toLocaleTimeString("en-GB")}\n\n`);
  tick();
  const timer = setInterval(tick, 1000);
  req.on("close", () => clearInterval(timer));
});

app.post("/upload", (req, res) => {
  let bytes = 0;
  req.on("data", (piece) => {
    bytes += piece.length;
  });
  req.on("end", () => res.json({ bytes }));
});

export default app;
