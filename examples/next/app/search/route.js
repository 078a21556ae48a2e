export const GET = (request) => Response.json({ q: request.nextUrl.searchParams.get("q") });
