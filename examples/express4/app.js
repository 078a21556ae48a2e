// Express 4 under any mount: links start with req.baseUrl, the mount that the web server tells.
// Run it:  postern serve app.js --bind unix:/run/yourapplication/app.sock
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import express from "express";
import { fastcgi } from "postern";

const app = express();
app.disable("x-powered-by");

app.get("/", (req, res) => {
  res.type("html").send(`<p>You are ${req.ip}.</p><a href="${req.baseUrl}/news/1">News</a>\n`);
});

app.get("/news/:id", (req, res) => {
  res.json({ id: req.params.id, path: req.path, mount: req.baseUrl, asked: req.originalUrl });
});

app.get("/search", (req, res) => {
  res.json({ q: req.query.q });
});

app.post("/json", express.json(), (req, res) => {
  res.json({ got: req.body });
});

app.post("/form", express.urlencoded({ extended: false }), (req, res) => {
  res.json({ got: req.body });
});

app.put("/files/:name", (req, res) => {
  const hash = createHash("sha256");
  let bytes = 0;
  req.on("data", (piece) => {
    bytes += piece.length;
    hash.update(piece);
  });
  req.on("end", () => res.json({ name: req.params.name, bytes, sha256: hash.digest("hex") }));
});

app.get("/cookies", (req, res) => {
  const theme = /(?:^|; )theme=([^;]*)/.exec(req.headers.cookie ?? "")?.[1];
  res.cookie("seen", "yes", { httpOnly: true }).cookie("last", "news").json({ theme });
});

app.get("/old", (req, res) => {
  res.redirect(`${req.baseUrl}/news/1`);
});

app.get("/numbers", (_req, res) => {
  Readable.from(numbers()).pipe(res.type("text"));
});

function* numbers() {
  for (let number = 1; number <= 20_000; number++) yield `${number}\n`;
}

// Server-sent events: Postern tells nginx not to hold them back.
app.get("/events", (_req, res) => {
  res.set("Content-Type", "text/event-stream").write("data: hello\n\n");
  const timer = setInterval(() => res.write("data: still here\n\n"), 15_000);
  res.on("close", () => {
    clearInterval(timer);
    console.log("a listener left");
  });
});

// Express makes the ETag, and answers 304 to who has it.
app.get("/cached", (_req, res) => {
  res.type("text").send("the same as ever\n");
});

app.get("/whoami", (req, res) => {
  res.json({ address: req.ip });
});

// What FastCGI tells beyond HTTP: this throws where the application runs without Postern.
app.get("/gateway", (req, res) => {
  res.json({ server: fastcgi(req).gateway.serverSoftware });
});

app.get("/fail", () => {
  throw new Error("secret: Express answers 500 to this, and logs the stack");
});

export default app;
