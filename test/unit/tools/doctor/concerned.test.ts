/** Of several sites and web servers, those that a question is about. */
import { describe, expect, it } from "vitest";
import { isOfOthers, ofApplication, ofUrl } from "../../../../src/tools/doctor/concerned.ts";
import type { ApplicationFact, BackendFact, WebServerFact } from "../../../../src/tools/doctor/model.ts";

function backend(name: string, more: Partial<BackendFact> = {}): BackendFact {
  return { address: { kind: "unix", path: `/run/${name}.sock` }, place: `nginx.conf:${name}`, ...more };
}

function server(port: number, backends: readonly BackendFact[]): WebServerFact {
  const listens = [{ host: "", port, isTls: false, names: [], place: "nginx.conf:1" }];
  return { server: "nginx", files: [], running: true, hidden: [], errorLogs: [], backends, listens };
}

const names = (all: readonly WebServerFact[]): (readonly string[])[] =>
  all.map(({ backends }) => backends.map(({ place }) => place.slice(11)));
const left = (all: readonly WebServerFact[]): (readonly string[])[] =>
  all.map(({ others = [] }) => others.map(({ place }) => place.slice(11)));
const at = (url: string, ...servers: readonly WebServerFact[]): readonly WebServerFact[] =>
  ofUrl(servers, new URL(url));

describe("what answers at a URL", () => {
  const a = backend("a", { site: { names: ["a.org"], ports: [80] } });
  const b = backend("b", { site: { names: ["b.org"], ports: [80] } });
  const any = backend("any", { site: { names: [], ports: [8080] } });
  const unknown = backend("unknown");

  it.each([
    ["http://a.org/x", ["a"]],
    ["http://b.org/", ["b"]],
    // No site of that name: whichever takes what no other does, and that is not known here.
    ["http://192.0.2.1/", ["a", "b", "unknown"]],
    ["http://a.org:8080/", ["any", "unknown"]],
    // A port that no site has.
    ["http://192.0.2.1:99/", ["unknown"]],
  ])("%s: %j", (url, expected) => {
    expect(names(at(url, server(80, [a, b, any, unknown])))).toEqual([expected]);
  });

  it("keeps what it leaves out, and leaves nothing out where nothing fits", () => {
    const found = at("http://a.org/", server(80, [a, b]));
    expect([names(found), left(found)]).toEqual([[["a"]], [["b"]]]);
    const all = at("http://c.org:81/", server(80, [a, b]));
    expect([names(all), left(all)]).toEqual([[["a", "b"]], [[]]]);
  });

  it("is the server that listens on that port, when one does", () => {
    expect(names(at("http://a.org/", server(8080, [any]), server(80, [a])))).toEqual([["a"]]);
    expect(names(at("http://a.org:1/", server(8080, [any]), server(80, [a])))).toEqual([["any"], ["a"]]);
    const stopped = { ...server(80, [a]), running: false };
    expect(names(at("http://a.org/", stopped, server(80, [b])))).toEqual([["b"]]);
    expect(at("https://a.org/", server(443, [a]), server(80, [b]))).toHaveLength(1);
  });

  it("is the longest place above the path, and what has no place that is known", () => {
    const root = backend("root", { path: "/" });
    const shop = backend("shop", { path: "/shop" });
    const php = backend("php");
    const sites = server(80, [root, shop, php]);
    expect(names(at("http://a.org/shop/x", sites))).toEqual([["shop", "php"]]);
    expect(names(at("http://a.org/shop", sites))).toEqual([["shop", "php"]]);
    expect(names(at("http://a.org/shopping", sites))).toEqual([["root", "php"]]);
    expect(names(at("http://a.org/x", server(80, [shop, php])))).toEqual([["php"]]);
    expect(names(at("http://a.org/x", server(80, [shop])))).toEqual([["shop"]]);
    const suffix = backend("suffix", { pattern: "\\.php$" });
    expect(names(at("http://a.org/x", server(80, [root, suffix])))).toEqual([["root"]]);
    expect(names(at("http://a.org/x.php", server(80, [root, suffix])))).toEqual([["root", "suffix"]]);
    expect(names(at("http://a.org/", server(80, [shop, suffix])))).toEqual([["suffix"]]);
  });

  it("is what holds in all sites, where its own has nothing nearer", () => {
    const site = { names: ["a.org"], ports: [80] };
    const own = backend("own", { site, path: "/php" });
    const general = backend("general", { path: "/app" });
    expect(names(at("http://a.org/app", server(80, [own, general])))).toEqual([["general"]]);
    expect(names(at("http://a.org/php", server(80, [own, general])))).toEqual([["own"]]);
    const snippet = backend("snippet");
    expect(names(at("http://a.org/", server(80, [own, snippet])))).toEqual([["snippet"]]);
  });

  it("is the site whose pattern fits, or that takes what no other does", () => {
    const exact = backend("exact", { site: { names: ["A.org"], ports: [80] } });
    const star = backend("star", { site: { names: [], ports: [80], patterns: ["^.*\\.a\\.org$"] } });
    const odd = backend("odd", { site: { names: [], ports: [80], expressions: ["^x\\d"] } });
    const rest = backend("rest", { site: { names: ["r.org"], ports: [80], otherwiseAt: [80] } });
    const all = server(80, [exact, star, odd, rest]);
    const asked = ["a.org", "x1.a.org", "x1.org", "192.0.2.1"].map(
      (host) => names(at(`http://${host}/`, all))[0],
    );
    expect(asked).toEqual([["exact"], ["star"], ["odd"], ["rest"]]);
  });

  it("is nothing where the site is known and hands nothing on; but that of HTTPS, and a server behind", () => {
    const listen = (port: number, isTls = false): NonNullable<WebServerFact["listens"]>[number] => ({
      host: "",
      port,
      isTls,
      names: ["a.org"],
      place: "nginx.conf:1",
    });
    const secure = backend("secure", { site: { names: ["a.org"], ports: [443] } });
    const front = { ...server(80, [secure, b]), listens: [listen(80), listen(443, true)] };
    expect(names(at("http://a.org/", front))).toEqual([["secure"]]);
    const proxy = { ...server(80, [b]), listens: [listen(80)], text: "proxy_pass http://127.0.0.1:8080;" };
    const found = at("http://a.org/", proxy, server(8080, [any]), server(9090, [a]));
    expect([names(found), left(found)]).toEqual([
      [[], ["any"]],
      [["b"], []],
    ]);
  });
});

