import { expect, it } from "vitest";
import { headFromHttp } from "../../../src/adapters/http-head.ts";

it("a head of node:http begins with Status, and loses what concerns one connection", () => {
  expect(headFromHttp("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n")).toBe(
    "Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\n",
  );
  expect(headFromHttp("HTTP/1.1 200 OK\r\nConnection: close\r\nStatus: 500\r\nX-A: 1\r\n\r\n")).toBe(
    "Status: 200 OK\r\nX-A: 1\r\n\r\n",
  );
});

it("a head with a Location ends with Status: HAProxy 2.6 makes a 302 of every other order", () => {
  expect(headFromHttp("HTTP/1.1 301 Moved Permanently\r\nlocation: /x\r\nVary: Cookie\r\n\r\n")).toBe(
    "location: /x\r\nVary: Cookie\r\nStatus: 301 Moved Permanently\r\n\r\n",
  );
});
