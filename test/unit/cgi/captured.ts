/** The recorded requests of all web servers, each beside what the HTTP client had asked for. */
import { expect } from "vitest";
import { Params } from "../../../src/protocol/params.ts";
import { type CapturedRequest, listCaptures, type Sidecar } from "../../support/captures.ts";

/** One recorded responder request with everything known about it. */
export interface CapturedCase {
  readonly name: string;
  /** Folder: the server, with its version when it is not the first one measured. */
  readonly server: string;
  readonly mode: string;
  readonly scenario: string;
  readonly params: Params;
  /** Mount the web server was configured with: "" or "/x". */
  readonly mount: string;
  /** What the client sent; undefined for scenarios of several steps, whose text was not recorded. */
  readonly sent: SentRequest | undefined;
  /** Target the client sent, without the origin of an absolute-form one. */
  readonly asked: string;
}

export interface SentRequest {
  readonly method: string;
  readonly version: string;
  /** Names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** What the scenarios of several steps ask for, inside the mount. */
const STEPS: Readonly<Record<string, RegExp>> = {
  "abort-before-response": /^\/abort\?mode=hang$/,
  "abort-before-response-rst": /^\/abort\?mode=hang$/,
  "abort-mid-response": /^\/abort\?mode=drip$/,
  "abort-mid-response-big": /^\/abort\?mode=dripbig$/,
  "abort-mid-upload": /^\/abort$/,
  "abort-one-of-3-multiplexed": /^\/mabort\?mode=(?:sleep1|drip)&n=[012]$/,
  "concurrent-3": /^\/conc\?mode=sleep1&n=[012]$/,
  "concurrent-4-multiplexed": /^\/(?:warm|conc\?mode=sleep1&n=[0123])$/,
  "expect-100": /^\/expect$/,
  "keepalive-3-requests": /^\/ka\?n=[012]$/,
  "post-chunked-slow": /^\/post\?mode=ok$/,
  "post-cl-slow": /^\/post$/,
};

/** Configured mounts that the sidecar does not tell: [name, mount]. */
const MOUNTS: readonly (readonly [RegExp, string])[] = [
  [/^nginx\/root-tcp-keepalive--basic-auth/, ""], // "/private" is only where the password is asked for
  [/^cherokee\/root-tcp--basic-auth/, "/private"], // a directory rule, and so a mount of its own
  [/^apache-mod_fcgid\/authorizer--access_app_/, "/access/app"], // the one ScriptAlias of that configuration
];

/** All of them; HAProxy's requests that were aborted before their parameters are left out: nothing was asked. */
export function readCapturedCases(): CapturedCase[] {
  const cases: CapturedCase[] = [];
  for (const { name, folder, scenario, sidecar } of listCaptures()) {
    const record = sidecar();
    for (const { requests } of record.fcgi_connections) {
      for (const request of requests) {
        if (request.role !== "RESPONDER" || request.params.length === 0) continue;
        cases.push(readCase(name, folder, scenario, record, request));
      }
    }
  }
  return cases;
}

function readCase(
  name: string,
  server: string,
  scenario: string,
  sidecar: Sidecar,
  request: CapturedRequest,
): CapturedCase {
  const params = Params.from(request.params);
  const mount = MOUNTS.find(([pattern]) => pattern.test(name))?.[1] ?? sidecar.mount.replace(/^\/$/, "");
  const known = { name, server, mode: sidecar.mode, scenario, params, mount };
  if (sidecar.http_request) {
    const { sent, target } = parseSent(sidecar.http_request);
    return { ...known, sent, asked: target.replace(/^http:\/\/[^/]+/, "") };
  }
  const asked = params.get("REQUEST_URI")!;
  expect(asked.startsWith(mount), name).toBe(true);
  expect(asked.slice(mount.length), name).toMatch(STEPS[scenario]!);
  return { ...known, sent: undefined, asked };
}

function parseSent(text: string): { sent: SentRequest; target: string } {
  const end = text.indexOf("\r\n\r\n");
  // The recorder kept the beginning only of the one request with a header of 6000 bytes.
  const head =
    end < 0
      ? `${text.replace(/v+\.\.\.\[.*$/s, "")}${"v".repeat(6000)}\r\nConnection: close`
      : text.slice(0, end);
  const lines = head.split("\r\n");
  const [, method = "", target = "", version = ""] = /^(\S+) (.*) HTTP\/(\d\.\d)$/.exec(lines[0]!)!;
  const headers = lines.slice(1).map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { sent: { method, version, headers }, target };
}
