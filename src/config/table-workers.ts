/** The settings of a pool about its workers: how many, how long they live, as what they run, and their output. */
import type { LifetimeInput, OutputInput, ProcessInput, PythonInput, WorkersInput } from "./define.ts";
import {
  account,
  choice,
  count,
  countOrAuto,
  duration,
  latePath,
  octal,
  path,
  paths,
  program,
  size,
  variables,
  words,
  yesNo,
} from "./kinds.ts";
import type { Setting } from "./setting.ts";

/** More workers than this is a slip of the finger. */
const MOST_WORKERS = 10_000;
/** Far beyond what one interpreter has use for. */
const MOST_THREADS = 256;
const OFF = "; or 0 for off";

export const WORKERS_TABLE: Readonly<Record<keyof WorkersInput, Setting>> = {
  workers: {
    kind: countOrAuto(MOST_WORKERS),
    short: "-w",
    computed: "see `maxChildren`",
    doc: "Short for `maxChildren`, and with it for a static pool of that many workers; `auto` is the number of cores.",
  },
  pm: {
    kind: choice("static", "dynamic", "ondemand"),
    standard: "static",
    fpm: "pm",
    doc: "How many workers there are: always `maxChildren`, as many as the load asks for, or none until a request comes.",
  },
  maxChildren: {
    kind: count(1, MOST_WORKERS),
    computed: "`1`; dynamic and ondemand: the number of cores, at least 2",
    fpm: "pm.max_children",
    doc: "Static: this many workers. Dynamic and ondemand: at most this many.",
  },
  startServers: {
    kind: count(1, MOST_WORKERS),
    pm: "dynamic",
    computed: "halfway between `minSpareServers` and `maxSpareServers`",
    fpm: "pm.start_servers",
    doc: "Dynamic: workers at the start.",
  },
  minSpareServers: {
    kind: count(1, MOST_WORKERS),
    pm: "dynamic",
    computed: "`1`",
    fpm: "pm.min_spare_servers",
    doc: "Dynamic: with fewer idle workers than this, more are started.",
  },
  maxSpareServers: {
    kind: count(1, MOST_WORKERS),
    pm: "dynamic",
    computed: "`3`, at most `maxChildren`, at least `minSpareServers`",
    fpm: "pm.max_spare_servers",
    doc: "Dynamic: with more idle workers than this, some are stopped.",
  },
  maxSpawnRate: {
    kind: count(1, MOST_WORKERS),
    pm: "dynamic",
    standard: 32,
    fpm: "pm.max_spawn_rate",
    doc: "Dynamic: workers started at once, at most. The rate doubles up to this while the load grows.",
  },
  processIdleTimeout: {
    kind: duration(""),
    pm: "ondemand",
    standard: "10s",
    fpm: "pm.process_idle_timeout",
    doc: "Ondemand: a worker that has been idle this long is stopped.",
  },
};

export const LIFETIME_TABLE: Readonly<Record<keyof LifetimeInput, Setting>> = {
  maxRequests: {
    kind: count(0, 1_000_000_000),
    standard: 0,
    isForApps: true,
    isForPython: true,
    fpm: "pm.max_requests",
    doc: "A worker is replaced after about this many requests; 0 is never.",
  },
  maxMemory: {
    kind: size(1024 ** 2),
    standard: 0,
    doc: "A worker whose resident memory exceeds this is replaced.",
  },
  maxLoopDelay: {
    kind: duration(OFF),
    standard: "30s",
    isForApps: true,
    isForPython: true,
    doc: "A worker whose event loop stands still this long is stuck: its stack is logged, and it is replaced.",
  },
  readyTimeout: {
    kind: duration(OFF),
    standard: "30s",
    doc: "How long a worker may take to start. Then it has failed.",
  },
  drainDelay: {
    kind: duration(", or 0 for none"),
    standard: 0,
    doc: "When stopping: go on serving this long while `pingPath` fails already, so that a balancer sends nothing more.",
  },
  drainTimeout: {
    kind: duration("; or 0 for as long as it takes"),
    standard: "30s",
    fpm: "process_control_timeout",
    doc: "How long a worker may finish its open requests before it is ended.",
  },
  phasedReload: {
    kind: yesNo,
    standard: false,
    doc: "Reload one worker after the other instead of starting all new ones beside the old: needs less memory, and mixes old and new code meanwhile.",
  },
  restartFile: {
    kind: latePath,
    canBeOff: true,
    standard: "tmp/restart.txt",
    doc: "Touching this file reloads the pool. A relative path is in `chdir`.",
  },
};

export const PROCESS_TABLE: Readonly<Record<keyof ProcessInput, Setting>> = {
  user: {
    kind: account("user"),
    computed: "unchanged",
    fpm: "user",
    doc: "The user the workers run as. Only root can choose.",
  },
  group: {
    kind: account("group"),
    computed: "the user's own",
    fpm: "group",
    doc: "The group the workers run as. Only root can choose.",
  },
  umask: {
    kind: octal,
    computed: "unchanged",
    doc: "Permissions that files made by the workers do not get, such as `0027`.",
  },
  chdir: {
    kind: path,
    computed: "the folder of the application, or of the command if that is a path",
    fpm: "chdir",
    doc: "The folder the workers run in.",
  },
  clearEnv: {
    kind: yesNo,
    standard: false,
    fpm: "clear_env",
    doc: "Whether workers start without the environment of the manager, but for PATH, HOME, the user, the language, the time zone and NODE_ENV. Off, unlike in php-fpm, because Node applications are configured by their environment.",
  },
  env: {
    kind: variables,
    hasNoEnv: true,
    fpm: "env[NAME]",
    doc: "Environment variables of the workers. Those of a pool are added to those for all pools. A value `$NAME` is that variable of the manager.",
  },
  envFile: {
    kind: paths,
    doc: "Files of NAME=value lines for the environment of the workers, read anew at every reload. `env` beats them.",
  },
  rlimitFiles: {
    kind: count(16, 1_000_000_000),
    computed: "unchanged",
    fpm: "rlimit_files",
    doc: "How many files and connections a worker may have open.",
  },
  nodeArgs: {
    kind: words,
    isForApps: true,
    doc: "Flags for node itself, such as `--max-old-space-size=256`.",
  },
};

export const PYTHON_TABLE: Readonly<Record<keyof PythonInput, Setting>> = {
  python: {
    kind: program,
    isPythonOnly: true,
    computed: "`.venv` or `venv` beside the application, else `python3`",
    doc: "The Python that runs the application: a program, or the folder of a virtual environment.",
  },
  threads: {
    kind: count(1, MOST_THREADS),
    standard: 8,
    isPythonOnly: true,
    doc: "Requests one worker works on at once, each in a thread. 1 for an application that is not thread-safe.",
  },
};

export const OUTPUT_TABLE: Readonly<Record<keyof OutputInput, Setting>> = {
  catchWorkersOutput: {
    kind: yesNo,
    standard: true,
    fpm: "catch_workers_output",
    doc: "Log what workers write to standard output and standard error. Otherwise it is discarded.",
  },
  decorateWorkersOutput: {
    kind: yesNo,
    standard: true,
    fpm: "decorate_workers_output",
    doc: "Put time, pool and process id before each line of it.",
  },
};
