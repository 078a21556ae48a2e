/** Status line and head: writeHead in all its forms, what has no body, interim answers, trailers. */
import { attempt, done } from "./tools.mjs";

/** Noted instead of sent when a call is expected to throw. */
function refusals(res, note, calls) {
  for (const call of calls) note(attempt(() => call(res)));
}

export const head = {
  "head-status"(_req, res, { note }) {
    note(res.writeHead(404) === res);
    note([res.statusCode, res.statusMessage, res.headersSent]);
    done(res, note);
  },
  "head-reason"(_req, res, { note }) {
    res.writeHead(200, "Very Fine");
    note([res.statusCode, res.statusMessage]);
    done(res, note);
  },
  "head-object"(_req, res, { note }) {
    res.writeHead(201, { "X-One": "1", "X-List": ["a", "b"], "X-Number": 7 });
    note(res.getHeaderNames());
    done(res, note);
  },
  "head-reason-object"(_req, res, { note }) {
    res.writeHead(202, "Taken", { "X-One": "1" });
    done(res, note);
  },
  "head-undefined-reason"(_req, res, { note }) {
    res.writeHead(200, undefined, { "X-One": "1" });
    note(res.statusMessage);
    done(res, note);
  },
  "head-flat-array"(_req, res, { note }) {
    res.writeHead(200, ["X-One", "1", "X-Two", "a", "X-Two", "b", "Set-Cookie", "c=1", "Set-Cookie", "d=2"]);
    note(res.getHeaderNames());
    done(res, note);
  },
  "head-pairs"(_req, res, { note }) {
    res.writeHead(200, [
      ["X-One", "1"],
      ["X-Two", "a"],
      ["X-Two", "b"],
    ]);
    done(res, note);
  },
  "head-merge-object"(_req, res, { note }) {
    res.setHeader("X-One", "set");
    res.setHeader("X-Kept", "kept");
    res.writeHead(200, { "x-one": "head", "X-New": "new" });
    note(res.getHeaders());
    done(res, note);
  },
  "head-merge-array"(_req, res, { note }) {
    res.setHeader("X-One", "set");
    res.setHeader("X-Kept", "kept");
    res.writeHead(200, ["X-One", "head", "X-New", "new"]);
    note(res.getHeaders());
    done(res, note);
  },
  "head-bad-status"(_req, res, { note }) {
    const statuses = [99, 1000, 0, -1, "abc", Number.NaN, undefined, null, {}, Number.POSITIVE_INFINITY];
    refusals(
      res,
      note,
      statuses.map((status) => () => res.writeHead(status)),
    );
    note(res.headersSent);
    res.statusCode = 200;
    done(res, note);
  },
  "head-string-status"(_req, res, { note }) {
    res.writeHead("203");
    note(res.statusCode);
    done(res, note);
  },
  "head-bad-implicit-status"(_req, res, { note }) {
    res.statusCode = 1234;
    note(attempt(() => res.write("never sent")));
    res.statusCode = 99;
    note(attempt(() => res.end("never sent")));
    res.statusCode = 200;
    done(res, note);
  },
  "head-bad-reason"(_req, res, { note }) {
    refusals(res, note, [
      () => res.writeHead(200, "a\r\nSet-Cookie: x=1"),
      () => res.writeHead(200, "a\nb"),
      () => res.writeHead(200, "€"),
    ]);
    res.statusMessage = "a\r\nb";
    note(attempt(() => res.flushHeaders()));
    res.statusMessage = "Mended";
    done(res, note);
  },
  "head-bad-headers"(_req, res, { note }) {
    refusals(res, note, [
      () => res.writeHead(200, { "bad name": "1" }),
      () => res.writeHead(200, { "X-Bad": "a\r\nb: c" }),
      () => res.writeHead(200, { "X-None": undefined }),
      () => res.writeHead(200, ["X-One", "1", "X-Odd"]),
      () => res.writeHead(200, ["X-Bad", "\0"]),
    ]);
    note(res.headersSent);
    done(res, note);
  },
  "head-twice"(_req, res, { note }) {
    res.writeHead(200, { "X-One": "1" });
    note(attempt(() => res.writeHead(404)));
    note(attempt(() => res.setHeader("X-Two", "2")));
    note(res.statusCode);
    done(res, note);
  },
  "head-status-late"(_req, res, { note }) {
    res.write("body ");
    res.statusCode = 500; // too late: it is sent
    note([res.statusCode, res.headersSent]);
    done(res, note);
  },
  "head-status-message"(_req, res, { note }) {
    note(res.statusMessage === undefined);
    res.statusCode = 418;
    res.statusMessage = "Short and Stout";
    done(res, note);
    note(res.statusMessage);
  },
  "head-default-message"(_req, res, { note }) {
    res.statusCode = 404;
    res.flushHeaders();
    note(res.statusMessage);
    done(res, note);
  },
  "head-unknown-status"(_req, res, { note }) {
    res.writeHead(299);
    note(res.statusMessage);
    done(res, note);
  },
  "send-date"(_req, res, { note }) {
    note(res.sendDate);
    res.setHeader("Date", "Thu, 01 Jan 2015 00:00:00 GMT");
    done(res, note);
  },
  "own-content-length"(_req, res, { note }) {
    res.writeHead(200, { "Content-Length": "6" });
    res.write("abc");
    done(res, note, "def");
  },
  "automatic-content-length"(_req, res, { note }) {
    done(res, note, "grün\n");
    note(res.getHeader("content-length") === undefined);
  },
  "own-chunked"(_req, res, { note }) {
    res.writeHead(200, { "Transfer-Encoding": "chunked" });
    res.write("a");
    done(res, note, "b\n");
  },
  "less-than-announced"(_req, res, { note }) {
    res.writeHead(200, { "Content-Length": 100 });
    done(res, note, "only this\n");
  },
  "strict-length"(_req, res, { note }) {
    note(res.strictContentLength);
    res.strictContentLength = true;
    res.writeHead(200, { "Content-Length": 5 });
    note(attempt(() => res.write("123456")));
    note(attempt(() => res.write("abc") === true || "full"));
    note(attempt(() => res.end("d")));
    done(res, note, "de");
  },
  "head-method"(_req, res, { note }) {
    res.setHeader("Content-Length", 1000);
    note(attempt(() => res.write("ignored", () => note("write called back"))));
    res.on("finish", () => note("done"));
    res.end("ignored too");
  },
  "no-content"(_req, res, { note }) {
    res.statusCode = 204;
    res.setHeader("X-One", "1");
    note(attempt(() => res.write("ignored")));
    done(res, note, "ignored too");
  },
  "not-modified"(_req, res, { note }) {
    res.writeHead(304, { ETag: '"tag"' });
    done(res, note, "ignored");
  },
  async interim(_req, res, { note }) {
    const calls = [];
    const called = (name) => {
      calls.push(name);
    };
    res.writeContinue(() => called("continue"));
    res.writeProcessing(() => called("processing"));
    await new Promise((resolve) => {
      res.writeEarlyHints({ link: ["</a.css>; rel=preload; as=style", "</b.js>; rel=preload"] }, resolve);
    });
    note(calls);
    note(res.headersSent);
    note(attempt(() => res.writeEarlyHints({ link: "no link" })));
    note(attempt(() => res.writeEarlyHints("no object")));
    res.setHeader("X-Final", "1");
    done(res, note);
  },
  trailers(_req, res, { note }) {
    res.writeHead(200, { Trailer: "X-Sum" });
    res.write("body ");
    note(attempt(() => res.addTrailers({ "X-Sum": "1" })));
    note(attempt(() => res.addTrailers([["X-Sum", "2"]])));
    note(attempt(() => res.addTrailers({ "bad name": "1" })));
    note(attempt(() => res.addTrailers({ "X-Sum": "a\nb" })));
    done(res, note);
  },
  "trailers-sent"(_req, res, { note }) {
    res.writeHead(200, { Trailer: "X-Sum" });
    res.write("body ");
    res.addTrailers({ "X-Sum": "1" });
    done(res, note);
  },
  "trailer-without-chunks"(_req, res, { note }) {
    note(attempt(() => res.writeHead(200, { Trailer: "X-Sum", "Content-Length": 3 })));
    done(res, note);
  },
  http10(req, res, { note }) {
    note([req.httpVersion, req.httpVersionMajor, req.httpVersionMinor]);
    note([res.useChunkedEncodingByDefault, res.shouldKeepAlive]);
    res.write("in ");
    done(res, note, "pieces\n");
  },
  "big-head"(_req, res, { note }) {
    res.setHeader("X-Big", "x".repeat(3000));
    done(res, note);
  },
  "switching-protocols"(_req, res, { note }) {
    note(attempt(() => res.writeProcessing()));
    note(attempt(() => res.writeContinue()));
    done(res, note);
  },
};
