/**
 * The configuration as people write it, for editors and the compiler. The words are those of the table in settings.ts,
 * and a test compares them; what values are allowed in detail is known there.
 */

/** What the workers of a pool run: one of the two. */
export interface ProgramInput {
  /**
   * The application. JavaScript: the file that exports it. Python: `package.module:name`, or a file such
   * as `app.py`. On the command line: `postern serve FILE`. @default none
   */
  app?: string | undefined;
  /**
   * A FastCGI program in any language, with its arguments, instead of `app`. On the command line:
   * `postern spawn -- PROGRAM ARGUMENTS`. @default none
   */
  command?: readonly string[] | undefined;
}

/** Where a pool listens. */
export interface ListeningInput {
  /**
   * Where to listen for the web server: `unix:/path`, `host:port`, `unix:@abstract`, `fd:N` or
   * `systemd`. Several for an application, one for a command. @default the socket that was inherited
   */
  bind?: string | readonly string[] | undefined;
  /** Also answer HTTP there, such as `:8080`: no web server needed. @default none */
  http?: string | false | undefined;
  /**
   * Also take upgraded connections, such as WebSockets, by HTTP there, for web servers that cannot carry
   * them over FastCGI. Everything else is refused: the web server passes on what it is to. @default none
   */
  wsHttp?: string | false | undefined;
  /** With `http`: serve the files of this folder before asking the application. @default none */
  static?: string | false | undefined;
  /** Permissions of unix sockets. @default `0660` */
  listenMode?: string | number | undefined;
  /** Owner of unix sockets. @default unchanged */
  listenOwner?: string | number | undefined;
  /** Group of unix sockets, usually the web server's, such as `www-data`. @default unchanged */
  listenGroup?: string | number | undefined;
  /** Connections the kernel keeps waiting while workers are busy or starting. @default `511` */
  listenBacklog?: number | undefined;
  /**
   * Who may connect over TCP: addresses and ranges, or `any`. Whoever reaches the port can claim to be
   * any user. @default this machine alone
   */
  allowedClients?: string | readonly string[] | undefined;
  /**
   * Proxies in front of the web server whose X-Forwarded-For, -Proto, -Host and -Port count: addresses,
   * ranges, `loopback`, `private` or `unix`. @default nobody
   */
  trustProxy?: string | readonly string[] | undefined;
  /**
   * Folders whose files the web server sends in the application's place: `/var/files=/protected/` for
   * nginx with an internal location of that name, `/var/files` for lighttpd and Apache. The web server
   * must be told to. @default none
   */
  sendFile?: string | readonly string[] | undefined;
}

/** How many workers a pool has. */
export interface WorkersInput {
  /**
   * Short for `maxChildren`, and with it for a static pool of that many workers; `auto` is the number of
   * cores. @default see `maxChildren`
   */
  workers?: number | "auto" | undefined;
  /**
   * How many workers there are: always `maxChildren`, as many as the load asks for, or none until a
   * request comes. @default `static`
   */
  pm?: "static" | "dynamic" | "ondemand" | undefined;
  /**
   * Static: this many workers. Dynamic and ondemand: at most this many. @default `1`; dynamic and
   * ondemand: the number of cores, at least 2
   */
  maxChildren?: number | undefined;
  /**
   * Dynamic: workers at the start. @default halfway between `minSpareServers` and `maxSpareServers`
   */
  startServers?: number | undefined;
  /** Dynamic: with fewer idle workers than this, more are started. @default `1` */
  minSpareServers?: number | undefined;
  /**
   * Dynamic: with more idle workers than this, some are stopped. @default `3`, at most `maxChildren`, at
   * least `minSpareServers`
   */
  maxSpareServers?: number | undefined;
  /**
   * Dynamic: workers started at once, at most. The rate doubles up to this while the load grows.
   * @default `32`
   */
  maxSpawnRate?: number | undefined;
  /** Ondemand: a worker that has been idle this long is stopped. @default `10s` */
  processIdleTimeout?: number | string | undefined;
}

