/** A reporter of node:test that prints one JSON object per finished test or suite, marked so that a test's own output is apart. */
export default async function* report(events) {
  for await (const { type, data } of events) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    const { name, nesting, skip, todo, details } = data;
    const error = details?.error;
    const message = type === "test:fail" ? String(error?.cause?.stack ?? error?.message ?? error) : undefined;
    const isLeftOut = skip !== undefined || todo !== undefined;
    yield `\n@postern ${JSON.stringify({ name, nesting, isLeftOut, message })}\n`;
  }
}
