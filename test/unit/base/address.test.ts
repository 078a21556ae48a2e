/** Addresses as people write them. */
import { expect, it } from "vitest";
import { type Address, isLoopback, parseAddress, printAddress } from "../../../src/base/address.ts";

const forms: readonly (readonly [text: string, address: Address, printed?: string])[] = [
  ["unix:/run/app.sock", { kind: "unix", path: "/run/app.sock" }],
  ["/run/app.sock", { kind: "unix", path: "/run/app.sock" }, "unix:/run/app.sock"],
  ["./app.sock", { kind: "unix", path: "./app.sock" }, "unix:./app.sock"],
  ["../app.sock", { kind: "unix", path: "../app.sock" }, "unix:../app.sock"],
  ["unix:app.sock", { kind: "unix", path: "app.sock" }],
  ["unix:/with space:and:colons", { kind: "unix", path: "/with space:and:colons" }],
  ["unix:@name", { kind: "abstract", name: "name" }],
  ["127.0.0.1:9000", { kind: "tcp", host: "127.0.0.1", port: 9000 }],
  ["localhost:0", { kind: "tcp", host: "localhost", port: 0 }],
  ["web-1.example.com:65535", { kind: "tcp", host: "web-1.example.com", port: 65535 }],
  [":9000", { kind: "tcp", host: "", port: 9000 }],
  ["[::1]:9000", { kind: "tcp", host: "::1", port: 9000 }],
  ["[fe80::1%eth0]:9000", { kind: "tcp", host: "fe80::1%eth0", port: 9000 }],
  ["[::ffff:127.0.0.1]:1", { kind: "tcp", host: "::ffff:127.0.0.1", port: 1 }],
  ["fd:0", { kind: "fd", fd: 0 }],
  ["fd:12", { kind: "fd", fd: 12 }],
  ["systemd", { kind: "systemd", name: undefined }],
  ["systemd:web", { kind: "systemd", name: "web" }],
];

for (const [text, address, printed] of forms) {
  it(`${text} is read, and printed as what reads the same`, () => {
    expect(parseAddress(text)).toEqual(address);
    expect(printAddress(address)).toBe(printed ?? text);
    expect(parseAddress(printAddress(address))).toEqual(address);
  });
}

it.each([
  ["9000", "for TCP write 127.0.0.1:9000 or :9000"],
  ["app.sock", "for a unix socket write unix:app.sock"],
  ["127.0.0.1:65536", "a port is at most 65535"],
  ["::1:9000", "write one of"],
  ["127.0.0.1", "write one of"],
  ["http://localhost:80", "write one of"],
  ["", "write one of"],
  ["systemd:", "write one of"],
  ["fd:", "write one of"],
  ["fd:-1", "write one of"],
  ["unix:", "the path of the socket file is missing"],
  ["/run/", "the path of the socket file is missing"],
  ["unix:/a\0b", "a path cannot hold a NUL character"],
  ["unix:@", "the name of the abstract socket is missing"],
  [`unix:@${"n".repeat(108)}`, "the name is longer than 107 bytes"],
])("%j is refused with what to write instead", (text, remedy) => {
  expect(() => parseAddress(text, "--bind")).toThrow(
    expect.objectContaining({ code: "ERR_POSTERN_ADDRESS", message: expect.stringContaining(remedy) }),
  );
  expect(() => parseAddress(text, "--bind")).toThrow(/^--bind /);
});

it("loopback is what only this machine can reach", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
    expect(isLoopback(host), host).toBe(true);
  for (const host of [
    "",
    "localhost", // whatever it resolves to
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "localhost.example.com",
    "127.0.0.1.example.com",
    "128.0.0.1",
  ]) {
    expect(isLoopback(host), host).toBe(false);
  }
});
