/** php-fpm, somebody else's application, behind our client and gateway. */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { Logger } from "../../src/base/log.ts";
import { ClientPool, type ClientResponse, FastCGIClient } from "../../src/client/index.ts";
import { createGateway, type Gateway, type GatewayOptions } from "../../src/gateway/index.ts";
import { connectHttp, request } from "../support/http.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { type PhpFpm, startPhpFpm } from "../support/web-servers/php-fpm.ts";

const CHILDREN = 2;

const scripts = {
  "index.php": `<?php
    header('X-A: 1'); header('X-A: 2', false); setcookie('one', '1'); setcookie('two', '2');
    echo json_encode(['method' => $_SERVER['REQUEST_METHOD'], 'uri' => $_SERVER['REQUEST_URI'],
      'script' => $_SERVER['SCRIPT_NAME'], 'path' => $_SERVER['PATH_INFO'] ?? null, 'get' => $_GET, 'post' => $_POST,
      'cookie' => $_COOKIE, 'host' => $_SERVER['HTTP_HOST'], 'self' => $_SERVER['PHP_SELF'], 'pid' => getmypid()]);`,
  "upload.php": "<?php $body = file_get_contents('php://input'); echo strlen($body), ' ', sha1($body);",
  "status.php": "<?php http_response_code((int) $_GET['s']); echo 'body';",
  "stderr.php": "<?php error_log('written on stderr'); echo 'fine';",
  "fatal.php": "<?php no_such_function();",
  "redirect.php": "<?php header('Location: /index.php');",
  "length.php": "<?php header('Content-Length: 4'); echo 'body';",
  // Every piece on its own, as soon as it is echoed.
  "stream.php": '<?php for ($i = 0; $i < 3; $i++) { echo "piece $i\\n"; flush(); usleep(150000); }',
  // Says on disk how it ended.
  "slow.php": `<?php
    register_shutdown_function(function () {
      file_put_contents($_GET['note'], connection_aborted() ? 'aborted' : 'finished');
    });
    for ($i = 0; $i < 100; $i++) { echo str_repeat('x', 1000); flush(); usleep(50000); }`,
  "large.php": "<?php for ($i = 0; $i < 160; $i++) echo str_repeat(chr(97 + $i % 26), 65536);",
  "early.php": "<?php http_response_code(413); echo 'not that much';",
};

