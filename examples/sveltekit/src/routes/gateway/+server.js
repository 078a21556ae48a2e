import { json } from "@sveltejs/kit";

export const GET = ({ platform }) => json({ server: platform.req.fastcgi.gateway.serverSoftware });
