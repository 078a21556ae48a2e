export default defineEventHandler((event) => ({ server: event.node.req.fastcgi.gateway.serverSoftware }));
