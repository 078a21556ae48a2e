// hello as a fetch application: for `postern serve`, or served by itself at argv[2], with an access log at argv[3].
import { serve } from "../../dist/index.js";

const application = {
  fetch: () => new Response("hello world\n", { headers: { "content-type": "text/plain" } }),
};
export default application;

const [, , bind, accessLog] = process.argv;
if (bind?.startsWith("unix:"))
  await serve(application, { bind, ...(accessLog !== undefined && { accessLog }) });
