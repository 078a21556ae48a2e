// NestJS on Fastify: export the application itself. Postern awaits app.init() and Fastify's ready() before it serves.
// Run it:  npm run build && postern serve dist/main.js --bind unix:/run/yourapplication/app.sock
import { NestFactory } from "@nestjs/core";
import { FastifyAdapter, type NestFastifyApplication } from "@nestjs/platform-fastify";
import { AppModule } from "./app.module.js";

const app = await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter(), {
  logger: ["error", "warn"],
});
app.useBodyParser("application/octet-stream", { bodyLimit: 10_000_000 });

export default app;
