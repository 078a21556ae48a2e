import { redirect } from "next/navigation";

// In a route, unlike in a page, the mount is not added.
export const GET = () => redirect(`${process.env.MOUNT}/news/1`);

export const dynamic = "force-dynamic";
