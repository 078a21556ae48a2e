/**
 * Authorizers behind the real web servers that ask them, with the configurations that docs/authorizer.md shows: who is
 * let in, what is behind the door learns, what the visitor gets to see, and that nobody comes in past a broken door.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import type { Application, NodeListener } from "../../src/index.ts";
import { LANGUAGES } from "../support/deploy-docs.ts";
import { behindDoor, type Door, type DoorOptions } from "../support/e2e/door.ts";
import { type HttpAnswer, request } from "../support/http.ts";
import { type CodeBlock, readDocument, tableRows } from "../support/markdown.ts";
import { temporaryFolder } from "../support/temp.ts";
import { describeWithServer, type ServerName } from "../support/web-servers/available.ts";
import { describeWithCurrent } from "../support/web-servers/current.ts";
import type { Release } from "../support/web-servers/generated.ts";

const page = readDocument("docs/authorizer.md");
const WORD = { "X-Token": "open-sesame" };
const KIM = { Authorization: `Basic ${Buffer.from("kim:secret").toString("base64")}` };
const WRONG = { Authorization: `Basic ${Buffer.from("kim:wrong").toString("base64")}` };

type Headers = Readonly<Record<string, string>>;

/** One way in which a server asks, and what comes of the authorizer's answers. */
interface Way {
  /** In the fence of its block. */
  readonly mark: string;
  /** Its column in the table of the page. */
  readonly column: number;
  readonly needs: readonly ServerName[];
  /** What a visitor sends who is to be let in, and one who is not. */
  readonly right: Headers;
  readonly wrong: Headers;
  /** Sent with the words that make the authorizer refuse in other ways: those who never get so far are not asked about. */
  readonly known: Headers;
  /** Statuses for 403, 302, 418, an exception, and no authorizer at all; undefined where that cannot be. */
  readonly statuses: readonly [
    denied: number,
    redirect: number,
    teapot: number,
    broken: number,
    gone: number | undefined,
  ];
  /** Whether these reach the visitor. */
  readonly headers: boolean;
  readonly location: boolean;
  readonly body: boolean;
  /** FCGI_APACHE_ROLE. */
  readonly asks?: string;
  /** Whether the authorizer has the password of a right visitor. */
  readonly password?: boolean;
}

const FCGID: readonly ServerName[] = ["apache", "apache-fcgid"];
const APACHE_PAGE = { headers: true, location: false, body: false } as const;
const WAYS: readonly Way[] = [
  {
    mark: "authorizes=/private/",
    column: 1,
    needs: ["lighttpd"],
    right: WORD,
    wrong: {},
    known: {},
    statuses: [403, 302, 418, 500, 503],
    headers: true,
    location: true,
    body: true,
  },
  {
    mark: "asks=check",
    column: 2,
    needs: ["apache"],
    right: WORD,
    wrong: {},
    known: {},
    statuses: [403, 302, 418, 500, 500],
    headers: true,
    location: true,
    body: true,
    asks: "AUTHENTICATOR",
  },
  {
    mark: "asks=basic",
    column: 3,
    needs: ["apache"],
    right: KIM,
    wrong: WRONG,
    known: KIM,
    statuses: [401, 401, 401, 500, 500],
    ...APACHE_PAGE,
    asks: "AUTHENTICATOR",
    password: true,
  },
  {
    mark: "asks=authz",
    column: 3,
    needs: ["apache"],
    right: KIM,
    wrong: WRONG,
    known: KIM,
    statuses: [401, 401, 401, 500, 500],
    ...APACHE_PAGE,
    asks: "AUTHORIZER",
  },
  {
    mark: "asks=access",
    column: 4,
    needs: FCGID,
    right: WORD,
    wrong: {},
    known: {},
    statuses: [401, 401, 401, 401, undefined],
    ...APACHE_PAGE,
    asks: "ACCESS_CHECKER",
  },
  {
    mark: "asks=authenticator",
    column: 4,
    needs: FCGID,
    right: KIM,
    wrong: WRONG,
    known: KIM,
    statuses: [401, 401, 401, 401, undefined],
    ...APACHE_PAGE,
    asks: "AUTHENTICATOR",
    password: true,
  },
  {
    mark: "asks=authorizer",
    column: 4,
    needs: FCGID,
    right: KIM,
    wrong: WRONG,
    known: KIM,
    statuses: [401, 401, 401, 401, undefined],
    ...APACHE_PAGE,
    asks: "AUTHORIZER",
  },
  {
    mark: "asks=request",
    column: 5,
    needs: ["nginx"],
    right: WORD,
    wrong: {},
    known: {},
    statuses: [403, 500, 500, 500, 500],
    headers: false,
    location: false,
    body: false,
  },
];

