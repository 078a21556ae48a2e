import { json } from "@sveltejs/kit";

export const POST = async ({ request }) => json({ got: Object.fromEntries(await request.formData()) });
