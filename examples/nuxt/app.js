import { fastcgi } from "postern";
import { listener } from "./.output/listener/server/index.mjs";

export default (req, res) => {
  req.fastcgi = fastcgi(req); // routes find it as event.node.req.fastcgi
  return listener(req, res);
};
