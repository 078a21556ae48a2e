export const GET = (request) => Response.json({ server: request.headers.get("x-web-server") });

export const dynamic = "force-dynamic";
