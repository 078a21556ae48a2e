// Not `clientAddress`: Astro takes that from X-Forwarded-For, which any client can send.
export const GET = ({ locals }) => Response.json({ address: locals.address });
