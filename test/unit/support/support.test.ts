import { once } from "node:events";
import { existsSync } from "node:fs";
import net from "node:net";
import { describe, expect, it } from "vitest";
import { describeCaptures, listCaptures } from "../../support/captures.ts";
import { feedEveryWay, feedings } from "../../support/feed.ts";
import { connectHttp, request } from "../../support/http.ts";
import { isAlive } from "../../support/proc.ts";
import { run, start } from "../../support/process.ts";
import {
  abortRecord,
  answerOf,
  beginRecord,
  decodePairs,
  decodeRecords,
  encodePairs,
  paramsRecords,
  rawRecord,
  requestRecords,
  summary,
  TYPE,
} from "../../support/records.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { patience, TimeoutError, waitFor } from "../../support/wait.ts";

describe("records", () => {
  it("writes the bytes of the specification's appendix B", () => {
    expect(beginRecord(1).toString("hex")).toBe("0101000100080000" + "0001000000000000");
    expect(abortRecord(258).toString("hex")).toBe("0102010200000000");
    const pairs = [
      ["SERVER_PORT", "80"],
      ["A", "42"],
    ] as const;
    expect(paramsRecords(1, pairs, { open: true }).toString("latin1")).toBe(
      "\x01\x04\x00\x01\x00\x14\x00\x00" + "\x0b\x02SERVER_PORT80" + "\x01\x02A42",
    );
  });

  it("writes lengths from 128 in four bytes and reads them back", () => {
    const pairs: [string, string][] = [
      ["n".repeat(128), "v".repeat(127)],
      ["", ""],
      ["é", "x".repeat(70000)],
    ];
    expect(decodePairs(encodePairs(pairs))).toEqual(pairs);
    expect(encodePairs([["a", "b"]], true).toString("hex")).toBe("80000001800000016162");
  });

  it("cuts a params stream where it is told to", () => {
    expect(summary(paramsRecords(7, { ABC: "12345" }, { cuts: [1, 3], padding: [0, 5] }))).toEqual([
      "PARAMS 7 (1)",
      "PARAMS 7 (3)",
      "PARAMS 7 (6)",
      "PARAMS 7 (0)",
    ]);
  });

  it("collects an answer and refuses anything after its end", () => {
    const out = Buffer.concat([
      rawRecord(TYPE.STDOUT, 1, "Status: 200 OK\r\n\r\nbo"),
      rawRecord(TYPE.STDERR, 1, "oops"),
      rawRecord(TYPE.STDOUT, 1, "dy", 7),
      rawRecord(TYPE.STDOUT, 1),
      rawRecord(TYPE.END_REQUEST, 1, "\0\0\0\x05\x00\0\0\0"),
    ]);
    const answer = answerOf(out);
    expect(answer.head).toBe("Status: 200 OK");
    expect(answer.body.toString()).toBe("body");
    expect(answer.stderr.toString()).toBe("oops");
    expect(answer).toMatchObject({ stdoutEnded: true, end: { appStatus: 5, protocolStatus: 0 } });
    expect(() => answerOf(Buffer.concat([out, rawRecord(TYPE.STDOUT, 1, "x")]))).toThrow(
      "STDOUT after END_REQUEST",
    );
  });
});

describe("feed", () => {
  it("delivers the same bytes every way", () => {
    const bytes = requestRecords({ stdin: "hello" });
    const all = feedings(bytes, { trailing: Buffer.from("zz"), seed: 1 });
    expect(all.map((one) => one.name.replace(/, run.*/, ""))).toEqual([
      "whole",
      "byte by byte",
      ...Array.from({ length: 5 }, () => "random cuts"),
      "with trailing bytes",
    ]);
    for (const one of all) {
      const fed = Buffer.concat(one.chunks);
      expect(fed.subarray(0, fed.length - one.trailingBytes).equals(bytes)).toBe(true);
      expect(one.chunks.every((chunk) => chunk.length > 0)).toBe(true);
    }
    expect(feedings(bytes, { seed: 1 })[3]?.chunks).toEqual(feedings(bytes, { seed: 1 })[3]?.chunks);
  });

  it("says which feeding failed, and its seed", () => {
    const check = (): void =>
      feedEveryWay(Buffer.from("abcdef"), (feeding) => expect(feeding.name).not.toMatch(/random/), {
        seed: 42,
      });
    expect(check).toThrow(/^fed random cuts, run 0, POSTERN_SEED=42: /);
  });
});

