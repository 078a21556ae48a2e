/** What `postern curl` is told, flags already read. Texts are as typed; bytes are made of them where they are used. */

/** One of curl's data flags; several are joined in their order. */
export interface DataFlag {
  readonly kind: "data" | "raw" | "binary" | "urlencode" | "json";
  readonly text: string;
}

/** `-F` or `--form-string`. */
export interface FormFlag {
  /** Whether `@`, `<` and `;` in the value mean something. */
  readonly isLiteral: boolean;
  readonly text: string;
}

export interface CurlOptions {
  /** URL or path. */
  readonly url: string;
  /** Where the application listens. */
  readonly connect: string;
  readonly role: "responder" | "authorizer" | "filter";
  readonly method?: string;
  readonly headers: readonly string[];
  readonly data: readonly DataFlag[];
  readonly form: readonly FormFlag[];
  /** `-T`. */
  readonly upload?: string;
  /** `-G`: data goes into the URL. */
  readonly isGet: boolean;
  /** `-I`. */
  readonly isHead: boolean;
  readonly user?: string;
  readonly userAgent?: string;
  readonly referer?: string;
  readonly cookies: readonly string[];
  readonly range?: string;
  readonly isCompressed: boolean;
  readonly requestTarget?: string;
  readonly isPathAsIs: boolean;
  readonly follow: boolean;
  readonly maxRedirects: number;
  // The answer.
  readonly withHead: boolean;
  readonly output?: string;
  readonly remoteName: boolean;
  readonly dumpHeader?: string;
  readonly fail: boolean;
  readonly failWithBody: boolean;
  readonly writeOut?: string;
  // What is said besides.
  readonly verbose: boolean;
  readonly silent: boolean;
  readonly showError: boolean;
  readonly trace: boolean;
  readonly traceHex: boolean;
  readonly dryRun: boolean;
  // Time, ms; 0 is none.
  readonly maxTimeMs: number;
  readonly connectTimeoutMs: number;
  // FastCGI.
  readonly dataStream?: string;
  /** `NAME=VALUE`, in order. */
  readonly params: readonly string[];
  readonly withoutParams: readonly string[];
  readonly scriptFilename?: string;
  readonly root?: string;
  readonly index: string;
  readonly mount?: string;
  readonly remoteUser?: string;
  readonly isHttps: boolean;
  readonly clientAddress?: string;
  readonly keepAlive: boolean;
  /** SERVER_SOFTWARE and User-Agent, such as `postern/1.0`. */
  readonly software: string;
}

/** Text as the bytes it is on a command line, one latin1 character for each. */
export function latin1(text: string): string {
  return /[^\x00-\x7f]/.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
}
