/** A server that stops accepting and goes on, as often as it likes. */
import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { pauseAccepting, resumeAccepting } from "../../../src/server/accepting.ts";
import { shareSocket } from "../../support/shared-socket.ts";
import { waitFor } from "../../support/wait.ts";

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

describe.each(["unix", "tcp"] as const)("a server on an inherited %s socket", (kind) => {
  it("accepts nothing while it is paused, also the second and third time, and everything afterwards", async () => {
    const shared = shareSocket(kind);
    let accepted = 0;
    const server = createServer((socket) => {
      accepted++;
      sockets.push(socket);
    });
    await new Promise<void>((resolve) => server.listen({ fd: shared.fd }, resolve));
    for (let round = 1; round <= 3; round++) {
      expect(pauseAccepting(server), `round ${round}`).toBe(true);
      const client = connect(shared.where);
      sockets.push(client);
      await new Promise<void>((resolve) => client.once("connect", () => resolve()));
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(accepted, `paused, round ${round}`).toBe(round - 1);
      resumeAccepting(server);
      await waitFor(() => accepted === round);
    }
    await new Promise((resolve) => {
      for (const socket of sockets.splice(0)) socket.destroy();
      server.close(resolve);
    });
  });
});

it("a server that is closed cannot be paused", () => {
  const server = createServer();
  expect(pauseAccepting(server)).toBe(false);
  expect(() => resumeAccepting(server)).not.toThrow();
});
