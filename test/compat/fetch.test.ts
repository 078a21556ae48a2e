/** Fetch semantics by srvx over node:http, and by Postern behind the gateway and behind nginx. */
import { fetchSemantics } from "./fetch/suite.ts";
import { behindGateway, nginx, srvx } from "./fetch/targets.ts";

fetchSemantics(srvx);
fetchSemantics(behindGateway("gateway"));
fetchSemantics(nginx);
