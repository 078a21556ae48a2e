/** The ends of requests: the client that leaves, work after the answer, what is kept in memory. */

const kept = new Set();
/** What nobody holds may be collected, and then does not hear of an abort: undici knows its copies weakly. */
const held = new Set();

async function collectGarbage() {
  for (let round = 0; round < 10; round++) {
    globalThis.gc?.();
    globalThis.Bun?.gc(true);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

export const lifetime = {
  "lifetime/abort": (incoming, { note }) =>
    new Promise((resolve) => {
      incoming.signal.addEventListener("abort", () => {
        const { reason } = incoming.signal;
        note(["aborted", incoming.signal.aborted, reason instanceof Error, reason.name]);
        resolve(new Response("nobody reads this"));
      });
      note("waiting");
    }),

  "lifetime/abort-in-the-middle": (incoming, { note }) => {
    incoming.signal.onabort = () => note("aborted");
    return new Response(
      new ReadableStream({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode("a part"));
          note("sent");
        },
      }),
    );
  },

  "lifetime/abort-of-clone": (incoming, { note }) =>
    new Promise(() => {
      const copies = [incoming.clone(), new Request(incoming), new Request("http://x.example/", incoming)];
      held.add(copies);
      let left = copies.length;
      for (const { signal } of copies) {
        signal.addEventListener("abort", () => {
          if (--left > 0) return;
          held.delete(copies);
          note("all aborted");
        });
      }
      note("waiting");
    }),

  "lifetime/abort-of-fetch": async (incoming, { note, url }) => {
    if (incoming.headers.has("x-inner")) {
      incoming.signal.addEventListener("abort", () => note("inner aborted"));
      note("inner waiting");
      return new Promise(() => {});
    }
    try {
      return await fetch(url, { headers: { "X-Inner": "1" }, signal: incoming.signal });
    } catch (error) {
      note(["outer failed", error.name]);
      throw error;
    }
  },

  "lifetime/not-aborted": (incoming, { note, opened }) => {
    incoming.signal.addEventListener("abort", () => note("aborted"));
    void opened().then(() => note(["aborted?", incoming.signal.aborted]));
    return new Response("whole");
  },

  "lifetime/wait-until": (incoming, { note, opened }) => {
    const { waitUntil } = incoming;
    waitUntil(
      opened().then(() => {
        note("done");
      }),
    );
    return new Response("at once");
  },

  "lifetime/wait-until-fails": (incoming) => {
    incoming.waitUntil(Promise.reject(new Error("failed behind the answer")));
    return new Response("all the same");
  },

  "lifetime/kept": (incoming, { note }) => {
    kept.add(new WeakRef(incoming));
    note("waiting");
    return new Promise((resolve) => {
      incoming.signal.addEventListener("abort", () => {
        note("aborted");
        resolve(new Response(null));
      });
    });
  },

  "lifetime/still-kept": async () => {
    await collectGarbage();
    const alive = [...kept].filter((reference) => reference.deref() !== undefined).length;
    return Response.json([kept.size, alive]);
  },
};
