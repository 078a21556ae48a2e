/**
 * Sites of every shape, ordinary and hostile, as data: what every generator is given, by unit tests with folders that
 * do not exist and by end-to-end tests with some that do.
 */
import fc from "fast-check";
import type { Expected, Site, WebServerName } from "../../src/sites/index.ts";

/** Where the files of the sites are. */
export interface TablePlaces {
  /** A folder; everything that a site names is below it. */
  readonly folder: string;
  /** PEM files, which servers read when they check. */
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string;
}

export interface TableSite {
  readonly title: string;
  readonly site: Site;
  /** Servers that cannot do it, and say so in one sentence. */
  readonly refusedBy: readonly WebServerName[] | "any";
  /** Looked at also where not everything is tested. */
  readonly isBasic: boolean;
}

/** Words that end a string, a line or a block, begin a variable or a comment, in one language or another. */
export const HOSTILE_NAMES: readonly string[] = [
  "a b",
  "it's",
  'say "hi"',
  "x;}",
  "$(id)",
  "$" + "{x}",
  "#tag",
  "back\\slash",
  "back\\",
  "%{ENV:x}",
  "100%",
  "{block}",
  "<tag>",
  "`id`",
  "a=b",
  "café",
  "[x]*?",
  "&amp;",
  "~user",
  "a|b",
  "a,b",
  "a:b",
  "@at",
  "!no",
];

