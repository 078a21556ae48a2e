/** `postern config <server>`: a site → the configuration of a web server, and an existing one → what is wrong with it. */
import { assertNever } from "../base/errors.ts";
import { apacheSite } from "./apache.ts";
import { checkApache } from "./apache-check.ts";
import { caddySite } from "./caddy.ts";
import { checkCaddy } from "./caddy-check.ts";
import { cherokeeSite } from "./cherokee.ts";
import { checkCherokee } from "./cherokee-check.ts";
import { h2oSite } from "./h2o.ts";
import { checkH2o } from "./h2o-check.ts";
import { haproxySite } from "./haproxy.ts";
import { checkHaproxy } from "./haproxy-check.ts";
import { lighttpdSite } from "./lighttpd.ts";
import { checkLighttpd } from "./lighttpd-check.ts";
import type { Expected, Finding, GeneratedSite, Site, WebServerName } from "./model.ts";
import { nginxSite } from "./nginx.ts";
import { checkNginx } from "./nginx-check.ts";
import { checkSite } from "./parts.ts";

export type * from "./model.ts";
export { APACHE_MODULES, WEB_SERVERS } from "./model.ts";

/**
 * The configuration of a web server for a site. The same site gives the same text.
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING` for a value this server has no way to write, or something it cannot do
 */
export function generateSite(server: WebServerName, site: Site): GeneratedSite {
  checkSite(site);
  // Some servers take the first URL that fits, others the longest.
  return written(server, { ...site, statics: [...site.statics].sort((a, b) => b.url.length - a.url.length) });
}

function written(server: WebServerName, site: Site): GeneratedSite {
  switch (server) {
    case "nginx":
      return nginxSite(site);
    case "apache":
      return apacheSite(site);
    case "lighttpd":
      return lighttpdSite(site);
    case "caddy":
      return caddySite(site);
    case "haproxy":
      return haproxySite(site);
    case "h2o":
      return h2oSite(site);
    case "cherokee":
      return cherokeeSite(site);
    default:
      return assertNever(server);
  }
}

/**
 * What an existing configuration gets wrong, by line.
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING` when the text is not a configuration of this server: where, and why
 */
export function checkConfiguration(server: WebServerName, text: string, expected: Expected): Finding[] {
  return findings(server, text, expected).sort((a, b) => a.line - b.line);
}

function findings(server: WebServerName, text: string, expected: Expected): Finding[] {
  switch (server) {
    case "nginx":
      return checkNginx(text, expected);
    case "apache":
      return checkApache(text, expected);
    case "lighttpd":
      return checkLighttpd(text, expected);
    case "caddy":
      return checkCaddy(text, expected);
    case "haproxy":
      return checkHaproxy(text, expected);
    case "h2o":
      return checkH2o(text, expected);
    case "cherokee":
      return checkCherokee(text, expected);
    default:
      return assertNever(server);
  }
}
