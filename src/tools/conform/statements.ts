/** All statements, in the order in which they are tried and shown. */
import type { Statement } from "./statement.ts";
import { auditStatements } from "./statements-audit.ts";
import { beyondStatements } from "./statements-beyond.ts";
import { connectionStatements } from "./statements-connection.ts";
import { managementStatements } from "./statements-management.ts";
import { outputStatements } from "./statements-output.ts";
import { pairStatements } from "./statements-pairs.ts";
import { recordStatements } from "./statements-records.ts";
import { requestStatements } from "./statements-requests.ts";
import { roleStatements } from "./statements-roles.ts";
import { startStatements } from "./statements-start.ts";

/** The audit comes last: it judges what the others have seen. */
export const STATEMENTS: readonly Statement[] = [
  ...startStatements,
  ...recordStatements,
  ...pairStatements,
  ...connectionStatements,
  ...managementStatements,
  ...requestStatements,
  ...roleStatements,
  ...outputStatements,
  ...beyondStatements,
  ...auditStatements,
];