function blockOf(mark: string): CodeBlock {
  const found = page.blocks.find(({ info }) => info.split(" ").includes(mark));
  if (found === undefined) throw new Error(`docs/authorizer.md has no block ${mark}`);
  return found;
}

/** nginx asks a responder; it answers by the same words, and notes nothing. */
const responder: NodeListener = (req, res) => {
  const word = req.headers["x-token"];
  if (word === "throw") throw new Error("the book of words is lost");
  req.resume().once("end", () => {
    const [status, headers] = {
      "open-sesame": [204, { "X-Visitor": "ali-baba", "X-Url": `${req.method} ${req.url}` }],
      redirect: [302, { Location: "http://example.com/login" }],
      teapot: [418, { "X-Reason": "tea" }],
      login: [401, { "WWW-Authenticate": "Basic realm=door", "X-Reason": "who" }],
    }[String(word)] ?? [403, { "X-Reason": "no word" }];
    res.writeHead(status as number, headers as Headers).end("Say the word.\n");
  });
};

function ask({ web }: Door, headers: Headers, body?: string): Promise<HttpAnswer> {
  const url = `${web.origin}/private/x?q=1`;
  return request(url, { headers: { ...headers }, ...(body === undefined ? {} : { body }) });
}

/** The parameters that what is behind the door got. */
function paramsOf({ text }: HttpAnswer): Readonly<Record<string, string>> {
  return JSON.parse(text) as Record<string, string>;
}

for (const way of WAYS) {
  describeWithServer(way.needs, `${way.needs.at(-1)}, ${way.mark}`, () => waysOf(way, "system"));
}
describeWithCurrent("lighttpd", "the newest lighttpd", () => waysOf(WAYS[0]!, "current"));
describeWithCurrent("nginx", "the newest nginx", () => waysOf(WAYS.at(-1)!, "current"));

function waysOf(way: Way, release: Release): void {
  const isNginx = way.mark === "asks=request";
  const options: DoorOptions = { release, ...(isNginx ? { application: responder } : {}) };
  const block = blockOf(way.mark);
  const [denied, redirect, teapot, broken, gone] = way.statuses;
  const test = (name: string, play: (door: Door) => Promise<void>): void => {
    it(name, () => behindDoor(block, options, play));
  };

  test("lets in who may come in, and tells what is behind the door who that is", async (door) => {
    const answer = await ask(door, { ...way.right, Visitor: "forged", "Variable-Visitor": "forged" });
    expect(answer.status, door.web.errorLog()).toBe(200);
    const params = paramsOf(answer);
    expect(params).toMatchObject({ VISITOR: "ali-baba", REQUEST_URI: "/private/x?q=1" });
    if (way.asks !== undefined) expect(params["ASKED_AS"]).toBe(way.asks);
    if (!isNginx) expect(params["PASSWORD"]).toBe(way.password === true ? "secret" : "");
    expect(Object.keys(answer.headers)).not.toContain("variable-visitor");
    for (const { params: asked, role } of door.questions) {
      expect(role).toBe("authorizer");
      expect(asked["REQUEST_URI"]).toBe("/private/x?q=1");
    }
  });

  test("keeps a body for what is behind the door", async (door) => {
    const answer = await ask(door, way.right, "12345");
    expect([answer.status, paramsOf(answer)["body bytes"]], door.web.errorLog()).toEqual([200, 5]);
    expect(door.questions.map(({ bodyBytes }) => bodyBytes)).toEqual(door.questions.map(() => 0));
  });

  test("lets nobody in who may not come in", async (door) => {
    const no = await ask(door, way.wrong);
    expect([no.status, no.text.includes("ali-baba")], door.web.errorLog()).toEqual([denied, false]);
    expect((await ask(door, way.wrong, "12345")).status).toBe(denied);
    const tea = await ask(door, { ...way.known, "X-Token": "teapot" });
    expect(tea.status).toBe(teapot);
    expect([tea.headers["x-reason"], tea.text.includes("Say the word.")]).toEqual([
      way.headers ? "tea" : undefined,
      way.body,
    ]);
    const away = await ask(door, { ...way.known, "X-Token": "redirect" });
    expect(away.status).toBe(redirect);
    expect(away.headers.location).toBe(way.location ? "http://example.com/login" : undefined);
  });

  test("lets nobody in when the authorizer fails", async (door) => {
    const failed = await ask(door, { ...way.known, ...way.right, "X-Token": "throw" });
    expect([failed.status, failed.text.includes("ali-baba")], door.web.errorLog()).toEqual([broken, false]);
    if (gone === undefined) return;
    await door.abandon();
    expect((await ask(door, way.right)).status, door.web.errorLog()).toBe(gone);
  });
}

