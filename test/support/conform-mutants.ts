/** For every statement of the conformance run, a responder that breaks it, and so must be found. */
import {
  type Mutant,
  type MutantConnection,
  type MutantRecord,
  mutantRecord,
  valuePair,
} from "./conform-mutant.ts";

const BEGIN = 1;
const ABORT = 2;
const END = 3;
const PARAMS = 4;
const STDIN = 5;
const STDOUT = 6;
const STDERR = 7;
const DATA = 8;
const GET_VALUES = 9;
const VALUES = 10;
const UNKNOWN = 11;

export interface MutantOf {
  /** Made anew for each use: some remember what they have seen. */
  readonly make: () => Mutant;
  /** Statements that give the occasion, for those that only watch. */
  readonly with?: readonly string[];
}

const closing = (when: (record: MutantRecord, connection: MutantConnection) => boolean): MutantOf => ({
  make: () => ({ input: (record, connection) => (when(record, connection) ? "close" : undefined) }),
});
const ignoring: typeof closing = (when) => ({
  make: () => ({ input: (record, connection) => (when(record, connection) ? "ignore" : undefined) }),
});
/** Sends something else in the place of the records of a type. */
const sending = (
  type: number,
  instead: (record: MutantRecord) => readonly (MutantRecord | Buffer)[],
  ...occasions: readonly string[]
): MutantOf => ({
  make: () => ({ output: (record) => (record.type === type ? instead(record) : [record]) }),
  with: occasions,
});
const paging = (page: NonNullable<Mutant["page"]>): MutantOf => ({ make: () => ({ page }) });
/** Fails for some parameters. */
const failing = (when: (pairs: readonly (readonly [string, string])[], raw: Buffer) => boolean): MutantOf =>
  paging((page, { pairs, request }) =>
    when(pairs, request.params) ? "Status: 500 Oops\r\nContent-Type: text/plain\r\n\r\n" : page,
  );
/** Once a record has come, the connection takes no other request. */
const closingAfter = (type: number): MutantOf => ({
  make: () => {
    const marked = new WeakSet();
    return {
      input(record, connection) {
        if (record.type === BEGIN && marked.has(connection)) return "close";
        const isRefused = type === BEGIN && record.type === BEGIN && record.content.readUInt16BE(0) > 3;
        if (type === BEGIN ? isRefused : record.type === type) marked.add(connection);
        return undefined;
      },
    };
  },
});
const withHeader = (line: string): MutantOf =>
  paging((page) => page.replace("\r\n\r\n", `\r\n${line}\r\n\r\n`));
const refusingSecond: MutantOf = {
  make: () => ({
    input(record, connection) {
      if (record.type !== BEGIN || connection.requests.size === 0) return undefined;
      connection.send(mutantRecord(END, record.id, Buffer.from([0, 0, 0, 0, 1, 0, 0, 0])));
      return "ignore";
    },
  }),
};
const all = ["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"]
  .map((name) => valuePair(name, "1"))
  .join("");

/** Statements a `may` is about are not broken but absent. */
export const ABSENT: Readonly<Record<string, MutantOf>> = {
  "3.2-concurrent": { make: () => ({ isSingle: true }) },
  "3.3-interleaved": refusingSecond,
  "3.3-alignment": { make: () => ({}), with: ["3.3-ids"] },
  "6.2-output-before-stdin": { make: () => ({}) },
  "x-slow-reader": { make: () => ({ isSingle: true }) },
};

