export default defineEventHandler((event) => ({ address: getRequestIP(event) }));
