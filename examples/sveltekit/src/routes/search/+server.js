import { json } from "@sveltejs/kit";

export const GET = ({ url }) => json({ q: url.searchParams.get("q") });
