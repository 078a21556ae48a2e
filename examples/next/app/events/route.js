export function GET(request) {
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode("data: hello\n\n"));
      request.signal.addEventListener("abort", () => console.log("a listener left"));
    },
  });
  return new Response(stream, { headers: { "Content-Type": "text/event-stream" } });
}

export const dynamic = "force-dynamic";
