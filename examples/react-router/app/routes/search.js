export const loader = ({ request }) => Response.json({ q: new URL(request.url).searchParams.get("q") });
