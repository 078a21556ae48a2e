/** Bodies on their way in. */
import { createHash } from "node:crypto";

const hex = (bytes) => createHash("sha256").update(bytes).digest("hex");

export const body = {
  "body/null": (incoming) => Response.json([incoming.body, incoming.bodyUsed]),

  "body/empty": async (incoming) => Response.json([await incoming.text(), incoming.bodyUsed]),

  "body/text": async (incoming) =>
    new Response(await incoming.text(), { headers: { "X-Used": String(incoming.bodyUsed) } }),

  "body/json": async (incoming) => Response.json(await incoming.json()),

  "body/wrong-json": (incoming) =>
    incoming.json().then(
      () => new Response("parsed"),
      (error) => new Response(error.name),
    ),

  "body/array-buffer": async (incoming) => {
    const buffer = await incoming.arrayBuffer();
    return Response.json([buffer instanceof ArrayBuffer, buffer.byteLength, hex(new Uint8Array(buffer))]);
  },

  "body/bytes": async (incoming) => {
    const bytes = await incoming.bytes();
    return Response.json([bytes instanceof Uint8Array, bytes.length, hex(bytes)]);
  },

  "body/blob": async (incoming) => {
    const blob = await incoming.blob();
    return Response.json([blob instanceof Blob, blob.type, blob.size, await blob.text()]);
  },

  "body/form": async (incoming) => {
    const form = await incoming.formData();
    const parts = [];
    for (const [name, value] of form) {
      parts.push(
        typeof value === "string"
          ? [name, value]
          : [name, value.name, value.type, hex(new Uint8Array(await value.arrayBuffer()))],
      );
    }
    return Response.json(parts);
  },

  "body/not-a-form": (incoming) =>
    incoming.formData().then(
      () => new Response("a form"),
      (error) => new Response(error.name),
    ),

  "body/twice": async (incoming) => {
    await incoming.text();
    const failures = [];
    for (const how of ["text", "json", "arrayBuffer", "blob"]) {
      await incoming[how]().catch((error) => failures.push(error.name));
    }
    let clone = "cloned";
    try {
      incoming.clone();
    } catch (error) {
      clone = error.name;
    }
    let wrapped = "wrapped";
    try {
      new Request(incoming);
    } catch (error) {
      wrapped = error.name;
    }
    return Response.json({ failures, clone, wrapped });
  },

  "body/clone": async (incoming) => {
    const copy = incoming.clone();
    const [one, two] = await Promise.all([incoming.text(), copy.text()]);
    return Response.json([
      one.length,
      one === two,
      incoming.bodyUsed,
      copy.bodyUsed,
      copy instanceof Request,
    ]);
  },

  "body/stream": async (incoming) => {
    const hash = createHash("sha256");
    let bytes = 0;
    let areBytes = true;
    for await (const piece of incoming.body) {
      areBytes &&= piece instanceof Uint8Array;
      hash.update(piece);
      bytes += piece.length;
    }
    return Response.json([bytes, hash.digest("hex"), areBytes, incoming.bodyUsed]);
  },

  "body/echo": (incoming) => new Response(incoming.body),

  "body/through": (incoming) =>
    new Response(
      incoming.body
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(
          new TransformStream({
            transform: (text, controller) => controller.enqueue(text.toUpperCase()),
          }),
        )
        .pipeThrough(new TextEncoderStream()),
    ),

  "body/slow": async (incoming, { note, opened }) => {
    const reader = incoming.body.getReader();
    const { value } = await reader.read();
    note("reading");
    await opened();
    let bytes = value.length;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
    }
    return new Response(String(bytes));
  },

  "body/untouched": () => new Response("no, thank you", { status: 413 }),

  "body/looked-at": (incoming) => new Response(incoming.body === null ? "none" : "seen", { status: 413 }),

  "body/cancelled": async (incoming) => {
    const reader = incoming.body.getReader();
    await reader.read();
    await reader.cancel("enough");
    return new Response("enough");
  },

  "body/cut": async (incoming, { note }) => {
    note("reading");
    await incoming.text().then(
      () => note("whole"),
      (error) => note(`failed ${error instanceof Error}`),
    );
    return new Response("nobody reads this");
  },
};
