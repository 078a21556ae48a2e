/** Fetch semantics with the application running under Bun and under Deno, behind the gateway. */
import { fetchSemantics } from "./fetch/suite.ts";
import { behindGateway } from "./fetch/targets.ts";
import { bun, deno } from "./runtimes/runtimes.ts";

for (const { name, command } of [bun, deno]) fetchSemantics(behindGateway(name, command));
