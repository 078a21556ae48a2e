/**
 * Whether a TLS server listens at an address. Many hang up on a FastCGI record without a word, so it must be tried; not
 * done but when a connection was closed without an answer.
 */
import { connect } from "node:tls";
import { parseAddress } from "../base/address.ts";

/** Enough for a handshake nearby. */
const DEADLINE_MS = 1000;

/** Never throws. @param address as people write it */
export function speaksTls(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const where = parseAddress(address);
    if (where.kind !== "unix" && where.kind !== "tcp") return resolve(false);
    const to =
      where.kind === "unix" ? { path: where.path } : { host: where.host || "localhost", port: where.port };
    // Nothing is sent over it and nothing believed: whose certificate it is does not matter.
    const socket = connect({ ...to, rejectUnauthorized: false });
    const done = (isTls: boolean): void => {
      clearTimeout(timer);
      socket.on("error", () => {});
      socket.destroy();
      resolve(isTls);
    };
    const timer = setTimeout(() => done(false), DEADLINE_MS);
    socket.once("secureConnect", () => done(true));
    // An alert is an answer of TLS too: it wants another version, or our certificate.
    socket.once("error", (error) => done(/\balert\b/.test(error.message)));
    socket.once("close", () => done(false));
  });
}
