async function* lines() {
  const encoder = new TextEncoder();
  for (let number = 1; number <= 20_000; number++) yield encoder.encode(`${number}\n`);
}

export default defineEventHandler((event) => {
  setHeader(event, "Content-Type", "text/plain");
  return ReadableStream.from(lines());
});
