// A chat over WebSocket, with `ws`: whatever one visitor says, all of them hear.
// Try it:  postern serve app.js --http :8080       Behind a web server: docs/websocket.md
import { createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const page = `<!doctype html><title>chat</title><input autofocus><ul></ul><script>
const socket = new WebSocket(location.href.replace(/^http/, "ws").replace(/[^/]*$/, "ws"));
const say = (text) => document.querySelector("ul").append(Object.assign(document.createElement("li"), { textContent: text }));
socket.onmessage = ({ data }) => say(data);
socket.onclose = () => say("(closed)");
document.querySelector("input").onchange = ({ target }) => { socket.send(target.value); target.value = ""; };
</script>`;

const server = createServer((_request, response) => {
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(page);
});

const chat = new WebSocketServer({ server, path: "/ws", maxPayload: 65536 });

chat.on("connection", (socket, request) => {
  socket.on("error", () => {}); // such as a message that is too long: "close" follows
  socket.on("message", (data) => tell(`${request.socket.remoteAddress}: ${data}`));
});

function tell(text) {
  for (const client of chat.clients) {
    if (client.readyState === WebSocket.OPEN) client.send(text);
  }
}

// Web servers close a connection that is silent for a minute; a browser answers a ping.
setInterval(() => {
  for (const client of chat.clients) client.ping();
}, 30_000).unref();

export default server;
