/** `postern`: any JavaScript application on a FastCGI socket. */
export type { Application, RoleHandlers } from "./adapters/app.ts";
export type { FetchApplication, FetchFunction } from "./adapters/fetch.ts";
export type { FetchContext, FetchRuntime, ServerRequest } from "./adapters/fetch-context.ts";
export type { FrameworkApplication } from "./adapters/frameworks.ts";
export type { NodeMiddleware } from "./adapters/middleware.ts";
export type { NodeListener } from "./adapters/node.ts";
export type { FastCGIRequest, FastCGIResponse, RawHandler, RawHeaders } from "./adapters/raw.ts";
export {
  type CgiParams,
  type ClientCertificate,
  type FastCGISide,
  fastcgi,
  type GatewayFacts,
  type RoleName,
  type TlsConnection,
} from "./adapters/side.ts";
export * from "./base/errors.ts";
export { type Logger, lineLogger, silentLogger, stderrLogger } from "./base/log.ts";
export { type ConfigurationInput, defineConfig, type PoolInput } from "./config/define.ts";
export { createServer, type ServeOptions, serve } from "./serve.ts";
export type { Limits, ServerOptions, Timeouts } from "./server/options.ts";
export type { Server, ServerStats } from "./server/server.ts";
