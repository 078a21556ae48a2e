/** What an existing configuration of Apache gets wrong: each rule with a text that breaks it and one that does not. */
import { describe, expect, it } from "vitest";
import { parseApache } from "../../../src/sites/apache-parse.ts";
import { checkConfiguration, type Expected, type Finding } from "../../../src/sites/index.ts";

const UNKNOWN: Expected = {
  addresses: undefined,
  mount: undefined,
  maxBodyBytes: undefined,
  sendFile: undefined,
};

function check(text: string, expected: Partial<Expected> = {}): Finding[] {
  return checkConfiguration("apache", text, { ...UNKNOWN, ...expected });
}

const PROXY = `<VirtualHost *:80>
    ServerName example.com
    AllowEncodedSlashes NoDecode
    ProxyFCGIBackendType GENERIC
    ProxyPass "/static/" "!"
    ProxyPass "/shop" "unix:/run/shop/app.sock|fcgi://shop/" flushpackets=on
    <Location "/shop">
        ProxyFCGISetEnvIf "true" SCRIPT_NAME "/shop"
        ProxyFCGISetEnvIf "%{REQUEST_URI} =~ m#^/shop(/.*)?$#" PATH_INFO "$1"
        CGIPassAuth On
    </Location>
</VirtualHost>
`;
const FCGID = `FcgidMaxRequestLen 104857600
FcgidOutputBufferSize 0
<VirtualHost *:80>
    AllowEncodedSlashes NoDecode
    ScriptAlias "/" "/srv/app/shop.fcgi/"
    <Directory "/srv/app">
        Require all granted
        <Files "shop.fcgi">
            SetHandler fcgid-script
            Options +ExecCGI
            CGIPassAuth On
        </Files>
    </Directory>
</VirtualHost>
`;
const FASTCGI = `FastCgiExternalServer /var/www/shop/external -host 127.0.0.1:9000 -pass-header Authorization
<VirtualHost *:80>
    AllowEncodedSlashes NoDecode
    Alias /shop /var/www/shop/external
    <Location /shop>
        SetHandler fastcgi-script
        Options +ExecCGI
    </Location>
</VirtualHost>
`;
const HTACCESS = `<Files "shop.fcgi">
    Options +ExecCGI
    SetHandler fcgid-script
</Files>
RewriteEngine On
RewriteRule ^ - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule ^(.*)$ shop.fcgi/$1 [QSA,L]
`;
const PROGRAM = `#!/bin/sh
cd /home/kim/shop || exit 1
exec /usr/bin/node serve.js
`;

const unix = (path: string): Partial<Expected> => ({ addresses: [{ kind: "unix", path }] });
const tcp = (port: number): Partial<Expected> => ({ addresses: [{ kind: "tcp", host: "", port }] });

interface Row {
  readonly rule: string;
  readonly right: string;
  /** What is found in `right`, and what it is replaced by. */
  readonly change: readonly [string | RegExp, string];
  readonly line: number;
  readonly severity: Finding["severity"];
  readonly expected?: Partial<Expected>;
  readonly says?: RegExp;
}

