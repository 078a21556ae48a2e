export const loader = ({ context }) => Response.json({ server: context.fastcgi.gateway.serverSoftware });
