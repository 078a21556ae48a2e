// The application: one file, the same before and after.
const { fastcgi } = require("postern"); // after; for what only FastCGI tells

exports.handler = (req, res) => {
  const params = req.cgiParams ?? fastcgi(req).params; // before ?? after
  if (req.method === "POST") {
    let body = "";
    req.setEncoding("utf8");
    req.on("data", (piece) => {
      body += piece;
    });
    req.on("end", () => res.writeHead(200, { "Content-Type": "text/plain" }).end(`received ${body}\n`));
    return;
  }
  if (req.url.endsWith("/who")) {
    res.setHeader("Set-Cookie", ["a=1", "b=2"]);
    res.end(`${req.socket.remoteAddress} by ${params.REQUEST_METHOD} from ${params.SERVER_NAME}\n`);
  } else if (req.url.endsWith("/nothing")) {
    res.writeHead(204).end();
  } else {
    res.writeHead(404, { "Content-Type": "text/plain" }).end(`no page ${req.url}, ${req.headers.host}\n`);
  }
};
