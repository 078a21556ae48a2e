/** What is judged on every record of the whole run. The rules themselves are in wire.ts. */
import { absent, Broken, holds, type Level, untestable } from "./model.ts";
import type { Statement } from "./statement.ts";

function audited(id: string, section: string, level: Level, statement: string): Statement {
  return {
    id,
    section,
    level,
    statement,
    run({ audit }) {
      const violation = audit.violation(id);
      if (violation !== undefined) {
        if (level === "may") return absent(violation.says);
        throw new Broken(violation.says, violation.evidence);
      }
      const count = audit.occasions(id);
      return count === 0 ? untestable("there was no occasion in this run") : holds(`${count} times`);
    },
  };
}

export const auditStatements: readonly Statement[] = [
  audited("3.3-version-out", "§3.3", "must", "Every record it sends is of version 1"),
  audited("3.3-types-out", "§3.3", "must", "It sends records of an application only"),
  audited("3.3-null-id", "§3.3", "must", "Management records have the request id 0, all others another"),
  audited("3.3-active-ids", "§3.3", "must", "It sends records for active requests only"),
  audited("3.3-whole-records", "§3.3", "must", "It closes no connection inside a record"),
  audited("3.3-stdout-ends", "§3.3", "must", "STDOUT is ended by an empty record"),
  audited("3.3-stderr-ends", "§3.3", "must", "STDERR, if there is any, is ended by an empty record"),
  audited("3.3-stream-over", "§3.3", "must", "Nothing follows the end of a stream"),
  audited("3.3-reserved-out", "§3.3", "should", "Reserved bytes are zero"),
  audited(
    "3.3-alignment",
    "§3.3",
    "may",
    "Records begin at multiples of eight bytes, as is recommended for speed",
  ),
  audited("4.2-body", "§4.2", "must", "UNKNOWN_TYPE has eight bytes of content"),
  audited("5.5-once", "§5.5", "must", "END_REQUEST comes once for a request"),
  audited("5.5-body", "§5.5", "must", "END_REQUEST has eight bytes of content"),
  audited("5.5-protocol-status", "§5.5", "must", "protocolStatus is one of the four that exist"),
  audited(
    "6.1-stdout-always",
    "§6.1",
    "must",
    "There is a STDOUT record in every answer, were it an empty one",
  ),
];
