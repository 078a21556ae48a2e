/** Our HTTP gateway in a process of its own. `node gateway.js FASTCGI_ADDRESS` prints where it listens. */
import { createGateway } from "postern/gateway";

const gateway = createGateway({ connect: process.argv[2] });
await gateway.listen("127.0.0.1:0");
process.once("SIGTERM", () => void gateway.close());
console.log(`port ${gateway.server.address().port}`);
