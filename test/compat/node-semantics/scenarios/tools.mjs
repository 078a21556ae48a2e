/** What scenarios share. */

/** What a call does: its value, or the code (or message) of what it throws. */
export function attempt(call) {
  try {
    const value = call();
    return value === undefined ? "undefined" : value;
  } catch (error) {
    return `throws ${error.code ?? error.message}`;
  }
}

/** Notes events of an emitter as `NAME EVENT`, errors with their code. */
export function watch(note, name, emitter, events) {
  for (const event of events) {
    emitter.on(event, (value) => {
      note(value instanceof Error ? `${name} ${event} ${value.code ?? value.message}` : `${name} ${event}`);
    });
  }
}

export const RESPONSE_EVENTS = ["prefinish", "finish", "close", "error", "pipe", "unpipe", "drain"];
export const REQUEST_EVENTS = ["end", "aborted", "error", "close"];

/** The next turn of the event loop. */
export function turn() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Notes "done" and answers. */
export function done(res, note, text = "ok\n") {
  note("done");
  res.end(text);
}
