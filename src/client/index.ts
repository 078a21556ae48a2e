/** `postern/client`: talk to any FastCGI application. */
export { FastCGIClient } from "./client.ts";
export type { ClientOptions, RequestInput, RequestOptions } from "./options.ts";
export { ClientPool, type PoolOptions, type PoolStats } from "./pool.ts";
export { ClientResponse, type RequestEnd } from "./response.ts";
export type { ApplicationValues } from "./values.ts";
