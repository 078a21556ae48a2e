/** Node's semantics with the application running under Bun and under Deno, behind the gateway. */
import { nodeSemantics } from "./node-semantics/suite.ts";
import { behindGateway } from "./node-semantics/targets.ts";
import { bun, deno } from "./runtimes/runtimes.ts";

for (const { name, command } of [bun, deno]) nodeSemantics(behindGateway(name, command));
