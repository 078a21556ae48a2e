/**
 * What statements ask with: requests in the plain form and in any other, their answers, and the comparison of both. An
 * application is not asked to know about this: the same request, delivered in another way, has to give the same answer.
 */
import type { Address } from "../../base/address.ts";
import { printAddress } from "../../base/address.ts";
import { ProtocolStatus, Role } from "../../protocol/records.ts";
import { type Answer, answerOf, differenceOf } from "./answer.ts";
import type { Audit } from "./audit.ts";
import { type Pair, type RequestShape, requestBytes } from "./bytes.ts";
import { Broken } from "./model.ts";
import type { Program, Spawner } from "./spawner.ts";
import { type Exchange, openWire, type Wire } from "./wire.ts";

export interface ProbeOptions {
  readonly role: number;
  readonly path: string;
  /** Where bodies go; undefined is `path`. */
  readonly uploadPath: string | undefined;
  readonly scriptFilename: string | undefined;
  /** Added to every request, or put in the place of what has the same name. */
  readonly params: readonly Pair[];
  /** How long an answer may take. */
  readonly deadlineMs: number;
}

/** One request: what differs from the plain GET. */
export interface Ask extends Partial<Omit<RequestShape, "pairs" | "body" | "data">> {
  readonly method?: string;
  readonly query?: string;
  /** Makes it a POST to the upload path. */
  readonly body?: Buffer;
  readonly data?: Buffer;
  readonly keep?: boolean;
  readonly extra?: readonly Pair[];
  /** The pairs in this order, or other ones altogether. */
  readonly arrange?: (pairs: readonly Pair[]) => readonly Pair[];
}

/** What the application's answers show. */
export interface Facts {
  /** The same request gives the same answer. */
  readonly isStable: boolean;
  /** Another QUERY_STRING gives another answer. */
  readonly showsQuery: boolean;
  /** Another body gives another answer. */
  readonly showsBody: boolean;
}

export class Probe {
  readonly options: ProbeOptions;
  readonly audit: Audit;
  readonly address: Address;
  readonly spawner: Spawner | undefined;
  facts: Facts = { isStable: false, showsQuery: false, showsBody: false };
  /** What GET_VALUES is answered with; undefined when it is not. */
  values: readonly Pair[] | undefined | "unasked" = "unasked";
  /** Padding with which GET_VALUES is answered. */
  valuesPadding = 0;
  #slowestMs = 0;
  readonly #wires = new Set<Wire>();
  readonly #programs = new Set<Program>();
  readonly #plain = new Map<string, Answer>();

  constructor(address: Address, options: ProbeOptions, audit: Audit, spawner?: Spawner) {
    this.address = address;
    this.options = options;
    this.audit = audit;
    this.spawner = spawner;
  }

  get deadlineMs(): number {
    return this.options.deadlineMs;
  }

