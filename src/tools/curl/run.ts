/** The whole of `postern curl`: the request, its redirects, what is printed, and the exit code. */

import { UnansweredError } from "../../client/call.ts";
import type { ClientResponse, RequestEnd } from "../../client/response.ts";
import { printable } from "../../status/text.ts";
import { printableBytes, protocolStatusName } from "../record-text.ts";
import { speaksTls } from "../speaks-tls.ts";
import { fileBody } from "./body.ts";
import { CurlExit, CurlFailure, failureOf } from "./exit.ts";
import type { CurlOptions } from "./options.ts";
import { type CurlIo, headText, Sink, StderrLines } from "./output.ts";
import { droppedHeaders, firstStep, paramsOf, type Step } from "./request.ts";
import { transfer } from "./transfer.ts";
import { type CurlUrl, isSameHost, printUrl, resolveUrl } from "./url.ts";
import { Watch } from "./watch.ts";
import { formatOf, type TransferFacts, writeOut } from "./write-out.ts";

/** Runs it. @returns the exit code */
export async function runCurl(options: CurlOptions, io: CurlIo): Promise<number> {
  return new Run(options, io).run();
}

class Run {
  readonly #options: CurlOptions;
  readonly #io: CurlIo;
  readonly #startedAt = performance.now();
  #watch: Watch | undefined = undefined;
  #sink: Sink | undefined = undefined;
  #headSink: Sink | undefined = undefined;
  #file: string | undefined = undefined;
  #isFirstPiece = true;
  // For -w, of the last answer.
  #step: Step | undefined = undefined;
  #response: ClientResponse | undefined = undefined;
  #end: RequestEnd | undefined = undefined;
  #redirects = 0;
  #headBytes = 0;
  #stderrBytes = 0;
  #downloaded = 0;
  #uploaded = 0;

  constructor(options: CurlOptions, io: CurlIo) {
    this.#options = options;
    this.#io = io;
  }