/** How long a worker lives. Times are seconds, or text with a unit. */
export interface LifetimeInput {
  /** A worker is replaced after about this many requests; 0 is never. @default `0` */
  maxRequests?: number | undefined;
  /** A worker whose resident memory exceeds this is replaced. @default `0` */
  maxMemory?: number | string | undefined;
  /**
   * A worker whose event loop stands still this long is stuck: its stack is logged, and it is replaced.
   * @default `30s`
   */
  maxLoopDelay?: number | string | undefined;
  /** How long a worker may take to start. Then it has failed. @default `30s` */
  readyTimeout?: number | string | undefined;
  /**
   * When stopping: go on serving this long while `pingPath` fails already, so that a balancer sends
   * nothing more. @default `0`
   */
  drainDelay?: number | string | undefined;
  /** How long a worker may finish its open requests before it is ended. @default `30s` */
  drainTimeout?: number | string | undefined;
  /**
   * Reload one worker after the other instead of starting all new ones beside the old: needs less
   * memory, and mixes old and new code meanwhile. @default `false`
   */
  phasedReload?: boolean | undefined;
  /** Touching this file reloads the pool. A relative path is in `chdir`. @default `tmp/restart.txt` */
  restartFile?: string | false | undefined;
}

/** What happens to requests. Times are seconds, or text with a unit. */
export interface RequestsInput {
  /** Requests one worker works on at once; further ones wait in it. 0 is no limit. @default `0` */
  maxConcurrency?: number | undefined;
  /** How long a request may wait because of `maxConcurrency`. Then: 503. @default `0` */
  queueTimeout?: number | string | undefined;
  /** How long one request may take. Then its worker is replaced. @default `0` */
  requestTerminateTimeout?: number | string | undefined;
  /** A request that takes longer is logged with the stack of its worker. @default `0` */
  requestSlowlogTimeout?: number | string | undefined;
  /** Lines of that stack at most. @default `20` */
  requestSlowlogTraceDepth?: number | undefined;
  /** The file in which slow requests are logged. @default the log */
  slowlog?: string | false | undefined;
  /**
   * Requests for this path are answered by Postern itself, for health checks. While the pool drains:
   * 503. @default none
   */
  pingPath?: string | false | undefined;
  /** The answer to `pingPath`. @default `pong` */
  pingResponse?: string | undefined;
  /**
   * Requests for this path are answered with the state of the pool. Let the web server restrict who may
   * see it. @default none
   */
  statusPath?: string | false | undefined;
  /**
   * Requests for this path are answered with the metrics of the pool, for Prometheus. Let the web server
   * restrict who may see it. @default none
   */
  metricsPath?: string | false | undefined;
  /** A line for each request goes to this file; `-` is standard output. @default none */
  accessLog?: string | false | undefined;
  /**
   * `common`, `combined`, `json`, or a format with php-fpm's fields such as `%R %m %r%Q%q %s %d`.
   * @default `combined`
   */
  accessLogFormat?: string | undefined;
}

/** How the mount is found, and what error pages show. */
export interface UrlsInput {
  /** The mount, such as `/app`, when the web server does not tell it. @default worked out */
  base?: string | undefined;
  /** How the mount is found: `auto`, `keep`, or the mount itself. @default auto */
  scriptName?: string | undefined;
  /** For fetch applications: `request.url` without the mount. @default `false` */
  stripBase?: boolean | undefined;
  /**
   * Whether the web server carries upgraded connections, such as WebSockets, over FastCGI.
   * @default worked out: lighttpd 1.4.74 or newer
   */
  upgrade?: boolean | undefined;
  /** Show stack traces in error pages. @default whether NODE_ENV is development */
  development?: boolean | undefined;
}

