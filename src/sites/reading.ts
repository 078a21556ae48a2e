/**
 * An existing configuration → where it sends requests by FastCGI, where it listens, who it becomes and where it logs.
 * What is wrong with it is not judged here: that is `checkConfiguration`.
 */
import { assertNever } from "../base/errors.ts";
import { readApache } from "./apache-reading.ts";
import { readCaddy } from "./caddy-reading.ts";
import { readCherokee } from "./cherokee-reading.ts";
import { readH2o } from "./h2o-reading.ts";
import { readHaproxy } from "./haproxy-reading.ts";
import { readLighttpd } from "./lighttpd-reading.ts";
import type { WebServerName } from "./model.ts";
import { readNginx } from "./nginx-reading.ts";
import type { Reading } from "./reading-model.ts";

export type * from "./reading-model.ts";

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` when the text is not a configuration of this server */
export function readConfiguration(server: WebServerName, text: string): Reading {
  switch (server) {
    case "nginx":
      return readNginx(text);
    case "apache":
      return readApache(text);
    case "lighttpd":
      return readLighttpd(text);
    case "caddy":
      return readCaddy(text);
    case "haproxy":
      return readHaproxy(text);
    case "h2o":
      return readH2o(text);
    case "cherokee":
      return readCherokee(text);
    default:
      return assertNever(server);
  }
}
