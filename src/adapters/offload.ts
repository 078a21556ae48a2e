/**
 * Files that the web server sends in the application's place (the option `sendFile`). An application that pipes a file
 * into a response does not notice: the file is opened, so that one that is missing fails as ever; the first read finds
 * the end at once; the response ends, with a header that names the file instead of a body.
 *
 * When in doubt, nothing of this happens and the file is sent from here. In doubt is whatever looks at the bytes, changes
 * them, or wants other ones than the web server would send.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline, Readable, Writable } from "node:stream";
import { OutgoingMessage } from "../base/node-http.ts";
import type { Exchange } from "../server/exchange.ts";
import { findOffload, isFileStream, type OffloadedFile, type Sender } from "../server/send-file.ts";
import type { ResponseInternals } from "./http-internals.ts";

type Source = Readable & {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  readonly bytesRead: number;
};
type Response = ServerResponse & ResponseInternals & { _hasBody: boolean };

const { write: plainWrite } = OutgoingMessage.prototype;

/** The texts of the listeners by which `pipe` and `pipeline` end what is piped into. */
const enders: ReadonlySet<string> = findEnders();

/** Lets the web server that sent this request send what files its response is made of. */
export function offloadFiles(exchange: Exchange, request: IncomingMessage, response: ServerResponse): void {
  const { sendFile } = exchange.options;
  if (sendFile === undefined || request.method !== "GET") return;
  const sender = senderOf(exchange.params.get("SERVER_SOFTWARE") ?? "");
  if (sender === undefined) return;
  const folders = sender === "nginx" ? sendFile.accel : sendFile.plain;
  if (folders.length === 0) return;
  response.on("pipe", (source: unknown) => {
    if (!isFileStream(source) || source.readableDidRead) return;
    const own = source as Source;
    // Called when the file is open. From then on it is a stream of files as any other, or an empty one.
    own._read = (size) => {
      Reflect.deleteProperty(own, "_read");
      if (!canOffload(own, response as Response)) {
        own._read(size);
        return;
      }
      void findOffload(source, sender, folders).then((file) => {
        if (own.destroyed) return;
        const isSame =
          file !== undefined &&
          canOffload(own, response as Response) &&
          wantsSame(own, request, response as Response, file.sizeBytes);
        if (!isSame) {
          own._read(size);
          return;
        }
        replaceBody(response as Response, sender, file);
        own.push(null);
      });
    };
  });
}

/** A web server that does not know the header would send it on, with an empty page. */
function senderOf(software: string): Sender | undefined {
  if (software.startsWith("nginx")) return "nginx";
  if (software.startsWith("lighttpd")) return "lighttpd";
  return software.startsWith("Apache") ? "Apache" : undefined;
}

/** Whether the file, as it is on disk, and nothing else becomes the body. */
function canOffload(source: Source, response: Response): boolean {
  return (
    source.bytesRead === 0 &&
    source.readableLength === 0 &&
    source.readableFlowing === true &&
    source.readableEncoding === null &&
    source.listenerCount("data") === 1 && // the response alone
    source.listenerCount("readable") === 0 &&
    source.listeners("end").some((listener) => enders.has(String(listener))) &&
    !response._headerSent &&
    !response.writableEnded &&
    !response.destroyed &&
    response._hasBody &&
    response.writableLength === 0 &&
    response.write === plainWrite && // else somebody changes, counts or compresses what is written
    headerOf(response, "content-encoding") === "" &&
    headerOf(response, "x-accel-redirect") === "" &&
    headerOf(response, "x-sendfile") === ""
  );
}

/** Whether the web server, which knows the file and the request, would send the very bytes that the stream has. */
function wantsSame(source: Source, request: IncomingMessage, response: Response, size: number): boolean {
  const { range } = request.headers;
  const first = source.start ?? 0;
  const last = Math.min(source.end ?? Number.POSITIVE_INFINITY, size - 1);
  const isWhole = first === 0 && last === size - 1;
  if (response.statusCode === 200) {
    return isWhole && (range === undefined || headerOf(response, "accept-ranges") !== "none");
  }
  if (response.statusCode !== 206) return false;
  const isSaid = headerOf(response, "content-range") === `bytes ${first}-${last}/${size}`;
  return isSaid && isAskedFor(range, first, last, size);
}

/** Whether a Range header asks for exactly these bytes. RFC 9110 §14.1.2 */
function isAskedFor(range: string | undefined, first: number, last: number, size: number): boolean {
  const [, from, to] = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(range ?? "") ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return false;
  if (from === "") return first === Math.max(0, size - Number(to)) && last === size - 1;
  return first === Number(from) && last === (to === "" ? size - 1 : Math.min(Number(to), size - 1));
}

/** From here on it is as a response to HEAD: with a head, and without the bytes that it announces. */
function replaceBody(response: Response, sender: Sender, file: OffloadedFile): void {
  response._hasBody = false;
  if (response._header !== null) {
    response._header = withFile(response._header, sender, file);
    return;
  }
  const store = response._storeHeader;
  response._storeHeader = function storeWithFile(firstLine, headers) {
    store.call(this, firstLine, headers);
    if (this._header !== null) this._header = withFile(this._header, sender, file);
  };
}

/** Length and range are the web server's to say: it reads the Range header itself, and finds a 206 no reason to. */
function withFile(head: string, sender: Sender, { line, sizeBytes, modifiedMs }: OffloadedFile): string {
  const [status = "", ...lines] = head.slice(0, -4).split("\r\n");
  // nginx would say a second time that it accepts ranges.
  const theirs =
    sender === "nginx"
      ? /^(?:content-length:|content-range:|accept-ranges: *bytes$)/i
      : /^(?:content-length|content-range):/i;
  const kept = lines.filter((one) => !theirs.test(one));
  // mod_xsendfile gives every file the ETag "0", and takes it for unchanged for ever.
  if (sender === "Apache" && !kept.some((one) => /^etag:/i.test(one))) {
    kept.push(`ETag: "${sizeBytes.toString(16)}-${Math.trunc(modifiedMs).toString(16)}"`);
  }
  return [status.startsWith("Status: 206") ? "Status: 200 OK" : status, ...kept, line, "", ""].join("\r\n");
}

/** A header of the response in lower case, made already or not; "" when there is none. */
function headerOf(response: Response, name: string): string {
  if (response._header === null) return String(response.getHeader(name) ?? "").toLowerCase();
  const lines = response._header.toLowerCase().split("\r\n");
  return (
    lines
      .find((line) => line.startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim() ?? ""
  );
}

/**
 * Who pipes with `{ end: false }` goes on to write: then the end of the file is not that of the body. What ends a
 * response is known by what it does to another one.
 */
function findEnders(): ReadonlySet<string> {
  const found = new Set<string>();
  for (const join of [
    (from: Readable, to: Writable): unknown => from.pipe(to),
    (from: Readable, to: Writable): unknown => pipeline(from, to, () => {}),
  ]) {
    const from = new Readable({ read() {} });
    const to = new Writable();
    join(from, to);
    for (const listener of from.listeners("end")) {
      const wasEnded = to.writableEnded;
      listener.call(from);
      if (to.writableEnded && !wasEnded) found.add(String(listener));
    }
    from.on("error", () => {}).destroy();
    to.on("error", () => {}).destroy();
  }
  return found;
}
