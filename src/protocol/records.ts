/**
 * The numbers of FastCGI 1.0: record types, roles, statuses, sizes and the fixed bodies.
 * Each name is typed once, here. No state, no I/O.
 *
 * A record is an 8-byte header, up to 65535 bytes of content and up to 255 of padding (§3.3):
 *
 *     version | type | requestId (2) | contentLength (2) | paddingLength | reserved
 *
 * All numbers are big-endian.
 */

/** The only version of the protocol. FastCGI 1.0 §3.3. */
export const VERSION = 1;
/** Bytes of a record header. FastCGI 1.0 §3.3. */
export const HEADER_BYTES = 8;
/** Most content bytes one record can carry. FastCGI 1.0 §3.3. */
export const MAX_CONTENT_BYTES = 65535;
/** Most content we put in one record: the largest multiple of 8, so padding is never needed. */
export const FULL_CONTENT_BYTES = 65528;
/** Request id of management records. FastCGI 1.0 §3.3. */
export const MANAGEMENT_ID = 0;
/** Largest request id. FastCGI 1.0 §3.3. */
export const MAX_REQUEST_ID = 65535;
/** Bit of BEGIN_REQUEST's flags: the application keeps the connection open afterwards. FastCGI 1.0 §5.1. */
export const KEEP_CONN = 1;

/** Record types. FastCGI 1.0 §8. */
export const RecordType = {
  BeginRequest: 1,
  AbortRequest: 2,
  EndRequest: 3,
  Params: 4,
  Stdin: 5,
  Stdout: 6,
  Stderr: 7,
  Data: 8,
  GetValues: 9,
  GetValuesResult: 10,
  UnknownType: 11,
} as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** Roles an application can play. FastCGI 1.0 §6. */
export const Role = { Responder: 1, Authorizer: 2, Filter: 3 } as const;
export type Role = (typeof Role)[keyof typeof Role];

/** `protocolStatus` of END_REQUEST. FastCGI 1.0 §5.5. */
export const ProtocolStatus = {
  RequestComplete: 0,
  CannotMultiplex: 1,
  Overloaded: 2,
  UnknownRole: 3,
} as const;
export type ProtocolStatus = (typeof ProtocolStatus)[keyof typeof ProtocolStatus];

/**
 * Not a record: version 0, which a web server can neither parse nor skip. Written where a body breaks off, because
 * many web servers take the end of the connection alone for the end of the body.
 */
export const BROKEN_RECORD: Uint8Array = new Uint8Array(8);

/** Names a web server may ask for with GET_VALUES. FastCGI 1.0 §4.1. */
export const ValueName = {
  MaxConnections: "FCGI_MAX_CONNS",
  MaxRequests: "FCGI_MAX_REQS",
  Multiplex: "FCGI_MPXS_CONNS",
} as const;

const RECORD_NAMES: readonly string[] = [
  "",
  "BEGIN_REQUEST",
  "ABORT_REQUEST",
  "END_REQUEST",
  "PARAMS",
  "STDIN",
  "STDOUT",
  "STDERR",
  "DATA",
  "GET_VALUES",
  "GET_VALUES_RESULT",
  "UNKNOWN_TYPE",
];

/** A record type in the specification's words, or `type 42`. */
export function recordTypeName(type: number): string {
  return RECORD_NAMES[type] || `type ${type}`;
}

const ROLE_NAMES: readonly string[] = ["", "responder", "authorizer", "filter"];

/** `responder`, `authorizer`, `filter`, or `role 42`. */
export function roleName(role: number): string {
  return ROLE_NAMES[role] || `role ${role}`;
}

/** Whether `role` is one FastCGI 1.0 §6 defines. */
export function isRole(role: number): role is Role {
  return role >= Role.Responder && role <= Role.Filter;
}
