/** The light frameworks: each example answers alike over its own server and over Postern behind nginx. */
import { describeFramework, type FrameworkProject } from "./framework-suite.ts";

const NO_COMPRESSION = "the framework has no compression of its own";
const none = { compression: NO_COMPRESSION };

const PROJECTS: readonly FrameworkProject[] = [
  { name: "Express 5", folder: "examples/express", without: none },
  { name: "Express 4", folder: "examples/express4", without: none },
  { name: "connect 3", folder: "examples/connect", without: none },
  { name: "Koa 3", folder: "examples/koa", without: none },
  { name: "Fastify 5", folder: "examples/fastify", without: none },
  {
    name: "NestJS 12 on Express",
    folder: "examples/nestjs-express",
    file: "dist/main.js",
    start: "dist/start.js",
    without: none,
  },
  {
    name: "NestJS 12 on Fastify",
    folder: "examples/nestjs-fastify",
    file: "dist/main.js",
    start: "dist/start.js",
    without: none,
  },
  { name: "Hono 4", folder: "examples/hono", flags: ["--strip-base"] },
  {
    name: "h3 2",
    folder: "examples/h3",
    flags: ["--strip-base"],
    without: { ...none, slash: "h3 leaves an encoded slash in a parameter as it is" },
  },
  { name: "Elysia 1", folder: "examples/elysia", flags: ["--strip-base"], without: none },
];

for (const project of PROJECTS) describeFramework(project);
