import { describe, expect, it } from "vitest";
import {
  FULL_CONTENT_BYTES,
  HEADER_BYTES,
  isRole,
  KEEP_CONN,
  MANAGEMENT_ID,
  MAX_CONTENT_BYTES,
  MAX_REQUEST_ID,
  ProtocolStatus,
  RecordType,
  Role,
  recordTypeName,
  roleName,
  ValueName,
  VERSION,
} from "../../../src/protocol/records.ts";
import { TYPE } from "../../support/records.ts";

describe("the numbers of FastCGI 1.0", () => {
  it("are those of §8", () => {
    expect({ VERSION, HEADER_BYTES, MAX_CONTENT_BYTES, MANAGEMENT_ID, MAX_REQUEST_ID, KEEP_CONN }).toEqual({
      VERSION: 1,
      HEADER_BYTES: 8,
      MAX_CONTENT_BYTES: 65535,
      MANAGEMENT_ID: 0,
      MAX_REQUEST_ID: 65535,
      KEEP_CONN: 1,
    });
    expect(Role).toEqual({ Responder: 1, Authorizer: 2, Filter: 3 });
    expect(ProtocolStatus).toEqual({ RequestComplete: 0, CannotMultiplex: 1, Overloaded: 2, UnknownRole: 3 });
    expect(Object.values(ValueName)).toEqual(["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"]);
  });

  it("fill a record so that no padding is needed", () => {
    expect(FULL_CONTENT_BYTES % 8).toBe(0);
    expect(MAX_CONTENT_BYTES - FULL_CONTENT_BYTES).toBeLessThan(8);
  });

  it("name each record type in the specification's words, as an independent list does", () => {
    expect(Object.values(RecordType).map((type) => [recordTypeName(type), type])).toEqual(
      Object.entries(TYPE),
    );
  });

  it("name what does not exist by its number", () => {
    expect([recordTypeName(0), recordTypeName(12), recordTypeName(255)]).toEqual([
      "type 0",
      "type 12",
      "type 255",
    ]);
    expect([0, 1, 2, 3, 4].map(roleName)).toEqual(["role 0", "responder", "authorizer", "filter", "role 4"]);
  });

  it("know three roles and no more", () => {
    expect([-1, 0, 1, 2, 3, 4, 256, 257, 65535].filter(isRole)).toEqual([1, 2, 3]);
  });
});
