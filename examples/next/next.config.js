import { fileURLToPath } from "node:url";

// The mount, "" or "/x": Next.js builds it in. A build with a mount goes into a folder of its own.
const mount = process.env.MOUNT ?? "";

/** @type {import("next").NextConfig} */
export default {
  basePath: mount,
  distDir: mount === "" ? ".next" : "build/mounted",
  output: mount === "" ? "standalone" : undefined, // makes .next/standalone/server.js, which listens by itself
  outputFileTracingRoot: fileURLToPath(new URL(".", import.meta.url)),
  env: { MOUNT: mount },
};
