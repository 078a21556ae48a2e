// The floor: a bare socket that answers whatever comes with a finished FastCGI answer. `net.mjs PATH`.
import net from "node:net";

const record = (type, content) =>
  Buffer.concat([Buffer.from([1, type, 0, 1, 0, content.length, 0, 0]), content]);
const answer = Buffer.concat([
  record(6, Buffer.from("Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello world\n")),
  record(6, Buffer.alloc(0)),
  record(3, Buffer.alloc(8)),
]);
net
  .createServer((socket) => {
    socket.on("data", () => socket.end(answer));
    socket.on("error", () => {});
  })
  .listen(process.argv[2]);
