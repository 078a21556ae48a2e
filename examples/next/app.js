import { fileURLToPath } from "node:url";
import next from "next";
import { fastcgi } from "postern";

const app = next({ dir: fileURLToPath(new URL(".", import.meta.url)) });
await app.prepare();
const handle = app.getRequestHandler();

export default (req, res) => {
  // Pages and routes see nothing but headers, so what else they need goes there. A client can send such headers
  // too: each is set for every request.
  const { remoteAddress, serverSoftware } = fastcgi(req).gateway;
  req.headers["x-client-address"] = remoteAddress;
  req.headers["x-web-server"] = serverSoftware;
  return handle(req, res);
};
