import { json } from "@sveltejs/kit";

export function GET({ cookies }) {
  const theme = cookies.get("theme");
  cookies.set("seen", "yes", { path: "/" });
  cookies.set("last", "news", { path: "/", httpOnly: false });
  return json({ theme });
}
