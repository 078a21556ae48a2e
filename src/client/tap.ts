/** Who looks at the bytes of a connection as they come and go: a trace. For tools; it changes nothing. */
export interface WireTap {
  /** The connection is made. */
  onConnect(): void;
  /** Bytes handed to the socket. Only lent. */
  onSent(bytes: Uint8Array): void;
  /** Bytes from the socket, before anybody has judged them. Only lent. */
  onReceived(chunk: Buffer): void;
}
