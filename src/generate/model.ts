/**
 * What a service file is made of, and what making one gives. Texts only: nothing here knows whether a path exists.
 */

/** The kinds of services there are files for. */
export const SERVICE_KINDS = [
  "systemd",
  "supervisor",
  "sysv",
  "openrc",
  "runit",
  "screen",
  "shared-hosting",
] as const;
export type ServiceKind = (typeof SERVICE_KINDS)[number];

/** A socket that the service manager opens and hands to Postern: a `.socket` unit, or that of an `[fcgi-program:x]`. */
export interface ServiceSocket {
  /** systemd: `FileDescriptorName=`. */
  readonly name: string;
  /** As for `--bind`: `unix:/path` or `host:port`. */
  readonly address: string;
  /** Octal, such as `0660`. Of unix sockets only, as are owner and group. */
  readonly mode: string;
  readonly owner: string;
  readonly group: string;
}

/** A Python application that a web server starts: no Node runs there. */
export interface ServicePython {
  /** The interpreter. */
  readonly program: string;
  /** The application, as for `postern serve`: a file, or a folder, a module in it and a name. */
  readonly app: string;
  /** The folder of postern_wsgi.py. */
  readonly library: string;
}

/** All paths are absolute. */
export interface ServiceModel {
  /** Letters, digits, `.`, `_` and `-`: it becomes part of file names. */
  readonly name: string;
  /** One line. */
  readonly description: string;
  /** Who the manager and its workers run as. */
  readonly user: string;
  readonly group: string;
  /** The program node. */
  readonly node: string;
  /** The script of the `postern` command. */
  readonly postern: string;
  /** Of the command: `["serve", "/srv/app/app.js", "--bind", …]`. What the kind needs is added: name, control socket. */
  readonly arguments: readonly string[];
  readonly workingDirectory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** For the control socket and the pid file; systemd, sysv, openrc and runit make it, owned by the user. */
  readonly runtimeDirectory: string;
  /** For logs, where the service manager does not keep them itself. */
  readonly logDirectory: string;
  /** Shared hosting: where the web server looks for files. */
  readonly publicDirectory?: string;
  /** Shared hosting: the URL of that folder, where Apache cannot work it out by itself (Alias, UserDir). */
  readonly mount?: string;
  /** Shared hosting, of an application in Python. */
  readonly python?: ServicePython;
  /** Opened by the service manager, and then not by a `--bind` in the arguments: systemd and supervisor only. */
  readonly sockets: readonly ServiceSocket[];
  /** How long open requests have when it stops; the time until the service is killed is made longer than this. */
  readonly drainTimeoutSeconds: number;
}

export interface GeneratedFile {
  /** Where it goes. */
  readonly path: string;
  readonly mode: number;
  readonly text: string;
}

/** One thing to do by hand, as a command line. */
export interface Step {
  /** `install`, `start`, `reload`, `stop`, `status`, `log`. */
  readonly what: string;
  readonly command: string;
}

export interface GeneratedService {
  /** What all paths begin with, without a slash at the end. */
  readonly folder: string;
  readonly files: readonly GeneratedFile[];
  readonly steps: readonly Step[];
  /** Sentences for whoever asked for the files: what to mind about these values. */
  readonly notes: readonly string[];
}
