export const GET = (request) => Response.json({ address: request.headers.get("x-client-address") });

export const dynamic = "force-dynamic";
