// Without Postern: node start.js
import app from "./app.js";

await app.listen({
  port: Number(process.env.PORT ?? 3000),
  ...(process.env.HOST && { host: process.env.HOST }),
});
console.log(`listening on port ${app.server.address().port}`);
