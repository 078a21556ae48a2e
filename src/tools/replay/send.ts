/** Sends one plan to an application, over one connection, and gives what it answered. Always within a deadline. */
import type { Socket } from "node:net";
import { connectSocket } from "../../client/connect.ts";
import type { ResolvedClientOptions } from "../../client/options.ts";
import { Conversation, type Exchange } from "../capture/conversation.ts";
import type { Broken } from "../capture/cutter.ts";
import type { Plan } from "./plan.ts";

export interface Sent {
  /** In the order of the plan's. */
  readonly requests: readonly Exchange[];
  /** The deadline has passed. */
  readonly isLate: boolean;
  /** The application answered with something else than FastCGI. */
  readonly broken: Broken | undefined;
}

/** How long an application may take to close a connection that it does not need any more, ms. */
const CLOSE_MS = 500;

/**
 * @param pace `recorded` sends each piece when the recording did, at the earliest
 * @throws {SettingError} `ERR_POSTERN_CONNECT` and others: no connection
 */
export async function sendPlan(
  plan: Plan,
  target: ResolvedClientOptions,
  options: { readonly pace: "recorded" | "fast"; readonly maxMs: number },
): Promise<Sent> {
  const maxMs = options.maxMs + (options.pace === "recorded" ? plan.recordedMs : 0);
  const deadline = AbortSignal.timeout(maxMs);
  const socket = await connectSocket(target, deadline);
  try {
    return await converse(plan, socket, options.pace, deadline);
  } finally {
    socket.destroy();
  }
}

async function converse(
  plan: Plan,
  socket: Socket,
  pace: "recorded" | "fast",
  deadline: AbortSignal,
): Promise<Sent> {
  const requests: Exchange[] = [];
  const ended = new Set<number>();
  const start = performance.now();
  let isOver = false;
  let broken: Broken | undefined;
  let wake = (): void => {};
  const conversation = new Conversation(
    {
      onBegin: (exchange) => void requests.push(exchange),
      onEnd: ({ ordinal }) => {
        ended.add(ordinal);
        wake();
      },
      onBroken: (side, found) => {
        if (side !== "application") return;
        broken = found;
        isOver = true;
        wake();
      },
    },
    { now: () => performance.now(), bodies: true },
  );
  const over = (): void => {
    isOver = true;
    conversation.close("closed by the application");
    wake();
  };
  socket.allowHalfOpen = true;
  socket.on("data", (chunk: Buffer) => conversation.push("application", chunk));
  socket.on("end", over);
  socket.on("error", over);
  socket.on("close", over);
  socket.on("drain", () => wake());
  deadline.addEventListener("abort", () => wake(), { once: true });
  const until = async (isTrue: () => boolean): Promise<void> => {
    while (!isTrue() && !isOver && !deadline.aborted) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  for (const { bytes, atMs, after } of plan.sends) {
    await until(() => after.every((ordinal) => ended.has(ordinal)));
    if (pace === "recorded") await pause(start + atMs - performance.now(), deadline);
    if (deadline.aborted) break;
    // Also what the application does not take any more: the requests are counted by what is sent.
    conversation.push("web server", bytes);
    if (!isOver && !socket.write(bytes)) await until(() => !socket.writableNeedDrain);
    if (isOver) conversation.close("closed by the application");
  }
  await until(() => [...plan.awaited].every((ordinal) => ended.has(ordinal)));
  const isLate = deadline.aborted && !isOver;
  if (!isOver) {
    conversation.close("closed by the web server");
    socket.end();
    await Promise.race([until(() => isOver), pause(CLOSE_MS, deadline)]);
  }
  return { requests, isLate, broken };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
