// HOT
/** What is counted of one request while it runs, for whoever observes the server. A request nobody observes has none. */
/** The visitor left, or the connection was lost, before there was an answer: nginx's number for it, which HTTP has not. */
const NO_ANSWER = 499;

interface ParamSource {
  get(name: string): string | undefined;
}

/** What has a tally: an exchange. */
export interface Counted {
  readonly params: ParamSource;
  readonly client: ParamSource;
  tally: Tally | undefined;
}

export class Tally {
  /** By `performance.now()`. */
  readonly startedAt: number;
  /** The header block that was sent. */
  head = "";
  /** Bytes of the body that were sent to the web server. */
  sentBytes = 0;
  durationMs = 0;
  /** HTTP's, once the request is over. */
  status = 0;
  /** REQUEST_METHOD, REQUEST_URI, and REMOTE_ADDR of the client: once {@link identify} was called. */
  method: string | undefined = undefined;
  uri: string | undefined = undefined;
  address: string | undefined = undefined;
  #isIdentified = false;
  /** Of events.ts. */
  event: unknown = undefined;
  /** Of the scoreboard: since when, by the epoch; where in its list; in which slot. */
  listedAt = 0;
  place = -1;
  slot = -1;

  constructor(startedAt: number) {
    this.startedAt = startedAt;
  }

  /** Begins to count, unless somebody has. */
  static begin(exchange: Counted): Tally {
    let { tally } = exchange;
    if (tally === undefined) {
      tally = new Tally(performance.now());
      exchange.tally = tally;
    }
    return tally;
  }

  /** Looks up who asks for what, for all observers together: a look costs a tenth of a microsecond. */
  identify({ params, client }: Counted): void {
    if (this.#isIdentified) return;
    this.#isIdentified = true;
    this.method = params.get("REQUEST_METHOD");
    this.uri = params.get("REQUEST_URI");
    this.address = client.get("REMOTE_ADDR");
  }

  /** What there is to say at the end of a request. The first to ask stops the clock. */
  static end(exchange: Counted): Tally {
    const tally = Tally.begin(exchange);
    if (tally.status === 0) {
      tally.durationMs = performance.now() - tally.startedAt;
      tally.status = statusOf(tally.head);
    }
    return tally;
  }
}

/** The status that a header block says. `Status` is its first line, but the last where there is a `Location`. */
function statusOf(head: string): number {
  if (head === "") return NO_ANSWER;
  const at = head.startsWith("Status: ") ? 8 : head.indexOf("\r\nStatus: ") + 10;
  if (at < 10 && at !== 8) return 200;
  const status =
    (head.charCodeAt(at) - 48) * 100 + (head.charCodeAt(at + 1) - 48) * 10 + head.charCodeAt(at + 2) - 48;
  return status >= 100 && status <= 999 ? status : 200;
}