  /** How long to wait for what should not come: long enough for an answer, as answers of this application go. */
  get patienceMs(): number {
    return Math.min(this.deadlineMs, Math.max(150, 5 * this.#slowestMs));
  }

  /** Whether requests have a STDIN. */
  get hasStdin(): boolean {
    return this.options.role !== Role.Authorizer;
  }

  /** Bytes of the empty records at the end of a plain request without a body, that of PARAMS first. */
  get endBytes(): number {
    return 8 * { [Role.Responder]: 2, [Role.Authorizer]: 1, [Role.Filter]: 3 }[this.options.role as Role];
  }

  /** Learns what answers look like. @throws {Broken} when there are none */
  async learn(): Promise<void> {
    const first = await this.plain({});
    const again = await this.ask({});
    const isStable = first.body.equals(again.body);
    const other = await this.ask({ query: "probe=2" });
    let showsBody = false;
    if (this.hasStdin) {
      const one = await this.ask({ body: Buffer.from("probe=one") });
      const same = await this.ask({ body: Buffer.from("probe=one") });
      const two = await this.ask({ body: Buffer.from("probe=two") });
      showsBody = one.body.equals(same.body) && !one.body.equals(two.body);
    }
    this.facts = { isStable, showsQuery: isStable && !other.body.equals(first.body), showsBody };
  }

  /** A connection. It is closed with the statement. */
  async open(): Promise<Wire> {
    const wire = await openWire(this.address, this.audit, this.deadlineMs);
    if (wire instanceof Error) {
      throw new Broken(`no connection to ${printAddress(this.address)}: ${wire.message}`, []);
    }
    this.#wires.add(wire);
    return wire;
  }

  /** Starts another instance of the program. It ends with the statement. */
  async start(how: Parameters<Spawner["start"]>[0]): Promise<{ program: Program; probe: Probe }> {
    const program = await this.spawner!.start(how);
    this.#programs.add(program);
    // A program takes its time to start.
    const options = { ...this.options, deadlineMs: Math.max(this.deadlineMs, 10_000) };
    return { program, probe: new Probe(program.address, options, this.audit) };
  }

  /** Ends whatever the statement has opened. */
  async tidy(): Promise<void> {
    for (const wire of this.#wires) wire.destroy();
    this.#wires.clear();
    for (const program of this.#programs) await program.stop();
    this.#programs.clear();
  }

  shape(ask: Ask): RequestShape {
    const { body = NOTHING, data = NOTHING, keep = false, extra = [], arrange = same } = ask;
    const pairs = arrange(this.#pairs(ask, extra));
    const { role } = this.options;
    return { id: 1, role, flags: keep ? 1 : 0, ...ask, pairs, body, data };
  }

  bytes(ask: Ask): Buffer {
    return requestBytes(this.shape(ask));
  }

  /** Waits for the end of a request. @throws {Broken} when it does not come */
  async end(wire: Wire, id = 1): Promise<Exchange> {
    const begun = performance.now();
    const exchange = wire.exchange(id);
    if (exchange === undefined)
      throw new Broken("the connection was closed inside BEGIN_REQUEST", wire.evidence());
    if (!(await wire.until(() => exchange.end !== undefined, this.deadlineMs))) {
      const why = wire.isOver
        ? `the connection was closed before the END_REQUEST of request ${id}`
        : `no END_REQUEST for request ${id} within ${this.deadlineMs} ms`;
      throw new Broken(why, [...wire.evidence(), `(${why})`]);
    }
    this.#slowestMs = Math.max(this.#slowestMs, performance.now() - begun);
    return exchange;
  }

  /** Waits for an answer that has been asked for. @throws {Broken} when there is none, or it is a refusal */
  async answer(wire: Wire, id = 1): Promise<Answer> {
    const exchange = await this.end(wire, id);
    const status = exchange.end!.protocolStatus;
    if (status !== ProtocolStatus.RequestComplete) {
      throw new Broken(`request ${id} was refused with protocolStatus ${status}`, wire.evidence());
    }
    return answerOf(exchange);
  }

  /** One request on a connection of its own. */
  async ask(ask: Ask, wire?: Wire): Promise<Answer> {
    const own = wire ?? (await this.open());
    own.send(this.bytes(ask));
    const answer = await this.answer(own, ask.id ?? 1);
    if (wire === undefined) {
      own.destroy();
      this.#wires.delete(own);
    }
    return answer;
  }

  /** The answer to the same request in the plainest form. Asked for once. */
  async plain({ method, query, body, data, extra, role }: Ask): Promise<Answer> {
    const key = JSON.stringify([
      method,
      query,
      body?.toString("base64"),
      data?.toString("base64"),
      extra,
      role,
    ]);
    const known = this.#plain.get(key);
    if (known !== undefined) return known;
    const ask: Ask = {
      ...(method === undefined ? {} : { method }),
      ...(query === undefined ? {} : { query }),
      ...(body === undefined ? {} : { body }),
      ...(data === undefined ? {} : { data }),
      ...(extra === undefined ? {} : { extra }),
      ...(role === undefined ? {} : { role }),
    };
    const answer = await this.ask(ask);
    this.#plain.set(key, answer);
    return answer;
  }

  /** A request in another form has to give the answer of the plain one. @throws {Broken} */
  async same(ask: Ask, deliver?: (wire: Wire, bytes: Buffer) => Promise<void>): Promise<void> {
    const wanted = await this.plain(ask);
    const wire = await this.open();
    if (deliver === undefined) wire.send(this.bytes(ask));
    else await deliver(wire, this.bytes(ask));
    await this.sameOn(wire, ask, wanted);
    wire.destroy();
    this.#wires.delete(wire);
  }

  /** The same for a request that is under way on a connection. */
  async sameOn(wire: Wire, ask: Ask, wanted: Answer): Promise<void> {
    const got = await this.answer(wire, ask.id ?? 1);
    const isComparable = ask.body === undefined ? this.facts.isStable : this.facts.showsBody;
    // What shows its parameters may show them in their order.
    const sight = isComparable ? (ask.arrange === undefined ? "bytes" : "orderless") : "status";
    const difference = differenceOf(got, wanted, sight);
    if (difference !== undefined) throw new Broken(difference, wire.evidence());
  }

  /** Waits a while: whether `condition` came about. */
  within(wire: Wire, condition: () => boolean): Promise<boolean> {
    return wire.until(condition, this.patienceMs);
  }

  #pairs({ method, query = "probe=1", body }: Ask, extra: readonly Pair[]): Pair[] {
    const { path, uploadPath, scriptFilename, params } = this.options;
    const url = body === undefined ? path : (uploadPath ?? path);
    const target = `${url}?${query}`;
    const pairs: [string, string][] = [
      ["GATEWAY_INTERFACE", "CGI/1.1"],
      ["SERVER_SOFTWARE", "postern-conform"],
      ["SERVER_PROTOCOL", "HTTP/1.1"],
      ["REQUEST_METHOD", method ?? (body === undefined ? "GET" : "POST")],
      ["REQUEST_URI", target],
      ["DOCUMENT_URI", url],
      ["SCRIPT_NAME", scriptFilename === undefined ? "" : url],
      ...(scriptFilename === undefined
        ? [["PATH_INFO", url] as [string, string]]
        : [["SCRIPT_FILENAME", scriptFilename] as [string, string]]),
      ["QUERY_STRING", query],
      ["SERVER_NAME", "localhost"],
      ["SERVER_ADDR", "127.0.0.1"],
      ["SERVER_PORT", "80"],
      ["REMOTE_ADDR", "127.0.0.1"],
      ["REMOTE_PORT", "50000"],
      ["HTTP_HOST", "localhost"],
      ["REDIRECT_STATUS", "200"],
    ];
    if (body !== undefined) {
      pairs.push(["CONTENT_TYPE", "application/octet-stream"], ["CONTENT_LENGTH", `${body.length}`]);
    }
    const forAuthorizer = this.options.role === Role.Authorizer;
    const kept = forAuthorizer ? pairs.filter(([name]) => !NOT_FOR_AUTHORIZERS.has(name)) : pairs;
    const replaced = new Set([...params, ...extra].map(([name]) => name));
    return [...kept.filter(([name]) => !replaced.has(name)), ...params, ...extra];
  }
}

/** FastCGI 1.0 §6.3. */
const NOT_FOR_AUTHORIZERS: ReadonlySet<string> = new Set([
  "CONTENT_LENGTH",
  "PATH_INFO",
  "PATH_TRANSLATED",
  "SCRIPT_NAME",
]);
const NOTHING: Buffer = Buffer.alloc(0);

function same(pairs: readonly Pair[]): readonly Pair[] {
  return pairs;
}
