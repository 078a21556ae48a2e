export const GET = ({ locals }) => Response.json({ server: locals.server });
