// The smallest application, as a fetch application: for `postern serve`.
export default {
  fetch: () => new Response("hello world\n", { headers: { "Content-Type": "text/plain" } }),
};
