/** An error that kept an application from starting, as visitors and the web server's log are told of it. */
import { resolve } from "node:path";
import { bootReason, syntaxPlace } from "../manager/boot-reason.ts";
import type { BootFailure } from "../server/boot-failure.ts";
import { inFlagNames } from "./flag-names.ts";

/** @param file the application, as the command line names it; undefined when the configuration does */
export function bootFailureOf(error: unknown, file: string | undefined): BootFailure {
  const { message, cause, stack } = error instanceof Error ? error : new Error(String(error));
  const named = /^application (\/\S+?):? /.exec(message)?.[1];
  const path = named ?? resolve(file ?? "application");
  const text = inFlagNames(message || (stack ?? "it could not be started"));
  const detail = cause instanceof SyntaxError ? `${text}\n${syntaxPlace(path)}` : text;
  return {
    status: 500,
    reason: bootReason(detail, path),
    detail,
    isDevelopment: process.env["NODE_ENV"] === "development",
  };
}
