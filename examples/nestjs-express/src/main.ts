// NestJS on Express: export the application itself. Postern awaits app.init() before it serves.
// Run it:  npm run build && postern serve dist/main.js --bind unix:/run/yourapplication/app.sock
import { NestFactory } from "@nestjs/core";
import type { NestExpressApplication } from "@nestjs/platform-express";
import { AppModule } from "./app.module.js";

const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: ["error", "warn"] });

export default app;
