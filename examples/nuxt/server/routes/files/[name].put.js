import { createHash } from "node:crypto";

export default defineEventHandler(async (event) => {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of event.node.req) {
    bytes += piece.length;
    hash.update(piece);
  }
  return { name: getRouterParam(event, "name"), bytes, sha256: hash.digest("hex") };
});
