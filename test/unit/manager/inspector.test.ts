/** Which lines of a worker's stderr are the inspector's. */
import { describe, expect, it } from "vitest";
import { InspectorUrl } from "../../../src/manager/inspector.ts";

const URL = "ws://127.0.0.1:40001/9c1e4f5e-34a9-4a8f-9c3a-6f2f3a1b2c3d";
const OTHER = URL.replace("40001", "40002");

describe("the inspector's lines", () => {
  it("are the application's as long as nobody asked for a stack", () => {
    const inspector = new InspectorUrl();
    for (const line of [`Debugger listening on ${URL}`, "Debugger attached.", `Debugger ending on ${URL}`]) {
      expect(inspector.offer(line)).toBe(false);
    }
    expect(inspector.last).toBeUndefined();
  });

  it("are hidden from then on, in the words of every version of Node", () => {
    const inspector = new InspectorUrl();
    inspector.expect(() => {});
    const lines = [
      `Debugger listening on ${URL}`,
      "For help, see: https://nodejs.org/en/docs/inspector",
      "For help, see: https://nodejs.org/learn/getting-started/debugging",
      "Debugger attached.",
      "Waiting for the debugger to disconnect...",
      `Debugger ending on ${URL}`,
    ];
    expect(lines.filter((line) => !inspector.offer(line))).toEqual([]);
    for (const line of ["Debugger", "Debugger attached. And more", "see Debugger attached.", ""]) {
      expect(inspector.offer(line)).toBe(false);
    }
  });

  it("give the URL once to whoever expects it", () => {
    const inspector = new InspectorUrl();
    const urls: string[] = [];
    inspector.expect((url) => urls.push(url));
    expect(inspector.offer(`Debugger listening on ${URL}`)).toBe(true);
    expect(inspector.offer(`Debugger listening on ${OTHER}`)).toBe(false);
    expect(urls).toEqual([URL]);
    expect(inspector.last).toBe(URL);
  });

  it("are not believed when they name another machine, or anything but an inspector", () => {
    const inspector = new InspectorUrl();
    const urls: string[] = [];
    inspector.expect((url) => urls.push(url));
    for (const url of [
      URL.replace("127.0.0.1", "192.0.2.1"),
      URL.replace("127.0.0.1", "127.0.0.1.example.org"),
      URL.replace("127.0.0.1", "user@127.0.0.1"),
      URL.replace("ws:", "wss:"),
      `${URL}/more`,
      `${URL}?x`,
      "ws://127.0.0.1:40001/",
      "ws://127.0.0.1:400010/9c1e4f5e-34a9-4a8f-9c3a-6f2f3a1b2c3d",
    ]) {
      expect(inspector.offer(`Debugger listening on ${url}`)).toBe(false);
    }
    expect(urls).toEqual([]);
  });
});
