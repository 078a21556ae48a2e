import { fastcgi } from "postern";
import { handler } from "./dist/server/entry.mjs";

export default (req, res, next) => {
  const { remoteAddress, serverSoftware } = fastcgi(req).gateway;
  // Pages and routes find the fourth argument as `locals`.
  return handler(req, res, next, { address: remoteAddress, server: serverSoftware });
};
