/**
 * What PEP 3333 and FastCGI ask of our server for Python, without a manager: as a file that was written for flup, whose
 * `WSGIServer(app).run()` is ours.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { conform } from "../../src/tools/conform/run.ts";
import { makeSpawner } from "../../src/tools/conform/spawner.ts";
import { run } from "../support/process.ts";
import { type Alone, ask, PYTHON, PYTHON_FOLDER, startAlone, WSGI_APP } from "../support/python/python.ts";
import { PLAIN_GET, requestRecords } from "../support/records.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

let alone: Alone;
const LONG = { timeout: patience(180_000) };

describeWithServer("python", "a WSGI application on our server for Python", () => {
  beforeAll(async () => {
    alone = await startAlone();
  });
  afterAll(() => alone.close());

  const get = (url: string, params: Readonly<Record<string, string>> = {}): ReturnType<typeof ask> =>
    ask(alone.client, url, { params });
  const environOf = async (
    url: string,
    params: Readonly<Record<string, string>> = {},
  ): Promise<Record<string, unknown>> => JSON.parse((await get(url, params)).body) as Record<string, unknown>;

  it.each(["environ", "echo", "stream", "closing", "nothing", "file", "errors"])(
    "passes wsgiref.validate: /%s",
    async (name) => {
      writeFileSync(alone.gate, "");
      const { status, stderr } = await get(`/${name}?validated`);
      expect(`${status} ${stderr.replace(/a line for the log\nand a piece/, "")}`).toMatch(/^20[04] $/);
    },
  );

  it("gives an environ of latin-1 text, with the keys of PEP 3333", async () => {
    const environ = await environOf("/environ/caf%C3%A9/a%2Fb?x=1", { PATH_INFO: "/environ/cafÃ©/a/b" });
    expect(environ).toMatchObject({
      REQUEST_METHOD: "GET",
      SCRIPT_NAME: "",
      PATH_INFO: "/environ/cafÃ©/a/b",
      QUERY_STRING: "x=1",
      "wsgi.version": [1, 0],
      "wsgi.url_scheme": "http",
      "wsgi.multithread": true,
      "wsgi.run_once": false,
      "wsgi.input_terminated": true,
    });
  });

  it("cuts the mount off, and gives the mount itself an empty path", async () => {
    const mounted = { SCRIPT_NAME: "/m", PATH_INFO: "/environ" };
    expect(await environOf("/m/environ", mounted)).toMatchObject({
      SCRIPT_NAME: "/m",
      PATH_INFO: "/environ",
    });
    const bare = { SCRIPT_NAME: "/m", PATH_INFO: "", SCRIPT_FILENAME: "/srv/other" };
    expect(await environOf("/m", bare)).toMatchObject({ SCRIPT_NAME: "/m", PATH_INFO: "" });
  });

  it("drops HTTP_PROXY, finds a strayed Authorization, and takes chunks for taken apart", async () => {
    const environ = await environOf("/environ", {
      HTTP_PROXY: "evil:80",
      REDIRECT_HTTP_AUTHORIZATION: "Basic a2lt",
      HTTP_TRANSFER_ENCODING: "chunked",
      CONTENT_LENGTH: "-1",
      HTTPS: "on",
    });
    expect(environ).toMatchObject({ HTTP_AUTHORIZATION: "Basic a2lt", "wsgi.url_scheme": "https" });
    for (const name of ["HTTP_PROXY", "HTTP_TRANSFER_ENCODING", "CONTENT_LENGTH"])
      expect(environ).not.toHaveProperty(name);
  });

  it("refuses what no request may hold with 400", async () => {
    expect((await get("/environ", { HTTP_X: "a\nb" })).status).toBe(400);
    expect((await get("/environ", { REQUEST_METHOD: "GE T" })).status).toBe(400);
    expect((await get("/environ?a\x01")).status).toBe(400);
    const many = Object.fromEntries(Array.from({ length: 1001 }, (_, at) => [`HTTP_X_${at}`, "1"]));
    expect((await get("/environ", many)).status).toBe(431);
    expect((await get("/environ", { HTTP_X: "x".repeat(300_000) })).status).toBe(431);
  });

  it("streams a body of any size into the application, and back", async () => {
    const body = Buffer.alloc(3_000_000, "a body of some length ");
    const answer = await ask(alone.client, "/echo", { stdin: body });
    expect(answer.body.length).toBe(body.length);
    expect(answer.body).toBe(body.toString("latin1"));
    const lines = await ask(alone.client, "/lines", { stdin: Buffer.from("one\ntwo\nthree") });
    expect(lines.body).toBe(`[b'one\\n', b'two', [b'\\n', b'three']]`);
  });

  it("gives a body in whatever pieces it is asked for, buffered and not", async () => {
    const body = Buffer.alloc(200_000, "a line of 20 bytes.\n");
    const answer = await ask(alone.client, "/ways", { stdin: body });
    const [lengths, ...rest] = answer.body.split(/(?<=\n)/);
    expect(JSON.parse(lengths ?? "")).toEqual([20000, 30000, 20, 5, 40000, 3, 109972, 0, 0, 0]);
    expect(rest.join("")).toBe(body.toString("latin1"));
  });

  it("reads no more of a body than the application asks for, and serves the next request", async () => {
    const body = Buffer.alloc(2_000_000, "0123456789");
    expect((await ask(alone.client, "/half", { stdin: body })).body).toBe("0123456789");
    expect((await get("/echo")).body).toBe("");
  });

  it("tells the application of a body that is shorter than announced, with 400, and drops what is too long", async () => {
    const stdin = Buffer.from("ten bytes!");
    const announced = (length: number): { params: Record<string, string>; stdin: Buffer } => ({
      params: { CONTENT_LENGTH: `${length}` },
      stdin,
    });
    expect((await ask(alone.client, "/echo", announced(100))).status).toBe(400);
    expect((await ask(alone.client, "/echo", announced(3))).body).toBe("ten");
  });

  it("sends each piece as it comes", async () => {
    rmSync(alone.gate, { force: true });
    const response = await alone.client.request({
      params: { REQUEST_METHOD: "GET", REQUEST_URI: "/stream" },
    });
    let body = "";
    for await (const piece of response.body) {
      body += String(piece);
      // Only now may it go on: had the first piece been held back, nobody would get here.
      writeFileSync(alone.gate, "");
    }
    expect(body).toBe("firstsecond");
  });

  it("has write(), and start_response again with exc_info before the head is out", async () => {
    expect((await get("/written")).body).toBe("written twice and returned");
    const { status, headers, body } = await get("/replaced");
    expect({ status, body }).toEqual({ status: 503, body: "replaced" });
    expect(headers).not.toContain("X-First");
  });

  it("raises what exc_info holds when the head is out, and cuts the connection", async () => {
    await expect(get("/too_late")).rejects.toMatchObject({ code: "ERR_POSTERN_RESPONSE_CUT" });
  });

  it("calls close(), also of what fails half-way", async () => {
    const count = async (): Promise<number> => Number((await get("/close_count")).body);
    const before = await count();
    expect((await get("/closing")).body).toBe("ab");
    await expect(get("/fails_late")).rejects.toMatchObject({ code: "ERR_POSTERN_RESPONSE_CUT" });
    expect(await count()).toBe(before + 2);
  });

  it.each(["fails", "exits", "twice", "silent", "injects", "text"])(
    "answers 500 when the application breaks the rules: /%s",
    async (name) => {
      const { status, body, stderr, appStatus } = await get(`/${name}`);
      expect({ status, appStatus }).toEqual({ status: 500, appStatus: 1 });
      expect(body).not.toMatch(/Traceback|Error:/);
      expect(stderr).toMatch(new RegExp(`^request \\d+ GET /${name}: `));
    },
  );

  it("cuts a body that is shorter than its Content-Length, and ends one that is longer", async () => {
    await expect(get("/short")).rejects.toMatchObject({ code: "ERR_POSTERN_RESPONSE_CUT" });
    expect((await get("/long")).body).toBe("four");
  });

  it("counts what it has whole, and sends no body for HEAD and 204", async () => {
    const written = (await get("/environ")).headers;
    expect(written).toContain("Content-Length");
    expect((await get("/environ", { REQUEST_METHOD: "HEAD" })).body).toBe("");
    expect(await get("/nothing")).toMatchObject({ status: 204, body: "" });
  });

  it("sends large answers and files whole", async () => {
    expect((await get("/big")).body.length).toBe(1_048_576);
    const { body } = await get("/file");
    expect(body.length).toBe(1_048_576);
    expect(body.slice(1_048_320, 1_048_324)).toBe("\x00\x01\x02\x03");
  });

  it("drops headers about the connection, and says the status of a redirect", async () => {
    const { headers } = await get("/hop");
    expect(headers).toContain("X-Own");
    expect(headers).not.toContain("Transfer-Encoding");
    expect((await get("/moved")).status).toBe(301);
  });

  it("takes away what leads Django to another SCRIPT_NAME, and a host that the client did not send", async () => {
    const asked = async (params: Readonly<Record<string, string>>): Promise<Record<string, unknown>> =>
      environOf("/m/environ/a%2Fb", {
        SCRIPT_NAME: "/m",
        PATH_INFO: "/environ/a/b",
        SCRIPT_URL: "/m/environ/a/b",
        HTTP_HOST: "",
        ...params,
      });
    const environ = await asked({ REDIRECT_URL: "/m/environ/a%2Fb" });
    expect(environ).toMatchObject({ SCRIPT_NAME: "/m", SCRIPT_URL: "/m/environ/a/b" });
    expect(environ).not.toHaveProperty("REDIRECT_URL");
    expect(environ).not.toHaveProperty("HTTP_HOST");
    expect(await asked({ SCRIPT_URL: "/m//environ/a/b" })).not.toHaveProperty("SCRIPT_URL");
    expect(await asked({ HTTP_HOST: "example.com" })).toMatchObject({ HTTP_HOST: "example.com" });
  });

  it("announces no length with 204", async () => {
    const { status, headers, body } = await get("/no_content");
    expect({ status, body }).toEqual({ status: 204, body: "" });
    expect(headers).not.toContain("Content-Length");
  });

  it("sends HAProxy 2 no STDERR by itself, of which it dies, and logs it instead", async () => {
    const haproxy = { SERVER_SOFTWARE: "HAProxy 2.6.12" };
    const from = alone.running.lines.length;
    expect(await get("/errors", haproxy)).toMatchObject({ status: 200, stderr: "" });
    await alone.running.waitForLine(/ info +a line for the log$/, { from });
    const failed = await get("/fails", haproxy);
    expect(failed.status).toBe(500);
    expect(failed.stderr).toMatch(/^request \d+ GET \/fails: RuntimeError/); // with the head of the page
  });

  it("passes wsgi.errors to the web server's log, without what a terminal obeys", async () => {
    expect((await get("/errors")).stderr).toBe("a line for the log\nand a piece");
    // Characters as bytes, as the client shows them.
    expect((await get("/noisy")).stderr).toMatch(/^a\\x1b\[2J\tb\n\\x9b\\x00(é|Ã©)\n$/);
  });

  it("serves several requests at once", async () => {
    const both = await Promise.all([get("/together"), get("/together")]);
    expect(both.map(({ body }) => body)).toEqual(["together", "together"]);
  });

  it("survives bad bytes, and web servers that leave at any moment", async () => {
    const request = requestRecords({
      params: { ...PLAIN_GET, REQUEST_URI: "/echo", PATH_INFO: "/echo" },
      stdin: "x",
    });
    for (let length = 0; length <= request.length; length += 13) await hangUp(request.subarray(0, length));
    for (const bytes of ["GET / HTTP/1.1\r\n\r\n", "\x02".repeat(64), "\x01\x04\x00\x01\xff\xff\x00\x00"]) {
      await hangUp(Buffer.from(bytes, "latin1"));
    }
    expect((await get("/written")).status).toBe(200);
  });

  it("conforms to FastCGI 1.0, statement by statement", LONG, async () => {
    const command = `env "PYTHONPATH=${PYTHON_FOLDER}" ${PYTHON} ${WSGI_APP}`;
    const spawner = makeSpawner(command);
    try {
      const report = await conform({
        role: 1,
        path: "/environ",
        uploadPath: "/echo",
        scriptFilename: undefined,
        params: [],
        deadlineMs: 5000,
        only: [],
        skip: [],
        target: spawner,
      });
      const { results } = report;
      expect(results.filter(({ outcome }) => outcome === "broken")).toEqual([]);
    } finally {
      await spawner.close();
    }
  });

  it("answers a plain CGI request, as flup does", async () => {
    const env = {
      PATH: "/usr/bin:/bin",
      PYTHONPATH: PYTHON_FOLDER,
      GATEWAY_INTERFACE: "CGI/1.1",
      REQUEST_METHOD: "POST",
      REQUEST_URI: "/cgi/echo",
      SCRIPT_NAME: "/cgi",
      PATH_INFO: "/echo",
      CONTENT_LENGTH: "5",
    };
    const { code, stdout, stderr } = await run(PYTHON, [WSGI_APP], { env, input: "hello" });
    expect(stderr).toBe("");
    expect(stdout).toMatch(
      /^Status: 200 OK\r?\nContent-Type: text\/plain\r?\nContent-Length: 5\r?\n\r?\nhello$/,
    );
    expect(code).toBe(0);
  });

  it("ends after TERM when its requests have ended, and takes its socket with it", async () => {
    const own = await startAlone();
    const path = own.address.slice("unix:".length);
    const open = own.client.request({ params: { REQUEST_METHOD: "GET", REQUEST_URI: "/stream" } });
    const response = await open;
    own.running.signal("SIGTERM");
    await waitFor(() => !isThere(path), { what: "the socket to go" });
    writeFileSync(own.gate, "");
    let body = "";
    for await (const piece of response.body) body += String(piece);
    expect(body).toBe("firstsecond");
    expect(await own.running.exited).toEqual({ code: 0, signal: null });
    await own.close();
  });

  it("shows the traceback in the page only where debug is asked for", async () => {
    const own = await startAlone({ DEBUG: "1" });
    const { body } = await ask(own.client, "/fails");
    expect(body).toContain("RuntimeError: it failed &#60;b&#62;");
    await own.close();
  });

  it("is written for Python 3.8, and imports nothing that is not Python's own", async () => {
    const file = join(PYTHON_FOLDER, "postern_wsgi.py");
    const check = `import ast, sys
tree = ast.parse(open(sys.argv[1]).read(), feature_version=(3, 8))
print(sorted({name.split(".")[0] for node in ast.walk(tree) for name in ([one.name for one in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) else [])} - set(sys.stdlib_module_names)))`;
    const { stdout } = await run("/usr/bin/python3", ["-c", check, file]); // 3.10 knows its own modules
    expect(stdout).toBe("[]");
  });
});

function isThere(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ENOENT";
  }
}

/** Connects, sends, and is gone. */
function hangUp(bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = createConnection(alone.address.slice("unix:".length), () => {
      socket.write(bytes, () => socket.destroy());
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });
}
