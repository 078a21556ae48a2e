/**
 * `postern conform` on real applications: Postern in every form passes whole; libfcgi, Perl's FCGI and php-fpm break
 * what their source says they break, no more and no less; the command says so with its exit codes.
 */
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type Address, parseAddress } from "../../src/base/address.ts";
import type { Application } from "../../src/index.ts";
import type { ConformReport } from "../../src/tools/conform/model.ts";
import { type ConformOptions, conform } from "../../src/tools/conform/run.ts";
import { makeSpawner } from "../../src/tools/conform/spawner.ts";
import { STATEMENTS } from "../../src/tools/conform/statements.ts";
import { built, programPath } from "../support/e2e/built.ts";
import { KNOWN, knownTable } from "../support/e2e/conform-known.ts";
import { servePostern, type Transport } from "../support/e2e/served.ts";
import { CLI, serveManaged, stopManagers } from "../support/e2e/supervised.ts";
import { readDocument } from "../support/markdown.ts";
import { freePort } from "../support/ports.ts";
import { type Finished, run, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { startPhpFpm } from "../support/web-servers/php-fpm.ts";

beforeAll(built);

const LONG = { timeout: patience(180_000) };

async function tried(
  target: Address | string,
  options: Partial<Omit<ConformOptions, "target">> = {},
): Promise<ConformReport> {
  const spawner = typeof target === "string" ? makeSpawner(target) : undefined;
  try {
    return await conform({
      role: 1,
      path: "/",
      uploadPath: undefined,
      scriptFilename: undefined,
      params: [],
      deadlineMs: 5000,
      only: [],
      skip: [],
      ...options,
      target: spawner ?? (target as Address),
    });
  } finally {
    await spawner?.close();
  }
}

function broken({ results }: ConformReport): string[] {
  return results.filter(({ outcome }) => outcome === "broken").map(({ id }) => id);
}

/** What nobody finds out on a socket, or of an application without the roles. */
function open({ results }: ConformReport): string[] {
  return results.filter(({ outcome }) => outcome === "untestable").map(({ id }) => id);
}

const SPAWNED = STATEMENTS.filter(({ needsSpawn }) => needsSpawn === true).map(({ id }) => id);

const ECHO = `export default (request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    response.setHeader("Content-Type", "text/plain");
    response.end(request.url + "\\n" + Buffer.concat(pieces));
  });
};
`;

function echoFile(): string {
  const file = join(temporaryFolder("c"), "app.mjs");
  writeFileSync(file, ECHO);
  return file;
}

describe("Postern passes whole", () => {
  const roles: Application = {
    responder: {
      async raw(request, response) {
        const pieces: Buffer[] = [];
        for await (const piece of request.stdin) pieces.push(piece as Buffer);
        response.stderr.write("a line for the log\n");
        const { REQUEST_METHOD: method, QUERY_STRING: query } = request.params;
        const body = method === "HEAD" ? "" : `${query}\n${Buffer.concat(pieces).toString("latin1")}`;
        response.end(Buffer.from(`Content-Type: text/plain\r\n\r\n${body}`, "latin1"));
      },
    },
    authorizer(_request, response) {
      response.end("Status: 200 OK\r\nVariable-USER: kim\r\n\r\n");
    },
    async filter(request, response) {
      for await (const _piece of request.stdin);
      for await (const _piece of request.data ?? []);
      response.end("Content-Type: text/plain\r\n\r\nfiltered");
    },
  };
  const forms: readonly [string, Application][] = [
    ["an application of all roles", roles],
    [
      "a fetch application",
      {
        fetch: async (request: Request) => new Response(`${request.url}\n${await request.text()}`),
      },
    ],
  ];
  const transports: readonly Transport[] = ["unix", "tcp"];
  it.each(
    forms.flatMap(([name, application]) => transports.map((over) => [name, over, application] as const)),
  )("as %s, over %s", LONG, async (_name, transport, application) => {
    const served = await servePostern(application, transport);
    try {
      const { address } = served;
      const text = "unix" in address ? `unix:${address.unix}` : `${address.host}:${address.port}`;
      const report = await tried(parseAddress(text));
      expect(broken(report)).toEqual([]);
      const left = open(report).filter((id) => id !== "3.3-stderr-ends");
      expect(left).toEqual(SPAWNED);
    } finally {
      await served.close();
    }
  });

  it("as a program with the socket as descriptor 0, all statements tried", LONG, async () => {
    const { code, stdout, stderr } = await run(
      process.execPath,
      [CLI, "conform", "--spawn", `"${process.execPath}" "${programPath("conform-mutant.js")}"`, "--json"],
      { timeoutMs: 150_000 },
    );
    expect(`${code} ${stderr}`).toBe("0 ");
    const report = JSON.parse(stdout) as ConformReport;
    expect(broken(report)).toEqual([]);
    expect(open(report)).toEqual([]);
    expect(report.results).toHaveLength(STATEMENTS.length);
  });

  it.each(["unix", "tcp"])("as two workers of postern serve, over %s", LONG, async (transport) => {
    const address =
      transport === "unix" ? `unix:${join(temporaryFolder("c"), "a.sock")}` : `127.0.0.1:${await freePort()}`;
    const managed = await serveManaged({
      args: ["serve", echoFile(), "--workers", "2", "--bind", address],
      address,
    });
    try {
      await managed.until(
        "two workers",
        ({ pools }) => pools[0]!.workers.filter(({ stage }) => stage === "ready").length === 2,
      );
      expect(broken(await tried(parseAddress(address)))).toEqual([]);
    } finally {
      await stopManagers();
    }
  });
});

describe("applications of others are found to be what they are", () => {
  /** Reserved bytes that nobody has written may be zero by chance. */
  const WAVERING = ["3.3-reserved-out"];
  const expectKnown = (report: ConformReport, known: Readonly<Record<string, string>>): void => {
    const sure = (ids: readonly string[]): string[] => ids.filter((id) => !WAVERING.includes(id)).sort();
    const evidence = report.results
      .filter(({ id, outcome }) => outcome === "broken" && known[id] === undefined)
      .flatMap(({ id, says, evidence: lines }) => [`${id}: ${says}`, ...lines]);
    expect(sure(broken(report)), evidence.join("\n")).toEqual(sure(Object.keys(known)));
    expect(report.died).toBeUndefined();
  };

  describeWithServer(["gcc", "libc6-dev", "libfcgi-dev"], "libfcgi", () => {
    it("breaks what its source says", LONG, async () => {
      const program = join(temporaryFolder("c"), "echo");
      const { code, stderr } = await run(programOf("gcc"), [
        "-O1",
        "-Wall",
        "-o",
        program,
        programPath("echo.c"),
        "-lfcgi",
      ]);
      expect(`${code} ${stderr}`).toBe("0 ");
      expectKnown(await tried(program, { deadlineMs: 2000 }), KNOWN.libfcgi.broken);
    });
  });

  describeWithServer(["perl", "libfcgi-perl"], "Perl's FCGI", () => {
    it("breaks the same", LONG, async () => {
      const file = join(temporaryFolder("c"), "echo.pl");
      copyFileSync(programPath("echo.pl"), file);
      expectKnown(await tried(`perl ${file}`, { deadlineMs: 2000 }), KNOWN.perl.broken);
    });
  });

  describeWithServer("php-fpm", "php-fpm", () => {
    it("breaks what its source says", LONG, async () => {
      const page = `<?php header('Content-Type: text/plain'); echo $_SERVER['QUERY_STRING'], "\\n"; readfile('php://input');`;
      const php = await startPhpFpm({
        scripts: { "echo.php": page },
        directives: "php_admin_value[post_max_size] = 64M",
      });
      try {
        const { address } = php;
        const text = "unix" in address ? `unix:${address.unix}` : `${address.host}:${address.port}`;
        const options = { deadlineMs: 2000, path: "/echo.php", scriptFilename: php.script("echo.php") };
        expectKnown(await tried(parseAddress(text), options), KNOWN["php-fpm"].broken);
      } finally {
        await php.stop();
      }
    });
  });

  it("the page shows the same", () => {
    expect(readDocument("docs/tools/conform.md").text).toContain(knownTable());
    for (const { broken: ids } of Object.values(KNOWN)) {
      for (const id of Object.keys(ids)) expect(STATEMENTS.map((one) => one.id)).toContain(id);
    }
  });
});

describe("a program that is wrong in one way when it is started", () => {
  it.each(SPAWNED)("is found to break %s", LONG, async (id) => {
    const command = `"${process.execPath}" "${programPath("conform-mutant.js")}" ${id}`;
    const report = await tried(command, { only: [id], deadlineMs: 2000 });
    expect(broken(report)).toEqual([id]);
  });
});

describe("the command", () => {
  const cli = (...args: string[]): Promise<Finished> =>
    run(process.execPath, [CLI, "conform", ...args], { timeoutMs: 60_000 });

  it("lists what it tries", LONG, async () => {
    const { code, stdout } = await cli("--list");
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(STATEMENTS.length);
    expect(stdout).toContain("3.3-padding");
  });

  it("exits with 1 and shows the records when something binding is broken", LONG, async () => {
    const program = `"${process.execPath}" "${programPath("conform-mutant.js")}" 3.2-unlisted-peer`;
    const { code, stdout } = await cli("--spawn", program, "--only", "3.2-unlisted-peer");
    expect(code).toBe(1);
    expect(stdout).toMatch(/BROKEN +3\.2-unlisted-peer/);
    expect(stdout).toContain("→ BEGIN_REQUEST id 1  responder");
    expect(stdout).toContain("1 statement: 0 hold, 1 broken");
    expect(stdout).not.toContain("\x1b");
  });

  it("exits with 2 for what it cannot use, with 3 when nothing answers", LONG, async () => {
    const usage = [
      [],
      ["--connect", "unix:/x", "--spawn", "y"],
      ["--connect", "unix:/x", "--only", "9.9"],
      ["--connect", "unix:/x", "--deadline", "soon"],
      ["--connect", "unix:/x", "--param", "no"],
      ["--connect", "unix:/x", "--path", "relative"],
    ];
    for (const args of usage) {
      const { code, stderr } = await cli(...args);
      expect(`${code} ${args.join(" ")}`).toBe(`2 ${args.join(" ")}`);
      expect(stderr).toMatch(/^postern: /);
    }
    const nobody = await cli("--connect", `unix:${join(temporaryFolder("c"), "none.sock")}`);
    expect(nobody.code).toBe(3);
    expect(nobody.stderr).toContain("ENOENT");
    const gone = await cli("--spawn", "exit 7");
    expect(gone.code).toBe(3);
  });

  it("leaves no program and no folder behind when it is interrupted", LONG, async () => {
    const folder = temporaryFolder("c");
    const note = join(folder, "pid");
    const program = `sh -c 'echo $$ > ${note}; exec sleep 600'`;
    const command = start(process.execPath, [CLI, "conform", "--spawn", program], {
      env: { ...process.env, TMPDIR: folder },
    });
    await waitFor(() => existsSync(note) && readFileSync(note, "utf8").trim() !== "", {
      timeoutMs: 30_000,
      what: "the program",
    });
    const pid = Number(readFileSync(note, "utf8"));
    command.signal("SIGINT");
    expect(await command.exited).toEqual({ code: 130, signal: null });
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
    expect(readdirSync(folder).filter((name) => name.startsWith("postern-conform"))).toEqual([]);
    expect(tmpdir()).not.toBe(folder);
  });
});
