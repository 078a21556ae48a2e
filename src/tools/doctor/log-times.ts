/** When a line of a web server's log was written. Pure, but for the zone: logs are in local time. */
import type { WebServerName } from "../../sites/model.ts";

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/** ms since 1970, whole seconds where the log has no more; undefined for a line that does not begin with a time. */
export function timeOf(server: WebServerName, line: string): number | undefined {
  return journalTime(line) ?? syslogTime(line) ?? ownTime(server, line);
}

function ownTime(server: WebServerName, line: string): number | undefined {
  switch (server) {
    case "nginx":
      // 2026/11/22 20:03:25 [crit]
      return local(/^(\d{4})\/(\d\d)\/(\d\d) (\d\d):(\d\d):(\d\d)/.exec(line));
    case "lighttpd":
      // 2026-11-22 20:03:25: (gw_backend.c.323)
      return local(/^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)/.exec(line));
    case "apache": {
      // [Sun Nov 22 20:03:59.831559 2026]
      const [, month = "", day, hour, minute, second, year] =
        /^\[\w{3} (\w{3}) +(\d+) (\d\d):(\d\d):(\d\d(?:\.\d+)?) (\d{4})\]/.exec(line) ?? [];
      return local(year === undefined ? null : ["", year, monthOf(month), day, hour, minute, second]);
    }
    case "caddy": {
      const seconds = /"ts":(\d+(?:\.\d+)?)/.exec(line)?.[1];
      if (seconds !== undefined) return Number(seconds) * 1000;
      return local(/^(\d{4})\/(\d\d)\/(\d\d) (\d\d):(\d\d):(\d\d(?:\.\d+)?)/.exec(line));
    }
    case "haproxy":
    case "cherokee": {
      // [22/Nov/2026:20:06:38.480]; Cherokee: [22/11/2026 20:06:38.480]
      const [, day, month = "", year, hour, minute, second] =
        /\[(\d\d)\/(\w{2,3})\/(\d{4})[: ](\d\d):(\d\d):(\d\d(?:\.\d+)?)/.exec(line) ?? [];
      return local(year === undefined ? null : ["", year, monthOf(month), day, hour, minute, second]);
    }
    case "h2o":
      return undefined; // its error log has no times
  }
}

/** journalctl -o short-unix: 1795384812.318457 host nginx[12]: */
function journalTime(line: string): number | undefined {
  const seconds = /^(\d{10}\.\d{6}) /.exec(line)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

/** 2026-11-22T20:03:25.123456+01:00 host haproxy[12]: */
function syslogTime(line: string): number | undefined {
  const stamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)/.exec(line)?.[0];
  const time = stamp === undefined ? Number.NaN : Date.parse(stamp);
  return Number.isNaN(time) ? undefined : time;
}

function monthOf(name: string): string {
  const at = MONTHS.indexOf(name.toLowerCase());
  return at < 0 ? name : String(at + 1);
}

function local(parts: readonly (string | undefined)[] | null): number | undefined {
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second] = parts.map(Number);
  const time = new Date(year ?? 0, (month ?? 1) - 1, day, hour, minute, 0).getTime() + (second ?? 0) * 1000;
  return Number.isFinite(time) ? time : undefined;
}
