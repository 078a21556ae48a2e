// Built twice: `node-server`, Nuxt's default, makes .output/server/index.mjs, which listens by itself; `node` makes
// a listener for app.js. The mount is not built in: NUXT_APP_BASE_URL=/x/ states it when the application starts.
const preset = process.env.NITRO_PRESET ?? "node-server";

export default defineNuxtConfig({
  compatibilityDate: "2026-01-01",
  telemetry: false,
  nitro: {
    preset,
    serveStatic: true, // what the listener is without otherwise
    output: { dir: preset === "node" ? ".output/listener" : ".output" },
  },
});
