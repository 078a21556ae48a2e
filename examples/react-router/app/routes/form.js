export const action = async ({ request }) =>
  Response.json({ got: Object.fromEntries(await request.formData()) });
