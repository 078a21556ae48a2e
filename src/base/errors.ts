/**
 * Every error Postern throws, and the one list of their codes.
 *
 * An error says who is at fault by its class and how much must die by its `scope`:
 *
 * | class               | at fault                              |
 * | ------------------- | ------------------------------------- |
 * | UsageError          | the code that calls Postern           |
 * | SettingError        | the operator: flags, paths, addresses |
 * | RemoteProtocolError | the peer on the FastCGI connection    |
 * | AppError            | the application being served          |
 *
 * `docs/errors.md` has an entry per code; a test compares it with this union.
 */
export type ErrorCode =
  | "ERR_POSTERN_RECORD_VERSION"
  | "ERR_POSTERN_RECORD_BODY"
  | "ERR_POSTERN_REQUEST_ID"
  | "ERR_POSTERN_REQUEST_ID_REUSED"
  | "ERR_POSTERN_PARAMS_MALFORMED"
  | "ERR_POSTERN_PARAMS_TOO_LARGE"
  | "ERR_POSTERN_PARAMS_TOO_MANY"
  | "ERR_POSTERN_HEADER_INVALID"
  | "ERR_POSTERN_TOO_MANY_REQUESTS"
  | "ERR_POSTERN_TOO_MANY_CONNECTIONS"
  | "ERR_POSTERN_BODY_UNREAD"
  | "ERR_POSTERN_BODY_SHORT"
  | "ERR_POSTERN_REQUEST_TIMEOUT"
  | "ERR_POSTERN_QUEUE_TIMEOUT"
  | "ERR_POSTERN_RECORD_TIMEOUT"
  | "ERR_POSTERN_ABORTED"
  | "ERR_POSTERN_CLIENT_NOT_ALLOWED"
  | "ERR_POSTERN_NOT_FASTCGI"
  | "ERR_POSTERN_ADDRESS"
  | "ERR_POSTERN_ADDRESS_PUBLIC"
  | "ERR_POSTERN_SOCKET_IN_USE"
  | "ERR_POSTERN_SOCKET_NOT_A_SOCKET"
  | "ERR_POSTERN_SOCKET_OWNER"
  | "ERR_POSTERN_NO_LISTENER"
  | "ERR_POSTERN_BAD_SETTING"
  | "ERR_POSTERN_CONFIG_LOAD"
  | "ERR_POSTERN_BAD_APP"
  | "ERR_POSTERN_APP_LOAD"
  | "ERR_POSTERN_RESPONSE_HEAD"
  | "ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE"
  | "ERR_POSTERN_RESPONSE_STATE"
  | "ERR_POSTERN_NOT_SERVED_BY_POSTERN"
  | "ERR_POSTERN_CONNECT"
  | "ERR_POSTERN_CLIENT_CLOSED"
  | "ERR_POSTERN_CLIENT_TIMEOUT"
  | "ERR_POSTERN_CLIENT_LIMIT"
  | "ERR_POSTERN_RESPONSE_MALFORMED"
  | "ERR_POSTERN_RESPONSE_CUT"
  | "ERR_POSTERN_REQUEST_REFUSED";

/** Base of everything Postern throws. Match on `code`; messages may change in any release. */
export class PosternError extends Error {
  override readonly name: string = "PosternError";
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The calling code asked for something impossible. */
export class UsageError extends PosternError {
  override readonly name: string = "UsageError";
}

/** The operator's setting, path or address cannot be used; the message names it, its value and the remedy. */
export class SettingError extends PosternError {
  override readonly name: string = "SettingError";
}

/** How much of the conversation a protocol error ends. */
export type ErrorScope = "request" | "connection";

/** The peer broke the protocol, a limit or a deadline; `scope` says how much must die. */
export class RemoteProtocolError extends PosternError {
  override readonly name: string = "RemoteProtocolError";
  readonly scope: ErrorScope;
  constructor(code: ErrorCode, message: string, scope: ErrorScope, options?: ErrorOptions) {
    super(code, message, options);
    this.scope = scope;
  }
}

/** The application threw, or used its response wrongly. */
export class AppError extends PosternError {
  override readonly name: string = "AppError";
}

/** Ends a `switch` over a union: the compiler rejects a missing case. */
export function assertNever(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}
