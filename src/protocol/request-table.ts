/** The requests of one connection by id, and what can be asked about all of them. Changed by AppConnection only. */
import { type AppRequest, GONE, PARAMS, REFUSED } from "./app-request.ts";
import type { RecordWriter } from "./record-writer.ts";
import { RecordType } from "./records.ts";

export class RequestTable extends Map<number, AppRequest> {
  /** Whether input of an ended request is still to come. */
  get awaitsInput(): boolean {
    for (const request of this.values()) {
      if (request.state === GONE && request.awaitsInput && !request.inputEnded) return true;
    }
    return false;
  }

  /** Whether a request is open whose answer has begun. */
  get isAnswering(): boolean {
    for (const request of this.values()) {
      if (request.state !== GONE && request.hasStdout) return true;
    }
    return false;
  }

  /** A parameter that is the same for all, such as SERVER_SOFTWARE. */
  param(name: string): string | undefined {
    for (const request of this.values()) {
      const value = request.params.get(name);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** Whether input of any request is still to come. */
  get isReceivingInput(): boolean {
    for (const request of this.values()) {
      if (request.awaitsInput && !request.inputEnded) return true;
    }
    return false;
  }

  /** Ends every STDERR that has begun; nothing may be written to it afterwards. */
  endStderr(writer: RecordWriter): void {
    for (const request of this.values()) {
      if (request.state !== GONE && request.hasStderr) writer.endStream(RecordType.Stderr, request.id);
      request.hasStderr = false;
    }
  }

  /** Whether PARAMS of any request are not complete. */
  get awaitsParams(): boolean {
    for (const request of this.values()) {
      if (request.state === PARAMS || request.state === REFUSED) return true;
    }
    return false;
  }

  /** Requests whose PARAMS have been waited for `limitMs`, since this was first asked; Infinity excuses the time so far. */
  lateParams(now: number, limitMs: number): AppRequest[] {
    const late: AppRequest[] = [];
    for (const request of this.values()) {
      if (request.state !== PARAMS && request.state !== REFUSED) continue;
      if (request.waitingSince === 0 || limitMs === Number.POSITIVE_INFINITY) request.waitingSince = now;
      else if (now - request.waitingSince >= limitMs) late.push(request);
    }
    return late;
  }
}
