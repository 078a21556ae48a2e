// What app.js passes on. React Router itself does not know who asks.
export const loader = ({ context }) => Response.json({ address: context.fastcgi.gateway.remoteAddress });