/** As what, where and with what environment workers run. */
export interface ProcessInput {
  /** The user the workers run as. Only root can choose. @default unchanged */
  user?: string | number | undefined;
  /** The group the workers run as. Only root can choose. @default the user's own */
  group?: string | number | undefined;
  /** Permissions that files made by the workers do not get, such as `0027`. @default unchanged */
  umask?: string | number | undefined;
  /**
   * The folder the workers run in. @default the folder of the application, or of the command if that is
   * a path
   */
  chdir?: string | undefined;
  /**
   * Whether workers start without the environment of the manager, but for PATH, HOME, the user, the
   * language, the time zone and NODE_ENV. Off, unlike in php-fpm, because Node applications are
   * configured by their environment. @default `false`
   */
  clearEnv?: boolean | undefined;
  /**
   * Environment variables of the workers. Those of a pool are added to those for all pools. A value
   * `$NAME` is that variable of the manager. @default none
   */
  env?: Readonly<Record<string, string | number | boolean>> | undefined;
  /**
   * Files of NAME=value lines for the environment of the workers, read anew at every reload. `env` beats
   * them. @default none
   */
  envFile?: string | readonly string[] | undefined;
  /** How many files and connections a worker may have open. @default unchanged */
  rlimitFiles?: number | undefined;
  /** Flags for node itself, such as `--max-old-space-size=256`. @default none */
  nodeArgs?: string | readonly string[] | undefined;
}

/** Of an application in Python. */
export interface PythonInput {
  /**
   * The Python that runs the application: a program, or the folder of a virtual environment.
   * @default `.venv` or `venv` beside the application, else `python3`
   */
  python?: string | undefined;
  /**
   * Requests one worker works on at once, each in a thread. 1 for an application that is not
   * thread-safe. @default `8`
   */
  threads?: number | undefined;
}

/** What becomes of the output of workers. */
export interface OutputInput {
  /**
   * Log what workers write to standard output and standard error. Otherwise it is discarded. @default
   * `true`
   */
  catchWorkersOutput?: boolean | undefined;
  /** Put time, pool and process id before each line of it. @default `true` */
  decorateWorkersOutput?: boolean | undefined;
}

/** The settings of one pool. */
export interface PoolInput
  extends ProgramInput,
    ListeningInput,
    WorkersInput,
    LifetimeInput,
    RequestsInput,
    UrlsInput,
    ProcessInput,
    PythonInput,
    OutputInput {}

/** The settings of the manager itself. */
export interface ManagerInput {
  /**
   * What this manager is called: in its log, and in commands such as `postern status NAME`. A folder
   * called bin, build, current, dist, lib, out or src gives the name of the folder above it. @default
   * the name of the folder of the configuration file, or of the application
   */
  name?: string | undefined;
  /**
   * The unix socket for `postern status`, `reload` and so on. The run folder is `$POSTERN_RUN_DIR`, else
   * `/run/postern` for root, else `$XDG_RUNTIME_DIR/postern`, else `postern-UID` among the temporary
   * files. @default `NAME.sock` in the run folder
   */
  controlSocket?: string | undefined;
  /** A file that holds the manager's process id while it runs. @default none */
  pidFile?: string | false | undefined;
  /**
   * Where the log of the manager and the output of its workers go. USR1 opens it anew after rotation.
   * @default standard error
   */
  logFile?: string | false | undefined;
  /** The least severe message that is logged. @default `info` */
  logLevel?: "debug" | "info" | "warn" | "error" | "silent" | undefined;
  /** At most this many workers in all pools together; 0 is no limit. @default `0` */
  processMax?: number | undefined;
  /**
   * Pools by name. Settings of a pool that stand outside of `pools` are the defaults of every pool.
   * @default one pool, called as the manager
   */
  pools?: Readonly<Record<string, PoolInput>> | undefined;
}

/** A whole configuration: the manager, and pools. Without `pools` there is one pool, whose settings stand here. */
export interface ConfigurationInput extends ManagerInput, PoolInput {}

/** Gives back what it is given: for the types, in `export default defineConfig({ … })`. */
export function defineConfig(config: ConfigurationInput): ConfigurationInput {
  return config;
}