describeWithServer("nginx", "nginx and a login", () => {
  it("passes on that the visitor should log in, and the application sees the visitor's URL", async () => {
    const urls: string[] = [];
    const application: NodeListener = (req, res) => {
      urls.push(`${req.method} ${req.url}`);
      responder(req, res);
    };
    await behindDoor(blockOf("asks=request"), { application }, async (door) => {
      const answer = await ask(door, { "X-Token": "login" });
      expect([answer.status, answer.headers["www-authenticate"]]).toEqual([401, "Basic realm=door"]);
      await ask(door, WORD, "12345");
      expect(urls).toEqual(["GET /private/x?q=1", "POST /private/x?q=1"]);
      expect((await request(`${door.web.origin}/authorize`)).status).toBe(404);
    });
  });
});

describeWithServer(FCGID, "mod_fcgid", () => {
  it.each(["asks=access", "asks=authenticator", "asks=authorizer"])(
    "shows visitors the variables unless told not to (%s)",
    async (mark) => {
      const block = blockOf(mark);
      const text = block.text.replace(/^ *Header always unset .*\n/m, "");
      expect(text).not.toBe(block.text);
      await behindDoor({ ...block, text }, {}, async (door) => {
        expect((await ask(door, { ...WORD, ...KIM })).headers["variable-visitor"]).toBe("ali-baba");
      });
    },
  );
});

describeWithServer("lighttpd", "files", () => {
  it("are behind the door too", async () => {
    const block = blockOf("authorizes=/private/");
    const text = block.text.replace(/,\s*"\/" => \(\([\s\S]*?\)\)/, "");
    expect(text).not.toContain("app.sock");
    await behindDoor({ ...block, text }, {}, async (door) => {
      const url = `${door.web.origin}/private/a.txt`;
      expect((await request(url)).status).toBe(403);
      const file = await request(url, { headers: WORD });
      expect([file.status, file.text]).toEqual([200, "a file behind the door"]);
    });
  });
});

/** The applications that the page shows, run. */
async function shown(index: number): Promise<Application> {
  const block = page.blocks.filter(({ language }) => language === "js")[index]!;
  const file = join(temporaryFolder("shown"), "door.mjs");
  writeFileSync(file, block.text);
  return ((await import(pathToFileURL(file).href)) as { default: Application }).default;
}

describeWithServer(["lighttpd", "nginx"], "the applications of the page", () => {
  it.each([
    [0, "authorizes=/private/"],
    [1, "asks=request"],
  ] as const)("do what it says (%i, %s)", async (index, mark) => {
    await behindDoor(blockOf(mark), { application: await shown(index) }, async (door) => {
      expect((await ask(door, {})).status).toBe(403);
      const answer = await ask(door, WORD);
      expect([answer.status, paramsOf(answer)["VISITOR"]]).toEqual([200, "ali-baba"]);
    });
  });
});

it("the table of the page says what the tests see", () => {
  const rows = new Map(
    tableRows(page.prose).map(([name = "", ...cells]) => [name.replaceAll("`", ""), cells]),
  );
  const cell = (row: string, { column }: Way): string => rows.get(row)?.[column - 1] ?? `no row ${row}`;
  for (const way of WAYS) {
    const [denied, redirect, teapot, broken, gone] = way.statuses;
    expect(cell("deny(403)", way)).toBe(String(denied));
    expect(cell("deny(302, { Location })", way)).toBe(String(redirect));
    expect(cell("any other status", way)).toMatch(
      teapot === 418 ? /^as it is$/ : new RegExp(`^${teapot}\\b`),
    );
    expect(cell("it throws", way)).toBe(String(broken));
    expect(cell("it does not run", way)).toBe(gone === undefined ? "started" : String(gone));
    const headers = way.headers ? (way.location ? /^yes$/ : /^yes, but `Location`$/) : /^only `WWW-/;
    expect(cell("headers of deny reach the visitor", way)).toMatch(headers);
    expect(cell("body of deny reaches the visitor", way)).toMatch(way.body ? /^yes/ : /^no/);
    expect(LANGUAGES[blockOf(way.mark).language]).toBe(way.needs[0]);
  }
});
