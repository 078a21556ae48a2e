/**
 * What `postern conform` finds in applications of others, and why it is so: each of these was looked up in the source of
 * the library, or seen in the records. docs/tools/conform.md shows them as a table.
 */

export interface Known {
  /** As the table names it. */
  readonly name: string;
  /** Statements it breaks → what it does instead. */
  readonly broken: Readonly<Record<string, string>>;
}

const LIBFCGI: Readonly<Record<string, string>> = {
  "3.2-unix-peer": "The list is compared with TCP addresses only.",
  "3.3-padding-begin": "The padding is read as the next record: the program gets no parameters.",
  "3.3-padding-ends": "The padding behind the end of PARAMS is read as the next record: the body is lost.",
  "3.3-unused-id-before":
    "An empty record of another request makes it skip the record that follows: here BEGIN_REQUEST.",
  "3.3-unused-id-between": "The same: here PARAMS, so that the program gets no parameters.",
  "3.3-ended-id": "The id of the last request still counts; the connection is closed.",
  "3.3-unknown-record": "It takes the record for an error, and serves the request with what it has.",
  "4.1-answered": "It reads on behind the record: the answer comes with the next bytes, if there are any.",
  "4.2-in-request": "The content of the unknown record is read as parameters.",
  "5.4-in-params": "It takes the record for an error, and serves the request with what it has.",
  "5.5-unknown-role": "The connection is closed, without END_REQUEST.",
  "5.5-second-request":
    "The new request is refused as it should be; its empty records then make it skip those of the first.",
  "6.2-short-body-told": "This program does not compare; the library leaves it to programs.",
  "6.3-authorizer": "Every role is accepted, and this program waits for STDIN.",
  "6.3-verdict": "Every role is accepted, and this program waits for STDIN.",
};

const PHP: Readonly<Record<string, string>> = {
  "3.3-padding-ends": "The padding behind the end of PARAMS is read as the next record: the body is lost.",
  "3.3-version-in": "Any version from 1 on is accepted.",
  "3.3-unused-id-before": "The connection has to begin with BEGIN_REQUEST or GET_VALUES; it is closed.",
  "3.3-unused-id-between":
    "Another record than PARAMS behind BEGIN_REQUEST is taken for the end of the parameters.",
  "3.3-ended-id": "The connection is closed.",
  "3.3-unknown-record":
    "Another record than PARAMS behind BEGIN_REQUEST is taken for the end of the parameters.",
  "3.3-stdout-ends": "END_REQUEST follows the last content.",
  "3.3-reserved-out": "Those of END_REQUEST are whatever was in memory, zero by chance.",
  "3.4-large-value": "Each PARAMS record is read by itself: a pair must not cross its end.",
  "4.1-any-time":
    "It is answered between requests; behind BEGIN_REQUEST it is taken for the end of the parameters.",
  "4.2-unknown-type": "The connection is closed.",
  "4.2-in-request": "Another record than PARAMS behind BEGIN_REQUEST is taken for the end of the parameters.",
  "5.2-divided": "Each PARAMS record is read by itself: a pair must not cross its end.",
  "5.5-second-request": "The second BEGIN_REQUEST is taken for the end of the parameters of the first.",
  "5.5-unknown-role": "The connection is closed, without END_REQUEST.",
  "6.2-short-body-ends": "It waits for the rest of the body, although STDIN has ended.",
  "6.2-short-body-told": "It waits for the rest of the body, although STDIN has ended.",
  "6.4-stdin-first": "Every role is accepted, and the page is run as for a responder.",
};

export const KNOWN: Readonly<Record<"libfcgi" | "perl" | "php-fpm", Known>> = {
  libfcgi: { name: "libfcgi (C)", broken: LIBFCGI },
  perl: { name: "FCGI (Perl)", broken: LIBFCGI },
  "php-fpm": { name: "php-fpm", broken: PHP },
};

/** The table of docs/tools/conform.md: a line for each statement that anybody breaks. */
export function knownTable(): string {
  const all = Object.values(KNOWN);
  const ids = [...new Set(all.flatMap(({ broken }) => Object.keys(broken)))].sort();
  const rows = ids.map((id) => {
    const says = [...new Set(all.flatMap(({ broken }) => broken[id] ?? []))];
    const marks = all.map(({ broken }) => (broken[id] === undefined ? "" : "broken"));
    return `| \`${id}\` | ${marks.join(" | ")} | ${says.join(" / ")} |`;
  });
  const names = all.map(({ name }) => name).join(" | ");
  return [`| statement | ${names} | what it does |`, "| --- | --- | --- | --- | --- |", ...rows].join("\n");
}