describeWithServer("php-fpm", "php-fpm behind the client and the gateway", () => {
  let php: PhpFpm;
  let connect: string;
  const gateways: Gateway[] = [];
  const log: string[] = [];

  beforeAll(async () => {
    php = await startPhpFpm({
      scripts,
      children: CHILDREN,
      directives: [
        "ping.path = /ping",
        "pm.status_path = /status",
        "php_admin_value[post_max_size] = 64M",
        "php_admin_value[output_buffering] = 0",
        "php_admin_value[log_errors] = On",
        "php_admin_value[display_errors] = Off",
      ].join("\n"),
    });
    connect = "unix" in php.address ? `unix:${php.address.unix}` : `${php.address.host}:${php.address.port}`;
  }, patience(30_000));
  afterEach(async () => {
    for (const gateway of gateways.splice(0)) await gateway.close();
    log.length = 0;
  });
  afterAll(async () => {
    await php.stop();
  });

  async function front(options: Partial<GatewayOptions> = {}): Promise<string> {
    const note = (fields: object, message: string): number =>
      log.push(`${message} ${JSON.stringify(fields)}`);
    const logger: Logger = { debug: note, info: note, warn: note, error: note };
    const gateway = createGateway({
      connect,
      php: true,
      documentRoot: php.documentRoot,
      client: { maxConnections: CHILDREN },
      logger,
      drainTimeoutMs: 1,
      ...options,
    });
    gateways.push(gateway);
    await gateway.listen("127.0.0.1:0");
    return `http://127.0.0.1:${(gateway.server.address() as { port: number }).port}`;
  }

  it("GET: query, path info, cookies, repeated headers", async () => {
    const url = await front();
    const answer = await request(`${url}/index.php/a%20b/c?x=1&y[]=2`, {
      headers: { Cookie: ["k=v", "l=w"] },
    });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({
      method: "GET",
      uri: "/index.php/a%20b/c?x=1&y[]=2",
      script: "/index.php",
      path: "/a b/c",
      self: "/index.php/a b/c",
      get: { x: "1", y: ["2"] },
      cookie: { k: "v", l: "w" },
    });
    expect(answer.rawHeaders.filter((_value, index) => answer.rawHeaders[index - 1] === "X-A")).toEqual([
      "1",
      "2",
    ]);
    expect(answer.headers["set-cookie"]).toHaveLength(2);
  });

  it("the index of a folder, and a script through a front controller", async () => {
    expect(JSON.parse((await request(`${await front()}/`)).text)).toMatchObject({
      script: "/index.php",
      uri: "/",
    });
    const url = await front({ php: { frontController: "/index.php" } });
    expect(JSON.parse((await request(`${url}/news/1`)).text)).toMatchObject({
      script: "/index.php",
      path: "/news/1",
    });
  });

  it("POST: a form, with a length and chunked", async () => {
    const url = await front();
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    const plain = await request(`${url}/index.php`, { method: "POST", headers, body: "a=1&b=%C3%A9" });
    expect(JSON.parse(plain.text)).toMatchObject({ method: "POST", post: { a: "1", b: "é" } });
    const chunked = await connectHttp(url);
    await chunked.send(
      "POST /index.php HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
        "Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n4\r\n&b=2\r\n0\r\n\r\n",
    );
    expect(JSON.parse((await chunked.nextResponse()).body.toString())).toMatchObject({
      post: { a: "1", b: "2" },
    });
    chunked.close();
  });

  it("HEAD has the head and no body, and the connection goes on", async () => {
    const http = await connectHttp(await front());
    await http.send("HEAD /length.php HTTP/1.1\r\nHost: h\r\n\r\n");
    const response = await http.nextResponse({ headOnly: true });
    expect([response.status, response.header("content-length")]).toEqual([200, ["4"]]);
    await http.send("GET /length.php HTTP/1.1\r\nHost: h\r\n\r\n");
    expect((await http.nextResponse()).body.toString()).toBe("body");
    http.close();
  });

  it.each([204, 304, 404, 500])("status %i", async (status) => {
    const http = await connectHttp(await front());
    await http.send(`GET /status.php?s=${status} HTTP/1.1\r\nHost: h\r\n\r\n`);
    const isEmpty = status === 204 || status === 304;
    const response = await http.nextResponse({ headOnly: isEmpty });
    expect([response.status, response.body.toString()]).toEqual([status, isEmpty ? "" : "body"]);
    await http.send("GET /length.php HTTP/1.1\r\nHost: h\r\n\r\n");
    expect((await http.nextResponse()).body.toString()).toBe("body");
    http.close();
  });

  it("redirects with PHP's own status", async () => {
    const answer = await request(`${await front()}/redirect.php`);
    expect([answer.status, answer.headers.location]).toEqual([302, "/index.php"]);
  });

  it("a script that is not there is 404, from us or from php-fpm", async () => {
    const own = await request(`${await front()}/none.php`);
    expect([own.status, own.text.includes("There is no such page")]).toEqual([404, true]);
    const theirs = await request(`${await front({ php: { checkFiles: false } })}/none.php`);
    expect([theirs.status, theirs.text]).toEqual([404, "File not found.\n"]);
    expect(log.join("\n")).toContain("Primary script unknown");
  });

  it("an upload of 10 MiB arrives whole", async () => {
    const body = Buffer.alloc(10 << 20, "0123456789abcdef-");
    const answer = await request(`${await front()}/upload.php`, { method: "POST", body });
    expect(answer.text).toBe(`${body.length} ${createHash("sha1").update(body).digest("hex")}`);
  });

  it("an answer of 10 MiB arrives whole", async () => {
    const answer = await request(`${await front()}/large.php`);
    expect(answer.body.length).toBe(160 * 65536);
    expect(answer.body.every((byte, index) => byte === 97 + (Math.floor(index / 65536) % 26))).toBe(true);
  });

  it("an upload nobody reads still gets its answer", async () => {
    const answer = await request(`${await front()}/early.php`, {
      method: "POST",
      body: Buffer.alloc(3 << 20),
    });
    expect([answer.status, answer.text]).toEqual([413, "not that much"]);
  });

  it("what PHP writes on stderr is logged", async () => {
    expect((await request(`${await front()}/stderr.php`)).text).toBe("fine");
    expect(log.join("\n")).toMatch(/application: (PHP message: )?written on stderr/);
    const fatal = await request(`${await front()}/fatal.php`);
    expect(fatal.status).toBe(500);
    expect(log.join("\n")).toMatch(/no_such_function/);
  });

  it("flush() reaches the client piece by piece", async () => {
    const http = await connectHttp(await front());
    await http.send("GET /stream.php HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    await http.waitForText(/piece 0/);
    expect(http.text()).not.toContain("piece 1");
    await http.waitForText(/piece 1/);
    expect(http.text()).not.toContain("piece 2");
    await http.waitForEnd();
    const times = ["piece 0", "piece 1", "piece 2"].map(
      (piece) => http.arrivals.find(({ bytes }) => bytes.toString("latin1").includes(piece))!.atMs,
    );
    expect(times[1]! - times[0]!).toBeGreaterThan(50);
    expect(times[2]! - times[1]!).toBeGreaterThan(50);
    http.close();
  });

  it("a client that leaves ends a slow script, and the next requests are served", async () => {
    const url = await front({ client: { maxConnections: CHILDREN, abortTimeoutMs: 100 } });
    const folder = temporaryFolder("note");
    chmodSync(folder, 0o777); // PHP runs as the web server's user
    const note = join(folder, "note");
    const http = await connectHttp(url);
    await http.send(`GET /slow.php?note=${encodeURIComponent(note)} HTTP/1.1\r\nHost: h\r\n\r\n`);
    await http.waitForText(/xxx/);
    http.close();
    await waitFor(() => existsSync(note) && readFileSync(note, "utf8"), {
      timeoutMs: 4000,
      what: "the script to end",
    });
    expect(readFileSync(note, "utf8")).toBe("aborted");
    for (let count = 0; count < 4; count++) expect((await request(`${url}/length.php`)).text).toBe("body");
  });

  it("kept connections are reused, and no more than there are children", async () => {
    await using pool = new ClientPool({ connect, maxConnections: CHILDREN });
    const params = {
      REQUEST_METHOD: "GET",
      SCRIPT_FILENAME: php.script("index.php"),
      SCRIPT_NAME: "/index.php",
      REQUEST_URI: "/index.php",
      HTTP_HOST: "h",
    };
    const textOf = async (response: ClientResponse): Promise<string> => {
      const pieces: Buffer[] = [];
      for await (const piece of response.body) pieces.push(piece as Buffer);
      return Buffer.concat(pieces).toString();
    };
    const pids = new Set<number>();
    for (let count = 0; count < 10; count++) {
      pids.add((JSON.parse(await textOf(await pool.request({ params }))) as { pid: number }).pid);
    }
    expect(pids.size).toBe(1); // one connection, which holds one child
    const many = await Promise.all(
      Array.from(
        { length: 50 },
        async () => JSON.parse(await textOf(await pool.request({ params }))) as { pid: number },
      ),
    );
    expect(many).toHaveLength(50);
    expect(pool.stats.openConnections).toBeLessThanOrEqual(CHILDREN);
  });

  it("ping and status pages, and GET_VALUES", async () => {
    await using client = new FastCGIClient({ connect });
    const ask = async (name: string, query = ""): Promise<string> => {
      const params = { REQUEST_METHOD: "GET", SCRIPT_NAME: name, SCRIPT_FILENAME: name, QUERY_STRING: query };
      const response = await client.request({ params });
      expect(response.status).toBe(200);
      let text = "";
      for await (const piece of response.body) text += String(piece);
      expect(await response.ended).toEqual({ appStatus: 0, protocolStatus: 0 });
      return text;
    };
    expect(await ask("/ping")).toBe("pong");
    expect(JSON.parse(await ask("/status", "json"))).toMatchObject({
      pool: "www",
      "process manager": "static",
    });
    await using other = new FastCGIClient({ connect });
    expect(await other.getValues()).toMatchObject({ canMultiplex: false });
  });

  it("php-fpm that has stopped is 502, after connections to it were kept", async () => {
    const own = await startPhpFpm({ scripts, children: 1, tcp: true });
    const address = own.address as { host: string; port: number };
    const url = await front({
      connect: `${address.host}:${address.port}`,
      documentRoot: own.documentRoot,
      client: { maxConnections: 1 },
    });
    expect((await request(`${url}/length.php`)).text).toBe("body");
    await own.stop();
    const down = await request(`${url}/length.php`);
    expect([down.status, down.text.includes("cannot be reached")]).toEqual([502, true]);
  });
});
