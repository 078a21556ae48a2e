/** Bodies on their way out, as streams. */

const encode = (text) => new TextEncoder().encode(text);

export const streams = {
  "streams/pieces": (_incoming, { opened, note }) =>
    new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(encode("first "));
          note("first");
          await opened();
          controller.enqueue(encode("second"));
          controller.close();
        },
      }),
    ),

  "streams/head-first": (_incoming, { opened }) =>
    new Response(
      new ReadableStream({
        async pull(controller) {
          await opened();
          controller.enqueue(encode("at last"));
          controller.close();
        },
      }),
      { headers: { "X-Own": "early" } },
    ),

  "streams/bytes": () => {
    let left = 3;
    return new Response(
      new ReadableStream({
        type: "bytes",
        pull(controller) {
          controller.enqueue(encode(`piece ${left} `));
          if (--left === 0) controller.close();
        },
      }),
    );
  },

  "streams/empty": () => new Response(new ReadableStream({ start: (controller) => controller.close() })),

  "streams/large": () => {
    let left = 800;
    const piece = new Uint8Array(65536).map((_, at) => at % 251);
    return new Response(
      new ReadableStream({
        pull(controller) {
          controller.enqueue(piece);
          if (--left === 0) controller.close();
        },
      }),
    );
  },

  "streams/large-at-once": () => new Response(new Uint8Array(50 * 1024 * 1024).fill(7)),

  "streams/fails-at-once": () =>
    new Response(
      new ReadableStream({
        start(controller) {
          controller.error(new Error("broken from the start"));
        },
      }),
    ),

  "streams/fails-at-first-pull": () =>
    new Response(
      new ReadableStream({
        pull() {
          throw new Error("broken at the first pull");
        },
      }),
    ),

  "streams/fails-later": (_incoming, { opened, note }) =>
    new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(encode("a part"));
          note("sent a part");
          await opened();
          controller.error(new Error("broken in the middle"));
        },
      }),
    ),

  "streams/wrong-pieces": (_incoming, { note }) =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue({ not: "bytes" }),
        cancel: (reason) => note(["cancelled", reason?.name ?? null]),
      }),
    ),

  "streams/text-pieces": () =>
    new Response(
      new ReadableStream({
        start(controller) {
          controller.enqueue("text ");
          controller.enqueue(encode("bytes "));
          controller.enqueue("é");
          controller.close();
        },
      }),
    ),

  "streams/generator": () =>
    new Response(
      (async function* () {
        for (const word of ["one ", "two ", "three"]) yield encode(word);
      })(),
    ),

  "streams/endless-generator": (_incoming, { note }) =>
    new Response(
      (async function* () {
        try {
          for (;;) yield new Uint8Array(1000);
        } finally {
          note("returned");
        }
      })(),
    ),

  "streams/cancelled": (_incoming, { note }) =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(1000)),
        cancel: (reason) => note(["cancelled", reason === undefined || reason instanceof Error]),
      }),
    ),

  "streams/silent-cancelled": (_incoming, { note }) =>
    new Response(
      new ReadableStream({
        start: (controller) => {
          controller.enqueue(encode("here it stops"));
          note("waiting");
        },
        cancel: () => note("cancelled"),
      }),
    ),

  "streams/slow-client": (_incoming, { note, opened }) => {
    let pulled = 0;
    void opened().then(() => note(["pulled", pulled]));
    return new Response(
      new ReadableStream({
        pull(controller) {
          pulled++;
          controller.enqueue(new Uint8Array(65536));
          if (pulled === 2000) controller.close();
        },
      }),
    );
  },

  "streams/events": (_incoming, { opened }) =>
    new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(encode("data: 1\n\n"));
          await opened();
          controller.enqueue(encode("data: 2\n\n"));
          controller.close();
        },
      }),
      { headers: { "Content-Type": "text/event-stream" } },
    ),
};
