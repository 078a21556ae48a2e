import { fastcgi } from "postern";
import { handler } from "./build/mounted/handler.js";

export default (req, res, next) => {
  // What SvelteKit is told to believe (PROTOCOL_HEADER) comes from the web server and not from the client.
  req.headers["x-forwarded-proto"] = req.socket.encrypted ? "https" : "http";
  req.fastcgi = fastcgi(req); // routes find it as platform.req.fastcgi
  return handler(req, res, next);
};
