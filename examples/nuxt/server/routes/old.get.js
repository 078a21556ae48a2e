export default defineEventHandler((event) => {
  const { baseURL } = useRuntimeConfig(event).app; // "/" or "/x/"
  return sendRedirect(event, `${baseURL}news/1`);
});