const ROWS: readonly Row[] = [
  { rule: "no-fastcgi", right: PROXY, change: [/.*ProxyPass.*\n/g, ""], line: 0, severity: "error" },
  {
    rule: "http-to-fastcgi",
    right: PROXY,
    change: ["fcgi://", "http://"],
    line: 6,
    severity: "error",
    expected: unix("/run/shop/app.sock"),
  },
  {
    rule: "http-to-fastcgi",
    right: PROXY,
    change: [
      '    ProxyPass "/shop"',
      '    ProxyPass "/x" "unix:/run/shop/app.sock|http://x/x"\n    ProxyPass "/shop"',
    ],
    line: 6,
    severity: "error",
    expected: unix("/run/shop/app.sock"),
  },
  {
    rule: "address-differs",
    right: PROXY,
    change: ["/run/shop/", "/run/old/"],
    line: 6,
    severity: "error",
    expected: unix("/run/shop/app.sock"),
    says: /another folder: write \/run\/shop\/app\.sock/,
  },
  {
    rule: "address-differs",
    right: FASTCGI,
    change: [":9000", ":9001"],
    line: 1,
    severity: "error",
    expected: tcp(9000),
    says: /requests go to 127\.0\.0\.1:9001, but the application listens at 127\.0\.0\.1:9000/,
  },
  {
    rule: "trailing-slash-missing",
    right: PROXY,
    change: [
      'ProxyPass "/shop" "unix:/run/shop/app.sock|fcgi://shop/"',
      'ProxyPass "/shop/" "fcgi://[::1]:9000"',
    ],
    line: 6,
    severity: "error",
  },
  {
    rule: "mount-doubled",
    right: PROXY,
    change: ["fcgi://shop/", "fcgi://shop/shop/"],
    line: 6,
    severity: "warning",
  },
  { rule: "pieces-held-back", right: PROXY, change: [" flushpackets=on", ""], line: 6, severity: "warning" },
  {
    rule: "path-cut-by-handler",
    right: PROXY,
    change: [
      / {4}ProxyPass "\/shop".*\n.*\n.*\n.*\n/,
      '<Location "/shop">\nSetHandler "proxy:fcgi://127.0.0.1:9000/"\n',
    ],
    line: 7,
    severity: "error",
  },
  {
    rule: "pass-too-late",
    right: PROXY,
    change: [
      /( {4}ProxyPass "\/static.*\n)( {4}ProxyPass "\/shop".*\n)/,
      '$2    ProxyPass "/shop/static/" "!"\n',
    ],
    line: 6,
    severity: "error",
  },
  {
    rule: "mount-not-told",
    right: PROXY,
    change: [/.*ProxyFCGISetEnvIf.*\n/g, ""],
    line: 6,
    severity: "warning",
  },
  {
    rule: "mount-differs",
    right: PROXY,
    change: ['SCRIPT_NAME "/shop"', 'SCRIPT_NAME ""'],
    line: 8,
    severity: "error",
    says: /SCRIPT_NAME is set to "" at \/shop/,
  },
  {
    rule: "mount-differs",
    right: PROXY.replaceAll("/shop", "/blog"),
    change: [/\/blog/g, "/shop"],
    line: 6,
    severity: "error",
    expected: { mount: "/blog" },
  },
  { rule: "backend-type-fpm", right: PROXY, change: [/.*BackendType.*\n/, ""], line: 0, severity: "warning" },
  { rule: "backend-type-fpm", right: PROXY, change: ["GENERIC", "FPM"], line: 4, severity: "warning" },
  {
    rule: "encoded-slashes-refused",
    right: PROXY,
    change: ["NoDecode", "Off"],
    line: 3,
    severity: "warning",
  },
  {
    rule: "encoded-slashes-refused",
    right: FCGID,
    change: [/.*NoDecode\n/, ""],
    line: 0,
    severity: "warning",
  },
  {
    rule: "authorization-dropped",
    right: PROXY,
    change: [/.*PassAuth.*\n/, ""],
    line: 0,
    severity: "warning",
  },
  {
    rule: "authorization-dropped",
    right: FASTCGI,
    change: [" -pass-header Authorization", ""],
    line: 0,
    severity: "warning",
    says: /-pass-header/,
  },
  {
    rule: "authorization-dropped",
    right: HTACCESS,
    change: [/.*E=HTTP.*\n/, ""],
    line: 0,
    severity: "warning",
  },
  {
    rule: "pass-auth-misplaced",
    right: PROXY,
    change: [/(.*)<\/VirtualHost>/, "CGIPassAuth On\n$1</VirtualHost>"],
    line: 12,
    severity: "error",
  },
  {
    rule: "body-limit-without-effect",
    right: PROXY,
    change: ["    ServerName", "    LimitRequestBody 1000\n    ServerName"],
    line: 2,
    severity: "warning",
  },
  {
    rule: "body-limit-without-effect",
    right: FCGID,
    change: ["FcgidMax", "LimitRequestBody 1000\nFcgidMax"],
    line: 1,
    severity: "error",
    says: /is given an empty one/,
  },
  { rule: "body-limit-default", right: FCGID, change: [/FcgidMax.*\n/, ""], line: 0, severity: "error" },
  {
    rule: "body-limit-small",
    right: FCGID,
    change: ["104857600", "1048576"],
    line: 1,
    severity: "error",
    expected: { maxBodyBytes: 104_857_600 },
  },
  {
    rule: "answers-collected",
    right: FCGID,
    change: ["BufferSize 0", "BufferSize 65536"],
    line: 2,
    severity: "warning",
  },
  { rule: "answers-collected", right: FCGID, change: [/FcgidOut.*\n/, ""], line: 0, severity: "warning" },
  {
    rule: "exec-not-allowed",
    right: FCGID.replace(/.*ScriptAlias.*\n/, ""),
    change: [/.*ExecCGI\n/, ""],
    line: 8,
    severity: "error",
  },
  {
    rule: "trailing-slash-missing",
    right: FCGID,
    change: ["shop.fcgi/", "shop.fcgi"],
    line: 5,
    severity: "error",
  },
  { rule: "folder-not-granted", right: FCGID, change: [/.*Require.*\n/, ""], line: 5, severity: "warning" },
  {
    rule: "external-server",
    right: FASTCGI,
    change: ["FastCgiExternalServer", "FastCgiServer"],
    line: 1,
    severity: "error",
  },
  {
    rule: "send-file-off",
    right: PROXY.replace(
      "    ServerName",
      '    XSendFile On\n    XSendFilePath "/srv/files"\n    ServerName',
    ),
    change: ['XSendFilePath "/srv/files"', 'XSendFilePath "/srv/file"'],
    line: 0,
    severity: "error",
    expected: { sendFile: [{ folder: "/srv/files", url: undefined }] },
  },
  {
    rule: "options-mixed",
    right: HTACCESS,
    change: ["+ExecCGI", "+ExecCGI Indexes"],
    line: 2,
    severity: "error",
  },
  {
    rule: "follow-symlinks",
    right: HTACCESS,
    change: ["+ExecCGI", "+ExecCGI +FollowSymLinks"],
    line: 2,
    severity: "warning",
  },
  { rule: "exec-not-allowed", right: HTACCESS, change: [/.*ExecCGI\n/, ""], line: 2, severity: "error" },
  {
    rule: "program-in-urls",
    right: HTACCESS,
    change: [/.*shop\.fcgi\/.*\n/, ""],
    line: 0,
    severity: "warning",
  },
  {
    rule: "rewrite-engine-off",
    right: HTACCESS,
    change: ["Engine On", "Engine Off"],
    line: 8,
    severity: "error",
  },
  { rule: "rewrite-loop", right: HTACCESS, change: [/.*!-f\n/, ""], line: 7, severity: "error" },
  {
    // A rule that ends at the program keeps it from being rewritten for ever.
    rule: "files-not-spared",
    right: HTACCESS.replace("RewriteCond", "RewriteRule ^shop\\.fcgi - [L]\nRewriteCond"),
    change: [/.*!-f\n/, ""],
    line: 8,
    severity: "warning",
  },
  {
    rule: "files-not-spared",
    right: HTACCESS,
    change: ["%{REQUEST_FILENAME} !-f", "%{REQUEST_URI} !shop\\.fcgi"],
    line: 8,
    severity: "warning",
  },
  {
    rule: "rewrite-base-differs",
    right: HTACCESS.replace("RewriteEngine", "RewriteBase /blog/\nRewriteEngine"),
    change: ["/blog/", "/"],
    line: 5,
    severity: "error",
    expected: { mount: "/blog" },
  },
  {
    rule: "pass-auth-in-htaccess",
    right: HTACCESS,
    change: ["    SetHandler", "    CGIPassAuth On\n    SetHandler"],
    line: 3,
    severity: "warning",
  },
  { rule: "line-endings", right: PROGRAM, change: [/\n/g, "\r\n"], line: 1, severity: "error" },
  { rule: "byte-order-mark", right: PROGRAM, change: [/^/, "\uFEFF"], line: 1, severity: "error" },
  { rule: "interpreter-relative", right: PROGRAM, change: ["#!/bin/sh", "#!sh"], line: 1, severity: "error" },
  {
    rule: "interpreter-searched",
    right: PROGRAM,
    change: ["/usr/bin/node", "node"],
    line: 3,
    severity: "warning",
  },
  {
    rule: "interpreter-searched",
    right: '#!/usr/bin/node\nimport("./serve.mjs");\n',
    change: ["/usr/bin/node", "/usr/bin/env node"],
    line: 1,
    severity: "warning",
  },
  {
    rule: "module-in-fcgi",
    right: '#!/usr/bin/node\nimport("./serve.mjs");\n',
    change: [/import.*/, 'import { serve } from "postern";'],
    line: 2,
    severity: "error",
  },
  { rule: "shell-stays", right: PROGRAM, change: ["exec ", ""], line: 3, severity: "error" },
  {
    rule: "own-socket",
    right: PROGRAM,
    change: ["serve.js", "serve.js --bind unix:/tmp/x.sock"],
    line: 3,
    severity: "error",
  },
];

describe("in a configuration of Apache", () => {
  it.each(ROWS)(
    "$rule is found in line $line, and only there",
    ({ rule, right, change, line, severity, expected, says }) => {
      const wrong = right.replace(...change);
      expect(wrong).not.toBe(right);
      expect(check(right, expected).map((one) => one.rule)).not.toContain(rule);
      const found = check(wrong, expected).filter((one) => one.rule === rule);
      expect(found.map((one) => [one.line, one.severity])).toEqual([[line, severity]]);
      const [{ what = "", remedy = "" } = {}] = found;
      expect(what).toMatch(/^\S.*[^.]$/);
      expect(remedy).not.toBe("");
      if (says !== undefined) expect(`${what}; ${remedy}`).toMatch(says);
    },
  );

  it.each([
    ["mod_proxy_fcgi", PROXY, { ...unix("/run/shop/app.sock"), mount: "/shop" }],
    ["mod_fcgid", FCGID, { maxBodyBytes: 104_857_600 }],
    ["mod_fastcgi", FASTCGI, tcp(9000)],
    ["an .htaccess", HTACCESS, { mount: "" }],
    ["a .fcgi file", PROGRAM, {}],
  ] as const)("nothing is found that is right for %s", (_, text, expected) => {
    expect(check(text, expected)).toEqual([]);
  });

  it("a virtual host that only leads elsewhere is not looked at", () => {
    const redirect = '<VirtualHost *:80>\nRedirect "/" "https://example.com/"\n</VirtualHost>\n';
    expect(check(redirect + PROXY)).toEqual([]);
  });

  it("what is outside of all virtual hosts counts for each, once", () => {
    const both = FCGID.replace("BufferSize 0", "BufferSize 1") + FCGID.slice(FCGID.indexOf("<Virtual"));
    expect(check(both).map(({ rule, line }) => [rule, line])).toEqual([["answers-collected", 2]]);
  });
});

describe("the parser of Apache's configuration", () => {
  it("reads quotes, continued lines and sections", () => {
    const text = '# x\n\uFEFF<IfModule a.c>\r\n  Foo "a \\"b\\" \\\\ c" \\\n  \'d e\' f\n</IfModule>\nBar\n';
    expect(parseApache(text.slice(4))).toEqual([
      {
        name: "foo",
        args: ['a "b" \\ c', "d e", "f"],
        line: 2,
        within: [{ name: "ifmodule", args: ["a.c"], line: 1 }],
      },
      { name: "bar", args: [], line: 5, within: [] },
    ]);
  });

  it.each([
    ["<Location />\nFoo\n", /line 1: the section <location> does not end/],
    ["</Location>\n", /line 1: <\/Location> ends a section, but nothing is open/],
    ["<Files a>\n</Location>\n", /line 2: <\/Location> ends a section, but <files> of line 1 is open/],
  ])("refuses %j", (text, says) => {
    expect(() => check(text)).toThrow(
      expect.objectContaining({ code: "ERR_POSTERN_BAD_SETTING", message: expect.stringMatching(says) }),
    );
  });

  it("reads anything without another error than that", () => {
    for (const piece of [
      "<",
      ">",
      '"',
      "'",
      "\\",
      "\\\n",
      "<>",
      "< >",
      "</",
      '<A "',
      "\0",
      "é",
      "<A>\n</A>",
      '"\\',
    ]) {
      for (const text of [piece, `x ${piece}`, `${piece} x`, `${piece}${piece}\n${piece}`]) {
        try {
          check(text);
        } catch (error) {
          expect((error as { code?: string }).code).toBe("ERR_POSTERN_BAD_SETTING");
        }
      }
    }
  });
});
