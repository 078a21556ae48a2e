/** nginx: what is written for which site, how its language is read, and each rule with a wrong and a right text. */
import { describe, expect, it } from "vitest";
import type { Address } from "../../../src/base/address.ts";
import { type Expected, type Finding, generateSite, type Site } from "../../../src/sites/index.ts";
import { checkNginx } from "../../../src/sites/nginx-check.ts";
import { type Directive, parseNginx } from "../../../src/sites/nginx-parse.ts";
import { plainSite } from "../../support/sites-table.ts";

const NOTHING: Expected = {
  addresses: undefined,
  mount: undefined,
  maxBodyBytes: undefined,
  sendFile: undefined,
};

function textFor(more: Partial<Site>): string {
  return generateSite("nginx", plainSite("/srv/site", more)).files[0]?.text ?? "";
}

describe("the configuration", () => {
  it("is a file of conf.d with nothing around it, and a whole one for a server of its own", () => {
    const made = generateSite("nginx", plainSite("/srv/site", { standalone: undefined }));
    expect(made.files.map(({ path }) => path)).toEqual(["/etc/nginx/conf.d/yourapplication.conf"]);
    expect(made.files[0]?.text).not.toMatch(/^\s*(?:http|events|user|daemon)\b/m);
    expect(made.check).toEqual(["nginx", "-t"]);
    expect(made.run).toBeUndefined();
    const whole = generateSite("nginx", plainSite("/srv/site"));
    expect(whole.run).toEqual([
      "nginx",
      "-p",
      "/srv/site",
      "-c",
      "/srv/site/nginx.conf",
      "-e",
      "/srv/site/error.log",
    ]);
    expect(whole.check).toEqual([...(whole.run ?? []), "-t"]);
  });

  it("names the user of its workers where there is one", () => {
    const standalone = { folder: "/srv/site", user: "www-data", group: "www", modules: undefined };
    expect(textFor({ standalone })).toMatch(/^user www-data www;$/m);
    expect(textFor({})).not.toMatch(/^user/m);
  });

  it("takes REMOTE_USER from nobody but who has given a password", () => {
    expect(textFor({})).toMatch(/REMOTE_USER +"";/);
    const asked = textFor({ passwords: "/srv/pass words" });
    expect(asked).toMatch(/auth_basic_user_file "\/srv\/pass words";/);
    expect(asked).toMatch(/REMOTE_USER +\$remote_user;/);
    expect(asked).toMatch(/AUTH_TYPE +Basic;/);
  });

  it("keeps connections only when both sides do", () => {
    const kept = textFor({ isKeptAlive: true });
    expect(kept).toMatch(/keepalive 16;/);
    expect(kept).toMatch(/fastcgi_keep_conn on;/);
    expect(textFor({ isKeptAlive: false })).not.toMatch(/keepalive|keep_conn/);
  });

  it("buffers, unless it is to stream", () => {
    expect(textFor({})).not.toMatch(/buffering off/);
    expect(textFor({ isStreaming: true })).toMatch(/fastcgi_buffering off.*fastcgi_request_buffering off/s);
  });

  it.each([
    [0, "0"],
    [1000, "1000"],
    [2048, "2k"],
    [104_857_600, "100m"],
    [1024 ** 3, "1024m"],
  ])("says %i bytes in nginx's units", (maxBodyBytes, word) => {
    expect(textFor({ maxBodyBytes })).toContain(`client_max_body_size ${word};`);
  });

  it("listens on every address, or the one that is given", () => {
    expect(textFor({ listen: { host: undefined, port: 80 } })).toMatch(/listen 80;\n +listen \[::\]:80;/);
    expect(textFor({ listen: { host: "::1", port: 81 } })).toMatch(/listen \[::1\]:81;/);
  });

  it("writes a $ in a folder by a variable, and in a socket as it is", () => {
    const text = textFor({
      publicFolder: "/srv/a$b",
      application: { kind: "external", addresses: [{ kind: "unix", path: "/srv/a$b" }] },
    });
    expect(text).toContain('geo $postern_dollar { default "$"; }');
    expect(text).toContain(`root "/srv/a${"$"}{postern_dollar}b";`);
    expect(text).toContain('server "unix:/srv/a$b";');
    expect(textFor({})).not.toContain("geo");
  });

  it.each<[what: string, site: Partial<Site>, says: RegExp]>([
    [
      "a program to start",
      {
        application: {
          kind: "spawned",
          program: "/a",
          processes: 1,
          isDynamic: false,
          socket: "/s",
          environment: {},
        },
      },
      /^--spawn: nginx starts no programs; keep the application running/,
    ],
    [
      "WebSocket inside FastCGI",
      { webSocket: { url: "/ws", address: undefined } },
      /^--websocket: .* add --ws-http ADDRESS/,
    ],
    [
      "a file of a certificate with a $",
      { tls: { certificate: "/a$b", key: "/k", clientCa: undefined } },
      /^--certificate "\/a\$b": nginx takes the \$ in it for a variable/,
    ],
    [
      "files to send without a location",
      { sendFile: [{ folder: "/srv/files", url: undefined }] },
      /^--send-file \/srv\/files: .* write --send-file \/srv\/files=\/protected\//,
    ],
    ["a path too long for nginx", { publicFolder: `/${"é ".repeat(2000)}` }, /at most 4000 bytes/],
  ])("is refused for %s", (_, more, says) => {
    expect(() => textFor(more)).toThrow(says);
  });

  it("says what it leaves out, and what Postern is to be told", () => {
    const notes = generateSite(
      "nginx",
      plainSite("/s", { isMultiplexed: true, sendFile: [{ folder: "/f", url: "/p/" }] }),
    ).notes;
    expect(notes).toEqual([
      expect.stringMatching(/^--multiplex: nginx sends one request at a time/),
      expect.stringMatching(/tell Postern with --send-file \/f=\/p\/$/),
    ]);
  });
});

