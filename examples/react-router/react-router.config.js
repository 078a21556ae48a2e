// The mount, "" or "/x": built in, here and as `base` in vite.config.js. It goes into a folder of its own.
const mount = process.env.MOUNT ?? "";

export default {
  ssr: true,
  basename: mount || "/",
  buildDirectory: mount === "" ? "build" : "build/mounted",
};
