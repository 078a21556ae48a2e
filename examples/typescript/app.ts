// TypeScript runs as it is: postern serve app.ts. Node 22.18 and newer strip the types; Node 20 gets help from jiti.
// What the web server vouches for comes through fastcgi(req), with types, apart from the headers the client sent.
import type { IncomingMessage, ServerResponse } from "node:http";
import { fastcgi, type GatewayFacts } from "postern";

interface Greeting {
  readonly text: string;
  readonly from: Pick<GatewayFacts, "remoteAddress" | "https">;
}

function greet(req: IncomingMessage): Greeting {
  const { remoteAddress, https } = fastcgi(req).gateway;
  return { text: `Hello from ${req.url ?? "/"}`, from: { remoteAddress, https } };
}

export default function app(req: IncomingMessage, res: ServerResponse): void {
  res.setHeader("Content-Type", "application/json");
  res.end(`${JSON.stringify(greet(req))}\n`);
}
