export const POST = async (request) => Response.json({ got: Object.fromEntries(await request.formData()) });