/** The same of URL paths, which hold no space, `?` or `#`. */
const HOSTILE_URLS = HOSTILE_NAMES.filter((name) => !/[\s?#]/.test(name));

const COMMON = {
  name: "yourapplication",
  serverNames: ["example.com"],
  listen: { host: "127.0.0.1", port: 8099 },
  mount: "",
  apacheModule: "proxy_fcgi",
  publicFolder: undefined,
  statics: [],
  maxBodyBytes: 104_857_600,
  timeoutSeconds: 60,
  isKeptAlive: true,
  isMultiplexed: false,
  isStreaming: false,
  tls: undefined,
  passwords: undefined,
  sendFile: [],
  webSocket: undefined,
} as const satisfies Partial<Site>;

/** A plain site with the application at a unix socket. */
export function plainSite(folder: string, more: Partial<Site> = {}): Site {
  return {
    ...COMMON,
    application: { kind: "external", addresses: [{ kind: "unix", path: `${folder}/app.sock` }] },
    standalone: { folder, user: undefined, group: undefined, modules: undefined },
    ...more,
  };
}

/** What a configuration made for a site is compared with. */
export function expectedFor(site: Site): Expected {
  return {
    addresses: site.application.kind === "external" ? site.application.addresses : undefined,
    mount: site.mount,
    maxBodyBytes: site.maxBodyBytes,
    sendFile: site.sendFile,
    timeoutSeconds: site.timeoutSeconds,
  };
}

export function tableOf({ folder, certificate, key, clientCa }: TablePlaces): TableSite[] {
  const one = (
    title: string,
    more: Partial<Site>,
    refusedBy: TableSite["refusedBy"] = [],
    isBasic = false,
  ): TableSite => ({ title, site: plainSite(folder, more), refusedBy, isBasic });
  const tcp = { kind: "tcp", host: "127.0.0.1", port: 9000 } as const;
  const tls = { certificate, key, clientCa: undefined };
  return [
    one("at the root, unix", {}, [], true),
    one("at the root, TCP", { application: { kind: "external", addresses: [tcp] } }),
    one("TCP over IPv6", {
      application: { kind: "external", addresses: [{ kind: "tcp", host: "::1", port: 9000 }] },
    }),
    one("below a path", { mount: "/yourapplication" }, [], true),
    one("below two names", { mount: "/a/b.c" }),
    one(
      "several backends",
      {
        application: { kind: "external", addresses: [tcp, { ...tcp, port: 9001 }] },
      },
      ["h2o"],
    ),
    one(
      "several backends below a path, a connection for each request",
      {
        mount: "/app",
        isKeptAlive: false,
        application: { kind: "external", addresses: [tcp, { ...tcp, port: 9001 }] },
      },
      ["h2o"],
    ),
    one("streaming", { isStreaming: true }),
    one("multiplexing", { isMultiplexed: true }),
    one("no body limit, long time-out", { maxBodyBytes: 0, timeoutSeconds: 3600 }),
    one("a small body limit", { maxBodyBytes: 1000 }),
    one(
      "files",
      {
        publicFolder: `${folder}/public`,
        statics: [{ url: "/static/", folder: `${folder}/public/static` }],
      },
      [],
      true,
    ),
    one("files below a path", {
      mount: "/app",
      publicFolder: `${folder}/public`,
      statics: [{ url: "/app/assets/", folder: `${folder}/public/static` }],
    }),
    one("TLS", { tls }, [], true),
    one("TLS with client certificates", { tls: { ...tls, clientCa } }, ["h2o"]),
    one("passwords", { passwords: `${folder}/passwords` }, "any", true),
    one("passwords below a path", { passwords: `${folder}/passwords`, mount: "/app" }, "any"),
    one(
      "files sent for the application",
      {
        sendFile: [{ folder: `${folder}/public`, url: "/protected/" }],
      },
      "any",
    ),
    one(
      "WebSocket by HTTP below a path",
      {
        webSocket: { url: "/ws", address: { kind: "tcp", host: "127.0.0.1", port: 9002 } },
      },
      "any",
      true,
    ),
    one(
      "WebSocket by HTTP anywhere",
      {
        webSocket: { url: "", address: { kind: "tcp", host: "127.0.0.1", port: 9002 } },
      },
      "any",
    ),
    one(
      "WebSocket by HTTP anywhere below the mount",
      {
        mount: "/app",
        webSocket: { url: "/app", address: { kind: "unix", path: `${folder}/ws.sock` } },
      },
      "any",
    ),
    one("WebSocket inside FastCGI", { webSocket: { url: "", address: undefined } }, "any"),
    one("several names, one of them long", {
      serverNames: [
        "example.com",
        "www.example.com",
        "*.example.org",
        `${"long-".repeat(11)}name.example.org`,
      ],
    }),
    one(
      "spawned",
      {
        application: {
          kind: "spawned",
          program: `${folder}/app.fcgi`,
          processes: 2,
          isDynamic: false,
          socket: `${folder}/spawned.sock`,
          environment: { NODE_ENV: "production", TEXT: "a b'c\"d$e\\f;g" },
        },
        apacheModule: "fcgid",
      },
      ["nginx", "caddy", "haproxy"],
    ),
    one(
      "everything",
      {
        mount: "/app",
        publicFolder: `${folder}/public`,
        statics: [{ url: "/static/", folder: `${folder}/public/static` }],
        tls: { ...tls, clientCa },
        passwords: `${folder}/passwords`,
        isStreaming: true,
        webSocket: { url: "/app/ws", address: { kind: "tcp", host: "127.0.0.1", port: 9002 } },
      },
      "any",
    ),
    ...HOSTILE_NAMES.map((name) =>
      one(
        `folders called ${name}`,
        {
          application: { kind: "external", addresses: [{ kind: "unix", path: `${folder}/${name}/a.sock` }] },
          publicFolder: `${folder}/${name}`,
          statics: [{ url: "/static/", folder: `${folder}/${name}/static` }],
          passwords: `${folder}/private/${name}/passwords`,
        },
        "any",
        name === "x;}" || name === "$(id)" || name === 'say "hi"',
      ),
    ),
    ...HOSTILE_URLS.map((name) =>
      one(
        `below /${name}`,
        {
          mount: `/${name}`,
          publicFolder: `${folder}/public`,
          statics: [{ url: `/${name}s/`, folder: `${folder}/public/static` }],
        },
        "any",
        name === "x;}" || name === "[x]*?",
      ),
    ),
  ];
}

const hostileText = fc
  .array(
    fc.oneof(
      fc.constantFrom(...HOSTILE_NAMES),
      fc.constantFrom(..." \"'`$(){}[];#\\%&|<>*?!~^@=,:+-."),
      fc.string({ unit: "binary", minLength: 1, maxLength: 4 }),
      fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 6 }),
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((pieces) => pieces.join(""));

/** Names of files with everything in them but `/`. */
export const hostileName: fc.Arbitrary<string> = hostileText
  // A lone half of a surrogate pair is no text that a file can hold.
  .map((text) => text.replaceAll("/", "").replace(/\p{Surrogate}/gu, ""))
  .filter((text) => text !== "" && text !== "." && text !== "..");

/** Sites whose every text is made to break out; some are to be refused. */
export function hostileSite(folder: string): fc.Arbitrary<Site> {
  const url = hostileName.map((name) => `/${name.replace(/[\s?#]/g, "_")}`);
  return fc
    .record({
      place: hostileName,
      socket: hostileName,
      mount: fc.oneof(fc.constant(""), url),
      statics: fc.option(url, { nil: undefined }),
      hasPasswords: fc.boolean(),
      isStreaming: fc.boolean(),
      isKeptAlive: fc.boolean(),
    })
    .map(({ place, socket, mount, statics, hasPasswords, isStreaming, isKeptAlive }) =>
      plainSite(folder, {
        application: { kind: "external", addresses: [{ kind: "unix", path: `${folder}/${socket}` }] },
        mount,
        publicFolder: `${folder}/${place}`,
        statics: statics === undefined ? [] : [{ url: `${statics}/`, folder: `${folder}/${place}/s` }],
        passwords: hasPasswords ? `${folder}/private/${place}/passwords` : undefined,
        isStreaming,
        isKeptAlive,
      }),
    );
}
