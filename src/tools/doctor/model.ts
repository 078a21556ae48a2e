/**
 * The words of the doctor: what it knows (facts), what it asks (checks), and what it says (findings). Facts are
 * gathered once and changed by nobody; a check looks at them and at the machine, and never mends anything itself.
 */
import type { Address } from "../../base/address.ts";
import type { WebServerName } from "../../sites/model.ts";
import type { SaidSite } from "../../sites/reading-model.ts";

/** `bad`: this breaks the deployment. `doubtful`: it may, or it will one day. `unknown`: could not be found out. */
export type Verdict = "good" | "doubtful" | "bad" | "unknown";

/** A user of this machine, and every group of theirs; the first is the primary one. */
export interface Identity {
  readonly name: string;
  readonly uid: number;
  readonly gids: readonly number[];
}

/** What the doctor was asked for. Every path is absolute. */
export interface DoctorOptions {
  /** The application as it was given: may be relative, to {@link DoctorOptions.cwd}. */
  readonly application?: string;
  readonly server?: WebServerName;
  readonly configFile?: string;
  readonly connect?: Address;
  readonly url?: URL;
  readonly user?: string;
  readonly log?: string;
  /** The folder that a service starts the application in. */
  readonly folder?: string;
  /** Postern's own settings. */
  readonly config?: string;
  readonly cwd: string;
  /** Of the whole examination, ms. */
  readonly deadlineMs: number;
  /** Whether applications are started; undefined: one that was named is, one that stands in a configuration is not. */
  readonly run?: boolean;
  /** The command line that starts Postern: `node`, and the file of its command. */
  readonly postern: readonly string[];
  /** Of the shell that asks. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** One step that mends. The first two can be applied literally; the last needs a person. */
export type Remedy =
  /** A line for a POSIX shell, quoted; `as` root unless it says otherwise. */
  | { readonly run: string }
  /** In `file` (its `line`, counted from 1) replace the first `from` by `to`. */
  | { readonly file: string; readonly line?: number; readonly from: string; readonly to: string }
  | { readonly advice: string };

export interface Finding {
  /** Of the check, and of the cause found: stable words for machines, as `socket.no-permission`. */
  readonly id: string;
  readonly verdict: Verdict;
  /** What is wrong, one sentence without its full stop. */
  readonly says: string;
  /** What was seen: lines of files with their places, permissions, answers. Text of strangers made safe. */
  readonly evidence: readonly string[];
  /** In the order they are to be done. Empty only for `good` and `unknown`. */
  readonly remedy: readonly Remedy[];
  /** The id of the finding that this one comes of: mended with it. Set by the doctor, not by checks. */
  readonly follows?: string;
}

/** How one backend of a web server's configuration is reached or started. */
export interface BackendFact {
  /** Where it connects to. Absent: the web server starts a program and hands it a socket. */
  readonly address?: Address;
  /** The program it starts. */
  readonly program?: string;
  /** Where the configuration says it: `file:line`. */
  readonly place: string;
  /** Seconds the web server waits for an answer. */
  readonly timeout?: number;
  /** Bytes of a request's body that it lets through. */
  readonly bodyLimit?: number;
  /** The whole environment that its program gets. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The URL path that it is for, as far as the configuration says one. */
  readonly path?: string;
  /** The regular expression of URL paths that it is for, in place of a path. */
  readonly pattern?: string;
  /** The first and the last line of its place, in the text of the configuration. */
  readonly block?: readonly [from: number, to: number];
  /** The site that it belongs to, as far as the configuration says. */
  readonly site?: SaidSite;
}

/** A line of a configuration's text, where it stands on the disk. */
export interface SourceLine {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** Where a web server listens by its configuration. */
export interface ListenFact {
  /** Empty: every address. */
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  /** Host names. */
  readonly names: readonly string[];
  /** `file:line`. */
  readonly place: string;
}

/** The process of a web server that the others of it come from. */
export interface MasterFact {
  readonly pid: number;
  readonly command: readonly string[];
  /** When it began, ms since 1970. */
  readonly startedAt: number;
  /** When it last read its configuration, as far as its workers tell; undefined: it may have, and nothing shows it. */
  readonly loadedAt: number | undefined;
}

/** One web server on this machine, or one configuration that was named. */
export interface WebServerFact {
  readonly server: WebServerName;
  readonly version?: string;
  /** The program's file. */
  readonly binary?: string;
  /** The main file of its configuration, and every file it includes. */
  readonly files: readonly string[];
  /** The whole configuration as one text, as `checkConfiguration` of sites wants it. */
  readonly text?: string;
  readonly running: boolean;
  /** Of its workers: who connects to sockets and enters folders. Absent: not found out. */
  readonly user?: Identity;
  /** The environment its children get, when it was found: of the running process, or of its service file. */
  readonly environment?: Readonly<Record<string, string>>;
  /** systemd PrivateTmp and its like: folders that this server sees differently. */
  readonly hidden: readonly string[];
  readonly errorLogs: readonly string[];
  readonly backends: readonly BackendFact[];
  /** Those that the question is not about, see concerned.ts. */
  readonly others?: readonly BackendFact[];
  /** A line for a shell by which it reads its configuration again. */
  readonly reload?: string;
  /** A line for a shell that ends it and starts it anew, for what a reload does not change. */
  readonly restart?: string;
  /** For each line of {@link WebServerFact.text}, where it stands. */
  readonly lines?: readonly SourceLine[];
  /** Why there is no {@link WebServerFact.text}, or why nothing could be read out of it. */
  readonly problem?: string;
  readonly listens?: readonly ListenFact[];
  /** The folder that it lives in: paths of sockets begin there. */
  readonly chroot?: string;
  readonly master?: MasterFact;
  /** Its `.htaccess` files. */
  readonly htaccess?: readonly { readonly file: string; readonly text: string }[];
  /** The command by which it checks its configuration. */
  readonly check?: readonly string[];
  /** The unit of systemd that it belongs to. */
  readonly unit?: string;
}

/** The program that is to answer. */
export interface ApplicationFact {
  /** As it was given: `app.js`, `app.fcgi`. */
  readonly file: string;
  /** The folder that a service starts it in. */
  readonly folder: string;
  /** Where it listens by its settings; of a spawned program none. */
  readonly listens: readonly Address[];
  /** The full path of its file. */
  readonly path?: string;
  /** Of an application in Python: how postern serve is told of it, such as `/srv/shop/shop:app`. */
  readonly python?: string;
  /** Who runs it: a web server's user when that spawns it, else its settings' or that of its process. */
  readonly user?: Identity;
  /** Where a web server's configuration spawns it: `file:line`. */
  readonly spawnedAt?: string;
  /** The URL path that its settings put it at: `--base`. */
  readonly base?: string;
  /** Seconds that its settings give a request; none: as long as it takes. */
  readonly timeoutSeconds?: number;
  /** Its processes that run now. */
  readonly processes?: readonly ProcessFact[];
}

/** A running process, and where it listens. */
export interface ProcessFact {
  readonly pid: number;
  readonly command: string;
  readonly uid: number;
  readonly listens: readonly Address[];
}

/** How the doctor may start the application by itself: with a listening socket as descriptor 0. */
export interface TrialFact {
  readonly command: readonly string[];
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Undefined: as whoever asks. */
  readonly user?: Identity;
  /** What is to be said of user and environment: whose they are. */
  readonly notes: readonly string[];
}

export interface Facts {
  readonly application?: ApplicationFact;
  readonly webServers: readonly WebServerFact[];
  /** `--connect`: the socket that was asked about. */
  readonly connect?: Address;
  /** `--url`: the address of the site, asked through the web server. */
  readonly url?: URL;
  /** Absent: the application is not to be started, or there is none. */
  readonly trial?: TrialFact;
  /** What was found wrong while the facts were gathered: settings that cannot be used. */
  readonly problems?: readonly Finding[];
  readonly options?: DoctorOptions;
}

/** One question of the doctor. */
export interface Check {
  /** `socket.permission`. Its findings have ids of their own, which begin with the same stage. */
  readonly id: string;
  /** As a person would ask: "May the web server's user open the socket?" */
  readonly question: string;
  /** Nothing when the facts give it nothing to look at. */
  examine(facts: Facts, signal: AbortSignal): Promise<readonly Finding[]>;
}

/**
 * The order of causes: a program that cannot start explains a socket that is missing, which explains a line in a log.
 * The doctor examines in this order and prints what is `bad` in it, so the first finding is the cause.
 */
export type Stage = "program" | "socket" | "web-server" | "request" | "log";
