/** Node's semantics over node:http, behind the gateway and behind nginx. */
import { nodeSemantics } from "./node-semantics/suite.ts";
import { gateway, nginx, nodeHttp } from "./node-semantics/targets.ts";

nodeSemantics(nodeHttp);
nodeSemantics(gateway);
nodeSemantics(nginx);
