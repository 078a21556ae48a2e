import { index, route } from "@react-router/dev/routes";

export default [
  index("./routes/home.jsx"),
  route("news/:id", "./routes/news.jsx"),
  route("search", "./routes/search.js"),
  route("json", "./routes/json.js"),
  route("form", "./routes/form.js"),
  route("files/:name", "./routes/file.js"),
  route("cookies", "./routes/cookies.js"),
  route("old", "./routes/old.js"),
  route("fail", "./routes/fail.js"),
  route("numbers", "./routes/numbers.js"),
  route("events", "./routes/events.js"),
  route("whoami", "./routes/whoami.js"),
  route("gateway", "./routes/gateway.js"),
];
