export default defineEventHandler((event) => {
  setCookie(event, "seen", "yes", { path: "/", httpOnly: true });
  setCookie(event, "last", "news", { path: "/" });
  return { theme: getCookie(event, "theme") };
});
