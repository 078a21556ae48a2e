export const GET = ({ url }) => Response.json({ q: url.searchParams.get("q") });