describe("process", () => {
  it("keeps lines apart by stream and waits for one", async () => {
    const child = start(process.execPath, [
      "-e",
      "console.log('out'); console.error('err 7'); setInterval(()=>{},9e9)",
    ]);
    expect((await child.waitForLine(/err (\d)/))[1]).toBe("7");
    await child.waitForLine(/out/, { stream: "stdout" });
    expect(child.stdout()).toBe("out");
    expect(await child.stop()).toEqual({ code: null, signal: "SIGTERM" });
    expect(await run("sh", ["-c", "cat; exit 3"], { input: "in" })).toEqual({
      code: 3,
      signal: null,
      stdout: "in",
      stderr: "",
    });
  });

  it("fails at once when the program ends without the line, and tells what it said", async () => {
    const child = start("sh", ["-c", "echo sorry >&2; exit 4"]);
    await expect(child.waitForLine(/ready/)).rejects.toThrow(
      /ended \(code 4\) without \/ready\/\nstderr\| sorry/,
    );
    await expect(start("/no/such/program").waitForLine(/x/)).rejects.toThrow("cannot start /no/such/program");
  });

  it("kills what the program leaves behind", async () => {
    const child = start("sh", ["-c", "sleep 1000 & echo $!"]);
    const pid = Number((await child.waitForLine(/^\d+$/))[0]);
    await child.stop();
    await waitFor(() => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    });
  });
});

describe("isAlive", () => {
  it("says no of a killed process only when its port is free", async () => {
    const program = `const server = require("node:net").createServer();
      server.listen(0, "127.0.0.1", () => console.log(process.pid, server.address().port));`;
    // The shell becomes a program that takes no notice of its child's end: it stays a zombie.
    const line = `"${process.execPath}" -e '${program}' & exec sleep 60`;
    for (let time = 0; time < 5; time++) {
      await using parent = start("/bin/sh", ["-c", line]);
      const [, pid, port] = await parent.waitForLine(/^(\d+) (\d+)$/);
      process.kill(Number(pid), "SIGKILL");
      await waitFor(() => !isAlive(Number(pid)), { what: "the end of the process" });
      const next = net.createServer();
      next.listen(Number(port), "127.0.0.1");
      await once(next, "listening");
      next.close();
    }
  });
});

describe("http", () => {
  it("sends a target as written and records when pieces came", async () => {
    const server = net.createServer((socket) => {
      socket.once("data", (data) => {
        socket.write(
          `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n${data.toString().slice(4, 9)}\r\n`,
        );
        socket.once("data", () => socket.end("2\r\nok\r\n0\r\n\r\n"));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    const http = await connectHttp(`http://127.0.0.1:${port}/`);
    await http.send("GET //..% HTTP/1.1\r\nHost: x\r\n\r\n");
    await http.waitForText(/\/\/\.\.%/);
    expect(http.arrivals).toHaveLength(1);
    await http.send("go on");
    const response = await http.nextResponse();
    expect(response).toMatchObject({ status: 200, complete: true });
    expect(response.body.toString()).toBe("//..%ok");
    http.close();
    server.close();
  });

  it("gives the answer of one request", async () => {
    const server = net.createServer((socket) => {
      socket.once("data", (data) =>
        socket.end(`HTTP/1.1 201 Made\r\nX: 1\r\nContent-Length: 4\r\n\r\n${data.toString().slice(4, 8)}`),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    const answer = await request(`http://127.0.0.1:${port}/a/../b`);
    expect(answer).toMatchObject({ status: 201, statusText: "Made", text: "/a/." });
    server.close();
  });
});

describe("temp and wait", () => {
  it("makes folders others may enter", () => {
    expect(existsSync(temporaryFolder())).toBe(true);
  });
  it("says what it waited for", async () => {
    const wait = waitFor(() => false, { timeoutMs: 5, what: "godot", evidence: () => "a tree" });
    await expect(wait).rejects.toThrow(TimeoutError);
    await expect(wait).rejects.toThrow(/^waited \d+ ms for godot\na tree$/);
  });
});

describeCaptures("captures", () => {
  it("are what their sidecars say", { timeout: patience(60_000) }, () => {
    const captures = listCaptures();
    expect(captures.length).toBeGreaterThan(2000);
    for (const capture of captures) {
      for (const connection of capture.sidecar().fcgi_connections) {
        const bytes = capture.bytes(connection);
        expect(bytes.length, capture.name).toBe(connection.bytes);
        const { records } = decodeRecords(bytes);
        expect(records.length, capture.name).toBe(
          connection.records.reduce((sum, record) => sum + (record.repeat ?? 1), 0),
        );
      }
    }
  });
});
