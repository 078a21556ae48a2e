import adapter from "@sveltejs/adapter-node";

// The mount, "" or "/x": SvelteKit builds it in. A build with a mount goes into a folder of its own.
const base = process.env.MOUNT ?? "";

export default {
  kit: {
    adapter: adapter({ out: base === "" ? "build" : "build/mounted" }),
    paths: { base, relative: false },
  },
};
