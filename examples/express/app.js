// Express under any mount: links start with req.baseUrl, the mount that the web server tells.
// Run it:  postern serve app.js --bind unix:/run/yourapplication/app.sock
import express from "express";

const app = express();
app.disable("x-powered-by");

app.get("/", (req, res) => {
  res.type("html").send(`<p>You are ${req.ip}.</p><a href="${req.baseUrl}/news/1">News</a>\n`);
});

app.get("/news/:id", (req, res) => {
  res.json({ id: req.params.id, path: req.path, mount: req.baseUrl, asked: req.originalUrl });
});

app.get("/fail", () => {
  throw new Error("Express answers 500 to this; the stack is in its own log line");
});

export default app;
