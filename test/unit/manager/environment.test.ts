/** What a worker finds in its environment. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type EnvironmentSettings, workerEnvironment } from "../../../src/manager/environment.ts";
import { temporaryFolder } from "../../support/temp.ts";

const plain: EnvironmentSettings = { clearEnv: false, env: {}, envFile: [], user: undefined };
const PATH = "/usr/bin:/bin";

describe("of the manager's environment", () => {
  it("a worker gets everything by default", () => {
    const base = {
      PATH,
      NODE_OPTIONS: "--no-warnings",
      HTTP_PROXY: "http://proxy:3128",
      HOME: "/root",
      A: "",
    };
    expect(workerEnvironment(plain, base)).toEqual(base);
  });

  it("a worker gets nothing that is about the manager itself", () => {
    const base = {
      PATH,
      LISTEN_PID: "1",
      LISTEN_FDS: "1",
      LISTEN_FDNAMES: "app",
      NOTIFY_SOCKET: "/run/systemd/notify",
      WATCHDOG_USEC: "30000000",
      WATCHDOG_PID: "1",
      NODE_CHANNEL_FD: "3",
      NODE_CHANNEL_SERIALIZATION_MODE: "json",
      NODE_UNIQUE_ID: "1",
      POSTERN_LOG_LEVEL: "debug",
      JOURNAL_STREAM: "8:1",
    };
    expect(workerEnvironment(plain, base)).toEqual({ PATH });
  });

  it("a worker gets no parameters of the CGI request that started the manager, HTTP_PROXY above all", () => {
    const base = {
      PATH,
      GATEWAY_INTERFACE: "CGI/1.1",
      REQUEST_METHOD: "GET",
      HTTP_PROXY: "http://evil",
      QUERY_STRING: "a=b",
      REMOTE_USER: "somebody",
      SSL_CLIENT_S_DN: "CN=x",
      REDIRECT_STATUS: "200",
      DOCUMENT_ROOT: "/var/www",
      LANG: "C.UTF-8",
    };
    expect(workerEnvironment(plain, base)).toEqual({ PATH, LANG: "C.UTF-8" });
  });

  it("clearEnv leaves what programs need to run at all", () => {
    const base = {
      PATH,
      HOME: "/root",
      LANG: "C",
      LC_ALL: "C",
      TZ: "UTC",
      NODE_ENV: "production",
      SECRET: "x",
    };
    const { SECRET: _, ...kept } = base;
    expect(workerEnvironment({ ...plain, clearEnv: true }, base)).toEqual(kept);
  });

  it("an empty one becomes one with a PATH", () => {
    expect(workerEnvironment(plain, {})).toEqual({ PATH: expect.stringContaining("/usr/bin") });
    expect(workerEnvironment(plain, { PATH: "" })["PATH"]).toContain("/usr/bin");
  });
});

describe("user", () => {
  const base = {
    PATH,
    HOME: "/root",
    USER: "root",
    LOGNAME: "root",
    SHELL: "/bin/bash",
    MAIL: "/var/mail/root",
  };

  it("brings the variables of a login, and takes those of the old user away", () => {
    const env = workerEnvironment({ ...plain, user: "sync" }, { ...base, XDG_RUNTIME_DIR: "/run/user/0" });
    expect(env).toEqual({ PATH, HOME: "/bin", USER: "sync", LOGNAME: "sync", SHELL: "/bin/sync" });
  });

  it("whose shell is no shell has none", () => {
    const env = workerEnvironment({ ...plain, user: "www-data" }, base);
    expect(env).toEqual({ PATH, HOME: "/var/www", USER: "www-data", LOGNAME: "www-data" });
  });

  it("that is a number without an account has a home, and no name", () => {
    expect(workerEnvironment({ ...plain, user: 54_321 }, base)).toEqual({ PATH, HOME: "/" });
  });

  it("that does not exist is refused", () => {
    expect(() => workerEnvironment({ ...plain, user: "nobody-here" }, base)).toThrow(
      'there is no user named "nobody-here"',
    );
  });
});

describe("settings", () => {
  it("env wins over files, later files over earlier ones, and both over the user and the manager", () => {
    const folder = temporaryFolder();
    const [first, second] = [join(folder, "1.env"), join(folder, "2.env")];
    writeFileSync(first, "A=first\nB=first\nC=first\nHOME=/srv");
    writeFileSync(second, "A=second\nB=second");
    const env = workerEnvironment(
      { clearEnv: false, env: { A: "env" }, envFile: [first, second], user: "www-data" },
      { PATH, A: "manager", B: "manager", C: "manager", D: "manager" },
    );
    expect(env).toMatchObject({
      A: "env",
      B: "second",
      C: "first",
      D: "manager",
      HOME: "/srv",
      USER: "www-data",
    });
  });

  it("env can pass on variables of the manager, also with clearEnv", () => {
    const env = { TOKEN: "$SECRET", NONE: "$UNSET", LITERAL: "$$SECRET", HASH: "$2b$10$abc", PATH: "$PATH" };
    expect(workerEnvironment({ ...plain, clearEnv: true, env }, { PATH, SECRET: "s3" })).toEqual({
      PATH,
      TOKEN: "s3",
      LITERAL: "$SECRET",
      HASH: "$2b$10$abc",
    });
  });

  it("env that no program can be given is refused", () => {
    const attempt = (env: Record<string, string>): (() => unknown) => {
      return () => workerEnvironment({ ...plain, env }, { PATH });
    };
    expect(attempt({ "A=B": "" })).toThrow('setting env: "A=B" is not a name of a variable');
    expect(attempt({ "": "" })).toThrow('setting env: "" is not a name of a variable');
    expect(attempt({ A: "\0" })).toThrow('setting env: "A" has a value with a NUL character');
  });
});
