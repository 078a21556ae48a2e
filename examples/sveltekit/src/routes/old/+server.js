import { redirect } from "@sveltejs/kit";
import { resolve } from "$app/paths";

export const GET = () => redirect(302, resolve("/news/[id]", { id: "1" }));
