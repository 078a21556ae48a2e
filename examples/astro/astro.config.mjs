import node from "@astrojs/node";
import { defineConfig } from "astro/config";

// The mount, "" or "/x": Astro builds it in. A build with a mount goes into a folder of its own.
const mount = process.env.MOUNT ?? "";

export default defineConfig({
  output: "server",
  adapter: node({ mode: "middleware" }),
  base: mount || "/",
  outDir: mount === "" ? "./dist" : "./dist/mounted",
  // Which names this site has: Astro believes no other Host, and refuses forms from elsewhere.
  security: { allowedDomains: [{ hostname: "example.com" }, { hostname: "127.0.0.1" }] },
  session: { driver: "memory" },
  image: { service: { entrypoint: "astro/assets/services/noop" } }, // no images here
  vite: { build: { assetsInlineLimit: 0 } },
});