it("tells lines of other places by where these begin and end", () => {
  const fact = {
    ...server(80, [backend("a", { block: [10, 20] })]),
    others: [backend("b", { block: [1, 30] }), backend("c", { block: [40, 50] })],
  };
  expect([15, 5, 45, 35].map((line) => isOfOthers(fact, { line }))).toEqual([false, true, true, false]);
});

describe("what leads to an application", () => {
  const application: ApplicationFact = {
    file: "app.js",
    folder: "/srv",
    listens: [{ kind: "unix", path: "/run/a.sock" }],
  };
  const site = { names: ["a.org"], ports: [80] };

  it("is its place in the web server, and all that this place leads to", () => {
    const found = ofApplication(
      [
        server(80, [
          backend("a", { site, path: "/" }),
          backend("twin", { site, path: "/" }),
          backend("php", { site }),
          backend("b", { site: { names: ["b.org"], ports: [80] }, path: "/" }),
        ]),
        server(81, [backend("c")]),
      ],
      application,
      {},
    );
    expect(names(found)).toEqual([["a", "twin"]]);
    expect(left(found)).toEqual([["php", "b"]]);
  });

  it("is everything when nothing leads to it, or nothing is asked for", () => {
    const servers = [server(80, [backend("x")]), server(81, [backend("y")])];
    expect(names(ofApplication(servers, application, {}))).toEqual([["x"], ["y"]]);
    expect(names(ofApplication(servers, undefined, {}))).toEqual([["x"], ["y"]]);
  });

  it("is found by a program, or by the address that was given", () => {
    const { address, ...program } = backend("p", { program: "/srv/p.fcgi" });
    const servers = [server(80, [program, backend("x")])];
    const spawned = { ...application, listens: [], spawnedAt: program.place };
    expect(names(ofApplication(servers, { ...spawned }, {}))).toEqual([["p", "x"]]); // the same place, as far as is known
    const apart = [server(80, [{ ...program, path: "/p" }, backend("x", { path: "/x" })])];
    expect(names(ofApplication(apart, spawned, {}))).toEqual([["p"]]);
    expect(
      names(ofApplication(apart, undefined, { connect: { kind: "unix", path: "/run/x.sock" } })),
    ).toEqual([["x"]]);
    expect(address).toBeDefined();
  });

  it("is all of a web server that was named", () => {
    const servers = [server(80, [backend("x")]), server(81, [backend("a")])];
    expect(names(ofApplication(servers, application, { server: "nginx" }))).toEqual([["x"], ["a"]]);
  });
});
