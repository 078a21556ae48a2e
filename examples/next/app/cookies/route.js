import { cookies } from "next/headers";

export async function GET() {
  const jar = await cookies();
  const theme = jar.get("theme")?.value;
  jar.set("seen", "yes", { path: "/", httpOnly: true });
  jar.set("last", "news", { path: "/" });
  return Response.json({ theme });
}
