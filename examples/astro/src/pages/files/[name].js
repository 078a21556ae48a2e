import { createHash } from "node:crypto";

export async function PUT({ params, request }) {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of request.body) {
    bytes += piece.length;
    hash.update(piece);
  }
  return Response.json({ name: params.name, bytes, sha256: hash.digest("hex") });
}
