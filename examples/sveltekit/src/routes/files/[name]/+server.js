import { createHash } from "node:crypto";
import { json } from "@sveltejs/kit";

export async function PUT({ params, request }) {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of request.body) {
    bytes += piece.length;
    hash.update(piece);
  }
  return json({ name: params.name, bytes, sha256: hash.digest("hex") });
}