export const MUTANTS: Readonly<Record<string, MutantOf>> = {
  "3.2-all-served": { make: () => ({ accepts: (open) => open < 8 }) },
  "3.3-padding": closing(({ type, content, padding }) => type !== BEGIN && padding > 7 && content.length > 0),
  "3.3-padding-ends": closing(({ content, padding }) => padding > 0 && content.length === 0),
  "3.3-padding-begin": closing(({ type, padding }) => type === BEGIN && padding > 0),
  "3.3-reserved-in": closing(({ reserved }) => reserved > 0),
  "3.3-version-in": { make: () => ({ anyVersion: true }) },
  "3.3-byte-by-byte": { make: () => ({ chunk: (chunk) => (chunk.length === 1 ? "close" : undefined) }) },
  "3.3-cut-headers": { make: () => ({ chunk: (chunk) => (chunk.length === 7 ? "close" : undefined) }) },
  "3.3-stdin-divided": ignoring(({ type, content }) => type === STDIN && content.length === 1),
  "3.3-largest-record": closing(({ content }) => content.length === 65535),
  "3.3-ids": closing(({ id }) => id > 255),
  "3.3-id-again": closing(({ type, id }, { used }) => type === BEGIN && used.has(id)),
  "3.3-unused-id-before": closing(
    ({ type, id }, { used, requests }) => type !== BEGIN && !used.has(id) && requests.size === 0,
  ),
  "3.3-unused-id-between": closing(
    ({ type, id }, { used, requests }) => type !== BEGIN && !used.has(id) && requests.size > 0,
  ),
  "3.3-ended-id": closing(
    ({ type, id }, { used, requests }) => type !== BEGIN && used.has(id) && !requests.has(id),
  ),
  "3.3-unknown-record": closing(({ type }) => type > UNKNOWN),
  "3.4-long-lengths": failing((_, raw) => raw[0]! > 127),
  "3.4-lengths": failing((pairs) => pairs.some(([name]) => name.length > 127)),
  "3.4-large-value": failing((pairs) => pairs.some(([, value]) => value.length > 65535)),
  "3.4-empty-value": failing((pairs) => pairs[0]?.[1] === ""),
  "3.4-empty-name": failing((pairs) => pairs.some(([name]) => name === "")),
  "3.5-closed-idle": { make: () => ({ lost: ({ used }) => (used.size === 0 ? "die" : undefined) }) },
  "3.5-broken-off": { make: () => ({ lost: (_, isPartial) => (isPartial ? "die" : undefined) }) },
  "3.5-half-closed": { make: () => ({ answersAfter: 100 }) },
  "4.1-answered": ignoring(({ type }) => type === GET_VALUES),
  "4.1-values": sending(VALUES, ({ id }) => [mutantRecord(VALUES, id, valuePair("FCGI_MPXS_CONNS", "yes"))]),
  "4.1-unknown-name": sending(VALUES, (record) => [
    { ...record, content: Buffer.concat([record.content, Buffer.from(valuePair("FCGI_NOT_A_NAME", ""))]) },
  ]),
  "4.1-only-asked": sending(VALUES, ({ id }) => [mutantRecord(VALUES, id, all)]),
  "4.1-any-time": ignoring(({ type }, { requests }) => type === GET_VALUES && requests.size > 0),
  "4.1-connection-stays": closingAfter(GET_VALUES),
  "4.1-multiplexes": refusingSecond,
  "4.1-max-conns": { make: () => ({ isSingle: true }) },
  "4.2-unknown-type": ignoring(({ type, id }) => type !== GET_VALUES && id === 0),
  "4.2-in-request": closing(({ id }, { requests }) => id === 0 && requests.size > 0),
  "4.2-body": sending(
    UNKNOWN,
    ({ id }) => [mutantRecord(UNKNOWN, id, Buffer.from([12]))],
    "4.2-unknown-type",
  ),
  "5.1-closes": { make: () => ({ closes: () => false }) },
  "5.1-keeps": { make: () => ({ closes: () => true }) },
  "5.1-closes-later": { make: () => ({ closes: () => false }) },
  "5.1-other-flags": { make: () => ({ closes: (flags) => flags !== 1 }) },
  "5.1-reserved": closing(({ type, content }) => type === BEGIN && content[7] !== 0),
  "5.2-divided": ignoring(({ type, content }) => type === PARAMS && content.length === 1),
  "5.2-order": failing((pairs) => pairs[0]?.[0] !== "GATEWAY_INTERFACE"),
  "5.2-many": failing((pairs) => pairs.length > 100),
  "5.2-none": ignoring(
    ({ type, id, content }, { requests }) =>
      type === STDIN && content.length === 0 && requests.get(id)?.params.length === 0,
  ),
  "5.3-content": paging((page) => page.replace(/body .*$/s, "")),
  "5.3-empty": ignoring(
    ({ type, id, content }, { requests }) =>
      type === STDIN &&
      content.length === 0 &&
      requests.get(id)?.stdin.length === 0 &&
      requests.get(id)!.params.includes("POST"),
  ),
  "5.3-large": ignoring(
    ({ type, id }, { requests }) => type === STDIN && requests.get(id)!.stdin.length > 500_000,
  ),
  "5.3-late": {
    make: () => {
      let left = "";
      return {
        page(page, { body }) {
          const out = page + left;
          if (body.length > 100_000) left = "left over";
          return out;
        },
      };
    },
  },
  "5.4-in-params": ignoring(
    ({ type, id }, { requests }) => type === ABORT && requests.get(id)?.isParamsEnded === false,
  ),
  "5.4-in-stdin": ignoring(
    ({ type, id }, { requests }) => type === ABORT && requests.get(id)?.isParamsEnded === true,
  ),
  "5.4-next": closingAfter(ABORT),
  "5.4-other": {
    make: () => ({
      input({ type, id }, { requests }) {
        if (type === ABORT)
          for (const other of [...requests.keys()]) if (other !== id) requests.delete(other);
        return undefined;
      },
    }),
  },
  "5.5-unknown-role": closing(({ type, content }) => type === BEGIN && content.readUInt16BE(0) > 3),
  "5.5-after-refusal": closingAfter(BEGIN),
  "5.5-second-request": ignoring(({ type }, { requests }) => type === BEGIN && requests.size > 0),
  "6.2-params-first": {
    make: () => ({
      input({ type, id, content }, connection) {
        if (type === PARAMS && content.length > 0) connection.send(mutantRecord(STDERR, id, "soon"));
        return undefined;
      },
    }),
  },
  "6.2-short-body-ends": ignoring(
    ({ type, id, content }, { requests }) =>
      type === STDIN && content.length === 0 && requests.get(id)?.stdin.toString() === "ssssssssss",
  ),
  "6.2-short-body-told": paging((page) => page.replace("400 Bad Request", "200 OK")),
  "6.2-app-status": { make: () => ({ appStatus: () => 7 }) },
  "6.3-authorizer": ignoring(
    ({ type, id, content }, { requests }) =>
      type === PARAMS && content.length === 0 && requests.get(id)?.role === 2,
  ),
  "6.3-verdict": paging((page, { request }) => (request.role === 2 ? "yes" : page)),
  "6.4-filter": closing(({ type }) => type === DATA),
  "6.4-stdin-first": {
    make: () => ({
      input({ type, id, content }, connection) {
        const isEarly = type === PARAMS && content.length === 0 && connection.requests.get(id)?.role === 3;
        if (isEarly) connection.send(mutantRecord(STDERR, id, "soon"));
        return undefined;
      },
    }),
  },
  "6.4-short-data": closing(({ type, content }) => type === DATA && content.length === 5),
  "rfc-header-block": paging(() => "no header block at all"),
  "rfc-field-syntax": withHeader("Not A Header"),
  "rfc-cgi-field": paging(() => "X-Powered-By: nobody\r\n\r\nbody"),
  "rfc-content-type": paging(() => "Status: 200 OK\r\n\r\nbody"),
  "rfc-status": paging((page) => page.replace("Status: 200 OK", "Status: fine")),
  "6.1-parsed-headers": paging((page) => page.replace("Status:", "HTTP/1.1")),
  "rfc-connection-headers": withHeader("Connection: close"),
  "rfc-content-length": withHeader("Content-Length: 3"),
  "rfc-head": paging((page) => `${page}a body`),
  "x-http": {
    make: () => ({
      anyVersion: true,
      chunk(chunk, connection) {
        if (chunk[0] !== 1) connection.send(mutantRecord(STDOUT, 1, "Status: 400 Bad Request\r\n\r\n"));
        return undefined;
      },
    }),
  },
  "x-noise": { make: () => ({ chunk: (chunk) => (chunk[0] === 1 ? undefined : "die") }) },
  "x-malformed-params": {
    make: () => ({
      input: ({ type, id, content }, { requests }) =>
        type === PARAMS && content.length === 0 && requests.get(id)?.params[0] === 200 ? "die" : undefined,
    }),
  },
  "x-short-begin": {
    make: () => ({
      input: ({ type, content }) => (type === BEGIN && content.length !== 8 ? "die" : undefined),
    }),
  },
  "x-begun-twice": {
    make: () => ({
      input: ({ type, id }, { requests }) => (type === BEGIN && requests.has(id) ? "die" : undefined),
    }),
  },
  "3.3-version-out": sending(STDERR, (record) => [{ ...record, version: 2 }]),
  "3.3-types-out": sending(STDERR, (record) => [{ ...record, type: STDIN }]),
  "3.3-null-id": sending(STDERR, (record) => [{ ...record, id: 0 }]),
  "3.3-active-ids": sending(END, (record) => [mutantRecord(STDERR, 999, "who?"), record]),
  "3.3-whole-records": sending(END, (record) => [record, Buffer.from([1, STDERR, 0])], "5.1-closes"),
  "3.3-stdout-ends": sending(STDOUT, (record) => (record.content.length === 0 ? [] : [record])),
  "3.3-stderr-ends": sending(STDERR, (record) => (record.content.length === 0 ? [] : [record])),
  "3.3-stream-over": sending(STDERR, (record) => (record.content.length === 0 ? [record, record] : [record])),
  "3.3-reserved-out": sending(STDERR, (record) => [{ ...record, reserved: 1 }]),
  "5.5-once": sending(END, (record) => [record, record], "3.3-byte-by-byte"),
  "5.5-body": sending(END, (record) => [{ ...record, content: Buffer.alloc(9) }]),
  "5.5-protocol-status": {
    make: () => {
      let isAborted = false;
      return {
        input({ type }) {
          isAborted ||= type === ABORT;
          return undefined;
        },
        output(record) {
          if (!isAborted || record.type !== END) return [record];
          isAborted = false;
          return [mutantRecord(END, record.id, Buffer.from([0, 0, 0, 0, 9, 0, 0, 0]))];
        },
      };
    },
    with: ["5.4-in-params"],
  },
  "6.1-stdout-always": {
    make: () => ({
      input({ type, id, content }, connection) {
        const request = connection.requests.get(id);
        if (type !== PARAMS || content.length > 0 || request === undefined || request.params.length > 0)
          return undefined;
        connection.end(request, 0, 0);
        return "ignore";
      },
    }),
    with: ["5.2-none"],
  },
};
