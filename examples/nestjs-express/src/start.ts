// Without Postern: node dist/start.js
import type { AddressInfo } from "node:net";
import app from "./main.js";

await app.listen(process.env["PORT"] ?? 3000, process.env["HOST"] ?? "localhost");
console.log(`listening on port ${(app.getHttpServer().address() as AddressInfo).port}`);