/** A variable as nginx writes it, and this language too. */
const BRACED = "$" + "{b}";

describe("its language", () => {
  const shapes = (directives: readonly Directive[]): unknown[] =>
    directives.map(({ name, args, block, line }) => [line, name, ...args, ...(block ? [shapes(block)] : [])]);

  it.each<[what: string, text: string, shape: unknown[]]>([
    [
      "words and ends",
      "a b c;\nd;",
      [
        [1, "a", "b", "c"],
        [2, "d"],
      ],
    ],
    ["blocks in blocks", "a {\n b {\n c;\n}\n}", [[1, "a", [[2, "b", [[3, "c"]]]]]]],
    [
      "comments, at the start of a word only",
      "a b#c; # d;\n#e\nf;",
      [
        [1, "a", "b#c"],
        [3, "f"],
      ],
    ],
    ["quotes", `a "b c" 'd "e";' "f\\"g\\\\";`, [[1, "a", "b c", 'd "e";', 'f"g\\']]],
    ["backslashes that are none of those", 'a ~\\.php$ "\\.x\\t";', [[1, "a", "~\\.php$", "\\.x\t"]]],
    ["variables in braces", `a ${BRACED}c {d;}`, [[1, "a", `${BRACED}c`, [[1, "d"]]]]],
    [
      "a text over lines",
      'a "b\nc";\nd;',
      [
        [1, "a", "b\nc"],
        [3, "d"],
      ],
    ],
    [
      "Lua",
      "a_by_lua_block {\n if x then { } end\n}\nb;",
      [
        [1, "a_by_lua_block", []],
        [4, "b"],
      ],
    ],
    [
      "Windows line ends",
      "a;\r\nb c;\r\n",
      [
        [1, "a"],
        [2, "b", "c"],
      ],
    ],
  ])("is read with its lines: %s", (_, text, shape) => {
    expect(shapes(parseNginx(text))).toEqual(shape);
  });

  it.each([
    ["a {\n b;", /^line 1: .*this block is not closed/],
    ["a;\n}", /^line 2: .*closes nothing/],
    ["a;\nb c\n", /^line 2: .*"b" is not ended by/],
    ["a {\n b\n}", /^line 2: .*"b" is not ended; a ;/],
    ['a;\nb "c;\n', /^line 2: .*has no " at its end/],
    ['a "b"c;', /right after a closing "/],
    ["a;;", /^line 1: .*without a directive/],
    ["a {".repeat(60), /more than 50 blocks/],
    ["a_by_lua_block { {", /not closed/],
  ])("is refused with the line where it ends: %j", (text, says) => {
    expect(() => parseNginx(text)).toThrow(says);
  });

  it("is read from what nginx -T prints, with the files where they are included", () => {
    const text = [
      "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok",
      "# configuration file /etc/nginx/nginx.conf:",
      "http {",
      "    include conf.d/*.conf;",
      "    include /elsewhere/x;",
      "}",
      "",
      "# configuration file /etc/nginx/conf.d/a.conf:",
      "server { listen 80; }",
    ].join("\n");
    expect(shapes(parseNginx(text))).toEqual([
      [
        3,
        "http",
        [
          [9, "server", [[9, "listen", "80"]]],
          [5, "include", "/elsewhere/x"],
        ],
      ],
    ]);
  });
});

/** A server with one location, complete but for what a test changes. */
interface Pieces {
  readonly top?: string;
  readonly server?: string;
  readonly location?: string;
  readonly params?: string;
  readonly pass?: string;
}

const PARAMS = `include fastcgi_params;
fastcgi_param SCRIPT_NAME "";
fastcgi_param PATH_INFO $fastcgi_script_name;
fastcgi_param HTTP_PROXY "";
fastcgi_param REMOTE_USER "";`;

const MOUNTED_PARAMS = `include fastcgi_params;
fastcgi_split_path_info ^(/app)(/.*)$;
fastcgi_param SCRIPT_NAME $fastcgi_script_name;
fastcgi_param PATH_INFO $fastcgi_path_info;
fastcgi_param HTTP_PROXY "";
fastcgi_param REMOTE_USER "";`;

function config({
  top = "",
  server = "",
  location = "/",
  params = PARAMS,
  pass = "unix:/run/a.sock",
}: Pieces): string {
  return `${top}
server {
listen 80;
client_max_body_size 10m;
${server}
location ${location} {
${params}
fastcgi_pass ${pass};
}
}`;
}

const unix = (path: string): Address => ({ kind: "unix", path });

function rules(text: string, expected: Partial<Expected> = {}): Finding[] {
  return checkNginx(text, { ...NOTHING, ...expected });
}

describe("what is wrong with a configuration", () => {
  it("is nothing for an ordinary one", () => {
    expect(rules(config({}))).toEqual([]);
    expect(rules(config({ location: "/app/", params: MOUNTED_PARAMS }))).toEqual([]);
  });

  interface Case {
    readonly rule: string;
    readonly severity: Finding["severity"];
    readonly wrong: Pieces | string;
    readonly right: Pieces | string;
    readonly expected?: Partial<Expected>;
    readonly says: RegExp;
    /** The text of the line that is named. */
    readonly at: RegExp;
  }

  const cases: readonly Case[] = [
    {
      rule: "no-fastcgi-pass",
      severity: "error",
      wrong: "server { location / { proxy_pass http://127.0.0.1:3000; } }",
      right: {},
      says: /no request reaches the application/,
      at: /^$/,
    },
    {
      rule: "address-differs",
      severity: "error",
      wrong: { pass: "unix:/run/b/a.sock" },
      right: { pass: "unix:/var/run/a.sock" },
      expected: { addresses: [unix("/run/a.sock")] },
      says: /unix:\/run\/b\/a\.sock, and the application listens at unix:\/run\/a\.sock: nearly the same/,
      at: /fastcgi_pass/,
    },
    {
      rule: "address-differs",
      severity: "error",
      wrong: { top: "upstream up { server 127.0.0.1:9001; }", pass: "up" },
      right: { top: "upstream up { server 127.0.0.1:9001; server localhost:9000; }", pass: "up" },
      expected: { addresses: [{ kind: "tcp", host: "127.0.0.1", port: 9000 }] },
      says: /go to 127\.0\.0\.1:9001, and the application listens at 127\.0\.0\.1:9000/,
      at: /fastcgi_pass/,
    },
    {
      rule: "address-without-unix",
      severity: "error",
      wrong: { pass: "/run/a.sock" },
      right: {},
      says: /nginx does not start/,
      at: /fastcgi_pass/,
    },
    {
      rule: "address-without-unix",
      severity: "error",
      wrong: { top: "upstream up { server /run/a.sock; }", pass: "up" },
      right: { top: "upstream up { server unix:/run/a.sock; }", pass: "up" },
      says: /\/run\/a\.sock is taken for the name of a host in upstream up; nginx does not start/,
      at: /fastcgi_pass/,
    },
    {
      rule: "http-to-fastcgi",
      severity: "error",
      wrong: { server: "location /ws { proxy_pass http://unix:/run/a.sock:/; }" },
      right: { server: "location /ws/ { proxy_pass http://unix:/run/ws.sock:/; }" },
      says: /proxy_pass speaks HTTP, and at unix:\/run\/a\.sock FastCGI is spoken/,
      at: /proxy_pass/,
    },
    {
      rule: "http-to-fastcgi",
      severity: "error",
      wrong: "upstream u { server 127.0.0.1:9000; }\nserver { location / { proxy_pass http://u; } }",
      right: {},
      expected: { addresses: [{ kind: "tcp", host: "127.0.0.1", port: 9000 }, unix("/run/a.sock")] },
      says: /FastCGI is spoken/,
      at: /proxy_pass/,
    },
    {
      rule: "variable-without-resolver",
      severity: "error",
      wrong: { pass: "$backend:9000" },
      right: { pass: "$backend:9000", server: "resolver 127.0.0.53;" },
      says: /looked up for each request/,
      at: /fastcgi_pass/,
    },
    {
      rule: "pass-in-if",
      severity: "warning",
      wrong: config({}).replace(/(fastcgi_pass .*;)/, "if ($a) { $1 }"),
      right: {},
      says: /fastcgi_pass in an if/,
      at: /fastcgi_pass/,
    },
    {
      rule: "mount-without-slash",
      severity: "warning",
      wrong: { location: "/app", params: MOUNTED_PARAMS },
      right: { location: "/app/", params: MOUNTED_PARAMS },
      says: /^\/appx leads to the application too/,
      at: /location \/app/,
    },
    {
      rule: "mount-without-slash",
      severity: "warning",
      wrong: { location: "~ ^/app", params: MOUNTED_PARAMS },
      right: { location: "~ ^/app(/|$)", params: MOUNTED_PARAMS },
      says: /^\/appx/,
      at: /location ~/,
    },
    {
      rule: "mount-without-slash",
      severity: "warning",
      wrong: config({
        location: "@a",
        params: MOUNTED_PARAMS,
        server: "location /app { try_files $uri @a; }",
      }),
      right: config({
        location: "@a",
        params: MOUNTED_PARAMS,
        server: "location /app/ { try_files $uri @a; }",
      }),
      says: /^\/appx/,
      at: /location \/app/,
    },
    {
      rule: "mount-differs",
      severity: "error",
      wrong: { location: "/other/", params: MOUNTED_PARAMS.replace("/app", "/other") },
      right: { location: "/app/", params: MOUNTED_PARAMS },
      expected: { mount: "/app" },
      says: /nothing leads to the application below \/app: the location is \/other\//,
      at: /location \/other/,
    },
    {
      rule: "keepalive-without-keep-conn",
      severity: "warning",
      wrong: { top: "upstream up { server unix:/run/a.sock;\nkeepalive 8; }", pass: "up" },
      right: {
        top: "upstream up { server unix:/run/a.sock;\nkeepalive 8; }",
        pass: "up",
        server: "fastcgi_keep_conn on;",
      },
      says: /closes?.* after each request/,
      at: /keepalive 8/,
    },
    {
      rule: "keep-conn-without-keepalive",
      severity: "warning",
      wrong: { server: "fastcgi_keep_conn on;" },
      right: { server: "fastcgi_keep_conn off;" },
      says: /nginx closes the connection itself/,
      at: /fastcgi_keep_conn/,
    },
    {
      rule: "small-buffer",
      severity: "warning",
      wrong: { server: "fastcgi_buffers 8 16k;" },
      right: { server: "fastcgi_buffers 8 16k; fastcgi_buffer_size 16k;" },
      says: /for bodies/,
      at: /fastcgi_buffers/,
    },
    {
      rule: "small-buffer",
      severity: "warning",
      wrong: { server: "fastcgi_buffer_size 4k;" },
      right: { server: "fastcgi_buffer_size 8k;" },
      says: /must fit into 4k/,
      at: /fastcgi_buffer_size/,
    },
    {
      rule: "body-limit",
      severity: "warning",
      wrong: config({}).replace("client_max_body_size 10m;", ""),
      right: {},
      says: /more than 1 MiB/,
      at: /fastcgi_pass/,
    },
    {
      rule: "body-limit",
      severity: "error",
      wrong: {},
      right: { server: "client_max_body_size 20m;" },
      expected: { maxBodyBytes: 20 * 1024 ** 2 },
      says: /more than 10m are refused with 413; 20971520 bytes should pass/,
      at: /client_max_body_size/,
    },
    {
      rule: "body-limit",
      severity: "error",
      wrong: {},
      right: { server: "client_max_body_size 0;" },
      expected: { maxBodyBytes: 0 },
      says: /there should be no limit/,
      at: /client_max_body_size/,
    },
    {
      rule: "timeout-too-short",
      severity: "warning",
      wrong: { server: "fastcgi_read_timeout 1m 30s;".replace("1m 30s", "1m30s") },
      right: { server: "fastcgi_read_timeout 2m;" },
      expected: { timeoutSeconds: 120 },
      says: /after 90 s without a byte nginx answers 504, and the application may take 120 s/,
      at: /fastcgi_read_timeout/,
    },
    {
      rule: "folder-listed",
      severity: "warning",
      wrong: config({ location: "@a", server: "autoindex on;\nlocation / { try_files $uri $uri/ @a; }" }),
      right: config({ location: "@a", server: "location / { try_files $uri @a; }" }),
      says: /lists of the files/,
      at: /try_files/,
    },
    {
      rule: "folder-before-application",
      severity: "warning",
      wrong: config({ location: "@a", server: "location / { try_files $uri $uri/ @a; }" }),
      right: config({ location: "@a", server: "location / { try_files $uri @a; }" }),
      says: /takes the application's place/,
      at: /try_files/,
    },
    {
      rule: "alias-traversal",
      severity: "error",
      wrong: { server: "location /static {\nalias /srv/static/; }" },
      right: { server: "location /static/ {\nalias /srv/static/; }" },
      says: /^\/static\.\.\/x is a file outside/,
      at: /location \/static/,
    },
    {
      rule: "alias-slash",
      severity: "error",
      wrong: { server: "location /static/ {\nalias /srv/static; }" },
      right: { server: "location ~ ^/static/ {\nalias /srv/static; }" },
      says: /^\/static\/x is the file \/srv\/staticx/,
      at: /alias/,
    },
    {
      rule: "send-file-missing",
      severity: "error",
      wrong: {},
      right: { server: "location /p/ { internal; alias /srv/f/; }" },
      expected: { sendFile: [{ folder: "/srv/f", url: "/p/" }] },
      says: /there is no location \/p\/ for the files of \/srv\/f/,
      at: /fastcgi_pass/,
    },
    {
      rule: "send-file-open",
      severity: "error",
      wrong: { server: "location /p/ { alias /srv/f/; }" },
      right: { server: "location /p/ { internal; alias /srv/f/; }" },
      expected: { sendFile: [{ folder: "/srv/f", url: "/p/" }] },
      says: /every visitor can ask/,
      at: /location \/p/,
    },
    {
      rule: "send-file-folder",
      severity: "error",
      wrong: { server: "location /p/ { internal; root /srv/f; }" },
      right: { server: "location /p/ { internal; root /srv; }" },
      expected: { sendFile: [{ folder: "/srv/p", url: "/p/" }] },
      says: /is not the folder \/srv\/p/,
      at: /location \/p/,
    },
    {
      rule: "parameters-missing",
      severity: "error",
      wrong: {
        server: "include fastcgi_params;",
        params: PARAMS.replace("include fastcgi_params;\n", "fastcgi_param CONTENT_TYPE $content_type;\n"),
      },
      right: {},
      says: /^REQUEST_METHOD, REQUEST_URI, QUERY_STRING, CONTENT_LENGTH are not sent; .* outer blocks/,
      at: /fastcgi_pass/,
    },
    {
      rule: "path-info-missing",
      severity: "error",
      wrong: {
        location: "/app/",
        params: "include fastcgi_params;\nfastcgi_param HTTP_PROXY '';\nfastcgi_param REMOTE_USER '';",
      },
      right: { location: "/app/", params: MOUNTED_PARAMS },
      says: /cannot know that it is mounted at \/app/,
      at: /fastcgi_pass/,
    },
    {
      rule: "path-info-missing",
      severity: "warning",
      wrong: {
        params: "include fastcgi_params;\nfastcgi_param HTTP_PROXY '';\nfastcgi_param REMOTE_USER '';",
      },
      right: {},
      says: /has to guess that it is at the root/,
      at: /fastcgi_pass/,
    },
    {
      rule: "script-name-missing",
      severity: "error",
      wrong: {
        params: PARAMS.replace(
          'include fastcgi_params;\nfastcgi_param SCRIPT_NAME "";',
          ["REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH"]
            .map((name) => `fastcgi_param ${name} $${name.toLowerCase()};`)
            .join("\n"),
        ),
      },
      right: {},
      says: /SCRIPT_NAME is not sent/,
      at: /fastcgi_pass/,
    },
    {
      rule: "script-name-whole",
      severity: "error",
      wrong: { params: PARAMS.replace('SCRIPT_NAME ""', "SCRIPT_NAME $uri") },
      right: {},
      says: /takes the path for its mount/,
      at: /SCRIPT_NAME/,
    },
    {
      rule: "script-name-swapped",
      severity: "error",
      wrong: {
        location: "/app/",
        params: MOUNTED_PARAMS.replace(
          "SCRIPT_NAME $fastcgi_script_name",
          "SCRIPT_NAME $fastcgi_path_info",
        ).replace("PATH_INFO $fastcgi_path_info", "PATH_INFO $fastcgi_script_name"),
      },
      right: { location: "/app/", params: MOUNTED_PARAMS },
      says: /the other way round/,
      at: /SCRIPT_NAME/,
    },
    {
      rule: "parameter-overridden",
      severity: "error",
      wrong: { params: `${PARAMS.replace("include fastcgi_params;\n", "")}\ninclude fastcgi_params;` },
      right: { params: PARAMS },
      says: /SCRIPT_NAME is set again behind this line, at line \d+/,
      at: /SCRIPT_NAME/,
    },
    {
      rule: "split-pattern",
      severity: "error",
      wrong: { location: "/app/", params: MOUNTED_PARAMS.replace("^(/app)(/.*)$", "^(.+\\.php)(/.+)$") },
      right: { location: "/app/", params: MOUNTED_PARAMS.replace("^(/app)(/.*)$", '"(?s)^(/app)(.*)$"') },
      says: /does not match \/app\/a\/b/,
      at: /split_path_info/,
    },
    {
      rule: "split-pattern",
      severity: "error",
      wrong: { location: "/app/", params: MOUNTED_PARAMS.replace("^(/app)(/.*)$", "^(/app/)(.*)$") },
      right: { location: "/app/", params: MOUNTED_PARAMS },
      says: /apart into "\/app\/" and "a\/b"/,
      at: /split_path_info/,
    },
    {
      rule: "user-unproved",
      severity: "warning",
      wrong: { params: PARAMS.replace('fastcgi_param REMOTE_USER "";', "") },
      right: {
        params: PARAMS.replace('fastcgi_param REMOTE_USER "";', ""),
        server: "auth_basic x; auth_basic_user_file /x;",
      },
      says: /nobody has asked for a password/,
      at: /include fastcgi_params/,
    },
    {
      rule: "proxy-header",
      severity: "warning",
      wrong: { params: PARAMS.replace('fastcgi_param HTTP_PROXY "";', "") },
      right: {},
      says: /httpoxy/,
      at: /fastcgi_pass/,
    },
    {
      rule: "host-without-port",
      severity: "warning",
      wrong: config({}).replace("listen 80;", "listen 127.0.0.1:8080;"),
      right: config({ params: `${PARAMS}\nfastcgi_param HTTP_HOST $host:$server_port;` }).replace(
        "80;",
        "8080;",
      ),
      says: /Debian's fastcgi_params sends the host without its port/,
      at: /fastcgi_pass/,
    },
    {
      rule: "host-without-port",
      severity: "warning",
      wrong: config({ params: `${PARAMS}\nfastcgi_param HTTP_HOST $host;` }).replace("80;", "8080;"),
      right: config({ params: `${PARAMS}\nfastcgi_param HTTP_HOST $http_host;` }).replace("80;", "8080;"),
      says: /HTTP_HOST is sent without its port/,
      at: /HTTP_HOST/,
    },
    {
      rule: "https-missing",
      severity: "error",
      wrong: config({
        params: `${["REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH"]
          .map((name) => `fastcgi_param ${name} $${name.toLowerCase()};`)
          .join("\n")}\n${PARAMS.replace("include fastcgi_params;", "")}`,
      }).replace("listen 80;", "listen 443 ssl;"),
      right: config({}).replace("listen 80;", "listen 443 ssl;"),
      says: /over plain HTTP/,
      at: /fastcgi_pass/,
    },
  ];

  const asText = (given: Pieces | string): string => (typeof given === "string" ? given : config(given));

  it.each(cases)("$rule, a(n) $severity: $says", ({ rule, severity, wrong, right, expected, says, at }) => {
    const text = asText(wrong);
    const found = rules(text, expected).filter((one) => one.rule === rule);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ severity, what: expect.stringMatching(says) });
    expect(text.split("\n")[(found[0]?.line ?? 0) - 1] ?? "").toMatch(at);
    expect(found[0]?.remedy).not.toBe("");
    expect(rules(asText(right), expected).filter((one) => one.rule === rule)).toEqual([]);
  });

  it("is looked for in the application's locations, not in those of PHP beside it", () => {
    const php =
      "location ~ \\.php$ { include x; fastcgi_param REMOTE_USER $remote_user; fastcgi_pass unix:/run/php.sock; }";
    expect(rules(config({ server: php }))).toEqual([]);
    expect(rules(config({ server: php }), { addresses: [unix("/run/a.sock")] })).toEqual([]);
  });

  it("is told once for each line, however many locations it is about", () => {
    const two = `server { listen 80;
fastcgi_buffer_size 4k; client_max_body_size 1m;
location /a/ { ${PARAMS} fastcgi_pass unix:/run/a; }
location /b/ { ${PARAMS} fastcgi_pass unix:/run/a; }
}`;
    expect(rules(two).map(({ rule, line }) => [rule, line])).toEqual([["small-buffer", 2]]);
  });

  it("is not what an unknown include may say", () => {
    expect(rules(config({ params: "include snippets/app.conf;" }))).toEqual([]);
  });
});
