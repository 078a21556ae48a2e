export default defineEventHandler(async (event) => {
  const events = createEventStream(event);
  events.onClosed(() => console.log("a listener left"));
  events.push("hello");
  return events.send();
});
