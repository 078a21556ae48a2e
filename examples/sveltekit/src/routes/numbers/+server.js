async function* lines() {
  const encoder = new TextEncoder();
  for (let number = 1; number <= 20_000; number++) yield encoder.encode(`${number}\n`);
}

export const GET = () =>
  new Response(ReadableStream.from(lines()), { headers: { "Content-Type": "text/plain" } });
