/** `postern/gateway`: HTTP in front of any FastCGI application. */
export { createGateway, Gateway } from "./gateway.ts";
export type { AccessEntry, GatewayOptions, PhpOptions } from "./options.ts";
export { StaticFiles, type StaticFilesOptions } from "./static-files.ts";
