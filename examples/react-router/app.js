import { createRequestHandler } from "react-router";
import * as build from "./build/server/index.js";

const handle = createRequestHandler(build, "production");

// The second argument is what loaders and actions get as `context`.
export default { fetch: (request, fastcgi) => handle(request, { fastcgi }) };