  async run(): Promise<number> {
    const { silent, showError, maxTimeMs } = this.#options;
    const controller = new AbortController();
    const onSignal = (): void =>
      controller.abort(
        new CurlFailure(CurlExit.Interrupted, "interrupted; the application was told to give the request up"),
      );
    this.#io.signal.addEventListener("abort", onSignal);
    const timer =
      maxTimeMs > 0 ? setTimeout(() => controller.abort(this.#late(maxTimeMs)), maxTimeMs) : undefined;
    let failure: CurlFailure | undefined;
    try {
      failure = await this.#follow(controller.signal);
      await this.#close();
    } catch (error) {
      const progress = {
        stdoutBytes: this.#watch?.stdoutBytes ?? 0,
        hasHead: this.#response !== undefined,
      };
      failure = failureOf(controller.signal.aborted ? controller.signal.reason : error, progress);
      if (failure === undefined) throw error;
      // Not but when it hung up without a word: many TLS servers do.
      if (error instanceof UnansweredError && (await speaksTls(this.#options.connect))) {
        const message = `${this.#options.connect} does not speak FastCGI but TLS: connect to the FastCGI port of the application`;
        failure = new CurlFailure(CurlExit.WeirdReply, message, { cause: error });
      }
      await this.#close().catch(() => {});
    } finally {
      clearTimeout(timer);
      this.#io.signal.removeEventListener("abort", onSignal);
    }
    if (failure !== undefined && (!silent || showError))
      this.#io.say(`postern: ${printable(failure.message)}`);
    const exitCode = failure?.exitCode ?? CurlExit.Ok;
    return (await this.#writeOut(exitCode, failure?.message)) ?? exitCode;
  }

  /** One request after the other while -L is told where to go. */
  async #follow(signal: AbortSignal): Promise<CurlFailure | undefined> {
    const options = this.#options;
    this.#step = await firstStep(options, this.#io.stdin);
    for (const name of droppedHeaders(options))
      this.#note(
        `${name} is not passed on, as web servers do with such names of header fields (--param sends any name)`,
      );
    for (;;) {
      const step = this.#step;
      const params = paramsOf(options, step);
      if (options.dryRun) {
        await this.#print(params, step);
        return undefined;
      }
      if (options.verbose) for (const [name, value] of params) this.#verbose(">", `${name}=${value}`);
      const next = await this.#request(step, params, signal);
      if (next === undefined) return this.#judge();
      this.#redirects++;
      if (this.#redirects > options.maxRedirects)
        throw new CurlFailure(
          CurlExit.TooManyRedirects,
          `more than ${options.maxRedirects} redirects (--max-redirs)`,
        );
      this.#step = next;
    }
  }

  /** @returns the next step, when the answer is a redirect that is followed */
  async #request(
    step: Step,
    params: readonly (readonly [string, string])[],
    signal: AbortSignal,
  ): Promise<Step | undefined> {
    const options = this.#options;
    const { say, width } = this.#io;
    const watch = new Watch({
      trace: options.trace || options.traceHex,
      hex: options.traceHex,
      width,
      print: say,
    });
    this.#watch = watch;
    this.#response = undefined;
    this.#end = undefined;
    const stderr = new StderrLines(say);
    const uploads = { bytes: 0 };
    let next: Step | undefined;
    try {
      this.#end = await transfer(
        options,
        {
          params,
          stdin: step.body === undefined ? undefined : counted(step.body.open(), uploads),
          data: options.dataStream === undefined ? undefined : fileBody(options.dataStream).open(),
        },
        watch,
        signal,
        {
          onStderr: (chunk) => stderr.push(chunk),
          onInterim: (status, headers) => void this.#head(status, "", headers),
          onHead: async (response) => {
            this.#response = response;
            next = this.#next(step, response);
            await this.#head(response.status, response.statusText, response.headers);
            if (next !== undefined || (options.fail && !options.failWithBody && response.status >= 400))
              return undefined;
            return (piece) => this.#body(piece);
          },
        },
      );
    } finally {
      stderr.end();
      this.#uploaded += uploads.bytes;
      this.#stderrBytes += watch.stderrBytes;
    }
    if (options.verbose) {
      const { appStatus, protocolStatus } = this.#end;
      this.#verbose("*", `ended with app status ${appStatus}, ${protocolStatusName(protocolStatus)}`);
    }
    return next;
  }

  /** What is wrong with an answer that has come whole. */
  #judge(): CurlFailure | undefined {
    const { fail, failWithBody } = this.#options;
    const status = this.#response?.status ?? 0;
    if ((fail || failWithBody) && status >= 400)
      return new CurlFailure(CurlExit.HttpError, `the application answered with status ${status}`);
    const { appStatus, protocolStatus } = this.#end!;
    if (protocolStatus !== 0)
      return new CurlFailure(CurlExit.Refused, `the answer ended with ${protocolStatusName(protocolStatus)}`);
    if (appStatus === 0) return undefined;
    const message = `the answer ended with app status ${appStatus}, which means failure: look at what the application wrote on stderr, and at its log`;
    return new CurlFailure(CurlExit.AppStatus, message);
  }

  #next(step: Step, response: ClientResponse): Step | undefined {
    const { follow, method } = this.#options;
    const local = response.localRedirect;
    const location = local ?? response.header("location");
    if (
      location === undefined ||
      (local === undefined && ![301, 302, 303, 307, 308].includes(response.status))
    )
      return undefined;
    if (!follow) {
      if (local !== undefined)
        this.#note(
          `a web server would answer with what the application says to ${printableBytes(Buffer.from(local, "latin1"))} (a local redirect): -L follows it`,
        );
      return undefined;
    }
    const url = this.#resolved(step.url, location);
    if (url === undefined) return undefined;
    // RFC 3875 §6.2.2: the web server asks again with GET. Of the others, what browsers and curl do.
    const isGet =
      local !== undefined ||
      (response.status === 303 && step.method !== "HEAD") ||
      (response.status <= 302 && step.method === "POST");
    if (isGet) return { url, method: local === undefined ? (method ?? "GET") : "GET", body: undefined };
    if (step.body?.isReplayable === false)
      throw new CurlFailure(
        CurlExit.Rewind,
        "the redirect asks for the body again, and standard input cannot be read twice; send a file",
      );
    return { ...step, url };
  }

  #resolved(base: CurlUrl, location: string): CurlUrl | undefined {
    let url: CurlUrl;
    try {
      url = resolveUrl(base, location);
    } catch (error) {
      if (!(error instanceof CurlFailure)) throw error;
      this.#note(`not followed: ${error.message}`);
      return undefined;
    }
    if (isSameHost(base, url)) return url;
    this.#note(
      `not followed: ${printUrl(url)} is another host, and this application was asked for ${base.authority}`,
    );
    return undefined;
  }

  // Output

  async #head(status: number, reason: string, headers: readonly string[]): Promise<void> {
    const { withHead, dumpHeader, verbose } = this.#options;
    const text = headText(status, reason, headers);
    this.#headBytes += text.length;
    if (verbose) for (const line of text.trimEnd().split("\r\n")) this.#verbose("<", line);
    const bytes = Buffer.from(text, "latin1");
    if (dumpHeader !== undefined) {
      this.#headSink ??= new Sink(this.#io.stdout, dumpHeader === "-" ? undefined : dumpHeader);
      await this.#headSink.write(bytes);
    }
    if (withHead) await this.#open().write(bytes);
  }

  async #body(piece: Buffer): Promise<void> {
    const sink = this.#open();
    const { output, remoteName } = this.#options;
    if (
      this.#isFirstPiece &&
      this.#io.stdout.isTTY === true &&
      output === undefined &&
      !remoteName &&
      piece.includes(0)
    ) {
      throw new CurlFailure(
        CurlExit.Write,
        "the body is binary and could mess up this terminal; use -o FILE, or -o - to have it all the same",
      );
    }
    this.#isFirstPiece = false;
    this.#downloaded += piece.length;
    await sink.write(piece);
  }

  #open(): Sink {
    if (this.#sink !== undefined) return this.#sink;
    const { output, remoteName } = this.#options;
    let file = output === "-" ? undefined : output;
    if (remoteName && output === undefined) {
      const [path = ""] = this.#step!.url.uri.split("?", 1);
      file = Buffer.from(path.slice(path.lastIndexOf("/") + 1), "latin1").toString("utf8");
      if (file === "" || file === "." || file === "..")
        throw new CurlFailure(
          CurlExit.Write,
          "-O takes the file name from the URL, which has none; use -o FILE",
        );
    }
    this.#file = file;
    this.#sink = new Sink(this.#io.stdout, file);
    return this.#sink;
  }

  async #close(): Promise<void> {
    const { output, remoteName, dryRun } = this.#options;
    // As curl: an empty body makes an empty file.
    const isWanted = (output !== undefined || remoteName) && this.#response !== undefined && !dryRun;
    const isRefused = this.#options.fail && (this.#response?.status ?? 0) >= 400;
    if (isWanted && !isRefused) this.#open();
    await this.#sink?.end();
    await this.#headSink?.end();
  }

  async #print(params: readonly (readonly [string, string])[], step: Step): Promise<void> {
    const lines = params.map((pair) =>
      pair.map((text) => printableBytes(Buffer.from(text, "latin1"))).join("="),
    );
    const sink = new Sink(this.#io.stdout, undefined);
    await sink.write(Buffer.from(`${lines.join("\n")}\n`));
    await sink.end();
    const body = step.body === undefined ? "no body" : `a body of ${step.body.length ?? "unknown"} bytes`;
    this.#note(`nothing was sent: ${this.#options.role}, ${params.length} parameters, ${body}`);
  }

  async #writeOut(exitcode: number, errormsg: string | undefined): Promise<number | undefined> {
    const { writeOut: format, connect: _connect } = this.#options;
    if (format === undefined) return undefined;
    const since = (at: number | undefined): number => (at ? (at - this.#startedAt) / 1000 : 0);
    const url = this.#step === undefined ? this.#options.url : printUrl(this.#step.url);
    const redirect = this.#response?.header("location");
    const facts: TransferFacts = {
      http_code: this.#response?.status ?? 0,
      app_status: this.#end?.appStatus,
      protocol_status: this.#end === undefined ? undefined : protocolStatusName(this.#end.protocolStatus),
      content_type: this.#response?.header("content-type"),
      method: this.#step?.method ?? "",
      num_redirects: this.#redirects,
      redirect_url:
        redirect === undefined || this.#step === undefined ? undefined : urlText(this.#step.url, redirect),
      size_download: this.#downloaded,
      size_header: this.#headBytes,
      size_stderr: this.#stderrBytes,
      size_upload: this.#uploaded,
      time_connect: since(this.#watch?.connectedAt),
      time_starttransfer: since(this.#watch?.answeredAt),
      time_total: (performance.now() - this.#startedAt) / 1000,
      url: this.#options.url,
      url_effective: url,
      filename_effective: this.#file,
      exitcode,
      errormsg,
      headers: this.#response?.headers ?? [],
    };
    try {
      const texts = writeOut(await formatOf(format, this.#io.stdin), facts);
      const sink = new Sink(this.#io.stdout, undefined);
      await sink.write(Buffer.from(texts.stdout));
      await sink.end();
      if (texts.stderr !== "") this.#io.say(texts.stderr.replace(/\n$/, ""));
      return undefined;
    } catch (error) {
      this.#io.say(`postern: -w: ${printable((error as Error).message)}`);
      return exitcode === 0 ? (error instanceof CurlFailure ? error.exitCode : CurlExit.Read) : undefined;
    }
  }

  #note(text: string): void {
    const { silent } = this.#options;
    if (!silent) this.#io.say(`postern: ${printable(text)}`);
  }

  /** @param text latin1 */
  #verbose(mark: string, text: string): void {
    this.#io.say(`${mark} ${printableBytes(Buffer.from(text, "latin1"))}`);
  }

  #late(maxTimeMs: number): CurlFailure {
    const where =
      (this.#watch?.connectedAt ?? 0) === 0
        ? "there was no connection yet"
        : this.#response === undefined
          ? "the application took the connection and has not answered: it is busy, it waits for something, or it is none of FastCGI's"
          : `${this.#downloaded} bytes of the body had come`;
    return new CurlFailure(CurlExit.Timeout, `the ${maxTimeMs / 1000} s of --max-time are over; ${where}`);
  }
}

function urlText(base: CurlUrl, location: string): string {
  try {
    return printUrl(resolveUrl(base, location));
  } catch {
    return location;
  }
}

/** Counts what is read of an input. */
function counted(
  input: ReturnType<NonNullable<Step["body"]>["open"]>,
  count: { bytes: number },
): typeof input {
  if (typeof input === "string" || input instanceof Uint8Array) {
    count.bytes = Buffer.byteLength(input);
    return input;
  }
  const source = input as AsyncIterable<Uint8Array>;
  return (async function* () {
    for await (const piece of source) {
      count.bytes += piece.length;
      yield piece;
    }
  })();
}
