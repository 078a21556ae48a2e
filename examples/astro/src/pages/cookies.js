export function GET({ cookies }) {
  const theme = cookies.get("theme")?.value;
  cookies.set("seen", "yes", { path: "/", httpOnly: true });
  cookies.set("last", "news", { path: "/" });
  return Response.json({ theme });
}
