/** The header methods of ServerResponse, with Node's own error codes. */
import { attempt, done } from "./tools.mjs";

export const headers = {
  "set-header"(_req, res, { note }) {
    note(res.setHeader("X-One", "1") === res);
    res.setHeader("X-Number", 42);
    res.setHeader("X-List", ["a", "b"]);
    res.setHeader("x-one", "2"); // replaces, and takes the new spelling
    note([res.getHeader("X-ONE"), res.getHeader("x-number"), res.getHeader("x-list")]);
    note(res.getHeader("x-none") === undefined);
    done(res, note);
  },
  "set-header-refused"(_req, res, { note }) {
    note(attempt(() => res.setHeader("bad name", "1")));
    note(attempt(() => res.setHeader("", "1")));
    note(attempt(() => res.setHeader(undefined, "1")));
    note(attempt(() => res.setHeader("x:y", "1")));
    note(attempt(() => res.setHeader("X-None")));
    note(attempt(() => res.setHeader("X-Bad", "a\r\nSet-Cookie: x=1")));
    note(attempt(() => res.setHeader("X-Bad", "a\0b")));
    note(attempt(() => res.setHeader("X-Bad", "€")));
    note(attempt(() => res.setHeader("X-Bad", ["fine", "a\nb"])));
    note(res.getHeaderNames());
    done(res, note);
  },
  "set-headers-map"(_req, res, { note }) {
    const map = new Map([
      ["X-Map", "1"],
      ["X-Many", ["a", "b"]],
    ]);
    note(res.setHeaders(map) === res);
    note(res.getHeaders());
    done(res, note);
  },
  "set-headers-headers"(_req, res, { note }) {
    const given = new Headers({ "X-Web": "1" });
    given.append("Set-Cookie", "a=1");
    given.append("Set-Cookie", "b=2");
    res.setHeaders(given);
    note(res.getHeader("set-cookie"));
    note(attempt(() => res.setHeaders({ "x-object": "1" })));
    note(attempt(() => res.setHeaders([["x-array", "1"]])));
    note(attempt(() => res.setHeaders(null)));
    done(res, note);
  },
  "append-header"(_req, res, { note }) {
    note(res.appendHeader("X-Append", "a") === res);
    res.appendHeader("x-append", "b");
    res.appendHeader("X-Append", ["c", "d"]);
    note(res.getHeader("X-Append"));
    note(attempt(() => res.appendHeader("bad name", "1")));
    note(attempt(() => res.appendHeader("X-Append", "a\nb")));
    note(attempt(() => res.appendHeader("X-Append")));
    done(res, note);
  },
  "get-headers"(_req, res, { note }) {
    res.setHeader("X-One", "1");
    res.setHeader("Content-Type", "text/plain");
    res.setHeader("Set-Cookie", ["a=1", "b=2"]);
    note(res.getHeaders());
    note(Object.getPrototypeOf(res.getHeaders()) === null);
    note(res.getHeaderNames());
    note(res.getRawHeaderNames());
    note([res.hasHeader("x-ONE"), res.hasHeader("x-two")]);
    note(attempt(() => res.hasHeader(1)));
    note(attempt(() => res.getHeader(1)));
    done(res, note);
  },
  "remove-header"(_req, res, { note }) {
    res.setHeader("X-One", "1");
    res.setHeader("X-Two", "2");
    note(attempt(() => res.removeHeader("x-one")));
    res.removeHeader("x-never-set");
    note(res.getHeaderNames());
    note(attempt(() => res.removeHeader()));
    done(res, note);
  },
  "remove-automatic"(_req, res, { note }) {
    res.removeHeader("Date");
    note(res.sendDate);
    res.removeHeader("Content-Length");
    res.removeHeader("Transfer-Encoding");
    done(res, note, "no framing asked for\n");
  },
  "after-sent"(_req, res, { note }) {
    note(res.headersSent);
    res.setHeader("X-Before", "1");
    res.flushHeaders();
    note(res.headersSent);
    note(attempt(() => res.setHeader("X-After", "1")));
    note(attempt(() => res.appendHeader("X-After", "1")));
    note(attempt(() => res.setHeaders(new Map([["X-After", "1"]]))));
    note(attempt(() => res.removeHeader("X-Before")));
    note(attempt(() => res.writeHead(200)));
    note([res.getHeader("X-Before"), res.hasHeader("x-before"), res.getHeaderNames()]);
    note(attempt(() => res.flushHeaders()));
    done(res, note);
  },
  async "flush-headers"(_req, res, { note, opened }) {
    res.setHeader("X-Flushed", "yes");
    note(attempt(() => res.flushHeaders()));
    note([res.headersSent, res.writableEnded]);
    await opened();
    done(res, note, "body after the head\n");
  },
  cookies(_req, res, { note }) {
    res.setHeader("Set-Cookie", ["a=1; Path=/", "b=2; HttpOnly"]);
    res.appendHeader("Set-Cookie", "c=3");
    note(res.getHeader("set-cookie"));
    done(res, note);
  },
  "header-bytes"(_req, res, { note }) {
    res.setHeader("X-Latin1", "\u00e9\u00ff"); // one byte each, as Node sends them
    res.setHeader("X-Tab", "a\tb");
    res.setHeader("X-Empty", "");
    res.setHeader("X-Spaces", "a  b");
    done(res, note, Buffer.from("ok\n"));
  },
  "header-utf8"(_req, res, { note }) {
    res.setHeader("X-Name", Buffer.from("Grüße", "utf8").toString("latin1"));
    res.setHeader("Content-Type", "text/plain; charset=utf-8");
    done(res, note, Buffer.from("Grüße €\n"));
  },
  /** A string body and the head leave in one write, in one encoding: the head becomes UTF-8 then. */
  "header-with-text"(_req, res, { note }) {
    res.setHeader("X-Name", "Gr\u00fc\u00dfe");
    done(res, note, "text\n");
  },
  "header-with-latin1"(_req, res, { note }) {
    res.setHeader("X-Name", "Gr\u00fc\u00dfe");
    note("done");
    res.end("text\n", "latin1");
  },
  /** In chunks the head leaves with the size of the first one, which is latin1. */
  "header-with-chunk"(_req, res, { note }) {
    res.setHeader("X-Name", "Gr\u00fc\u00dfe");
    res.write("text");
    done(res, note, "\n");
  },
  "header-flushed"(_req, res, { note }) {
    res.setHeader("X-Name", "Gr\u00fc\u00dfe");
    res.flushHeaders();
    done(res, note, "text\n");
  },
  disposition(_req, res, { note }) {
    // Bytes of UTF-8 as latin1, as libraries give file names; Node has a rule of its own for this header.
    const name = Buffer.from("Grüße €.txt").toString("latin1");
    res.setHeader("Content-Disposition", `attachment; filename="${name}"`);
    note("done");
    res.end("ok\n");
  },
  "many-headers"(_req, res, { note }) {
    for (let n = 0; n < 100; n++) res.setHeader(`X-Many-${n}`, `value ${n}`);
    note(res.getHeaderNames().length);
    done(res, note);
  },
  "array-values"(_req, res, { note }) {
    res.setHeader("X-List", ["one", "two"]);
    res.setHeader("Vary", ["Accept", "Cookie"]);
    res.setHeader("Link", ["</a>; rel=a", "</b>; rel=b"]);
    done(res, note);
  },
  "status-header"(_req, res, { note }) {
    res.setHeader("Status", "500 taken for the status line of CGI");
    done(res, note);
  },
  "connection-headers"(_req, res, { note }) {
    res.setHeader("Connection", "close");
    note(res.getHeader("connection"));
    done(res, note);
  },
  "render-headers"(_req, res, { note }) {
    res.setHeader("X-One", "1");
    note(res._renderHeaders());
    note(res._header);
    res.flushHeaders();
    note(typeof res._header);
    note(attempt(() => res._renderHeaders()));
    done(res, note);
  },
};
