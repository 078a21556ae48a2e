/** `postern/protocol`: FastCGI 1.0 as pure machines, for programs that bring their own I/O. */
export * from "./app-connection.ts";
export type { AppLimits } from "./app-limits.ts";
export { AppRequest, type RequestSink } from "./app-request.ts";
export * from "./params.ts";
export * from "./record-reader.ts";
export * from "./record-writer.ts";
export * from "./records.ts";
export * from "./sniff.ts";
export * from "./web-connection.ts";
