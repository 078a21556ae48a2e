export function loader() {
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode("data: hello\n\n"));
    },
    cancel() {
      console.log("a listener left");
    },
  });
  return new Response(stream, { headers: { "Content-Type": "text/event-stream" } });
}
