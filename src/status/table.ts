/** A table for a terminal: columns as wide as what is in them, colour only where a cell asks for it. Pure. */
import { cut, pad, widthOf } from "./text.ts";

/** What a piece of text says by its colour. */
export type Colour = "strong" | "good" | "busy" | "bad" | "faint";

/** Puts a colour on text, or leaves it as it is. */
export type Style = (colour: Colour, text: string) => string;

const CODES: Readonly<Record<Colour, string>> = {
  strong: "1",
  good: "32",
  busy: "33",
  bad: "31",
  faint: "2",
};

export const plainStyle: Style = (_colour, text) => text;

export const styleFor: Style = (colour, text) => (text === "" ? "" : `\x1b[${CODES[colour]}m${text}\x1b[0m`);

export interface Column<T> {
  readonly title: string;
  /** On which side the blanks are. */
  readonly side: "left" | "right";
  text(row: T): string;
  colour?(row: T): Colour;
}

export interface TableOptions<T> {
  readonly width: number;
  readonly style: Style;
  /** Lines beneath a row, which are as wide as they are. */
  under(row: T): readonly string[];
}

/** Lines without their ends, the titles first. Columns that do not fit are left out, from the right. */
export function table<T>(
  columns: readonly Column<T>[],
  rows: readonly T[],
  options: TableOptions<T>,
): string[] {
  const { width, style, under } = options;
  const cells = rows.map((row) => columns.map((column) => column.text(row)));
  const widths = columns.map((column, at) =>
    Math.max(widthOf(column.title), ...cells.map((row) => widthOf(row[at] ?? ""))),
  );
  let fitting = 0;
  for (let used = -2; fitting < columns.length && used + 2 + widths[fitting]! <= width; fitting++) {
    used += 2 + widths[fitting]!;
  }
  const shown = columns.slice(0, Math.max(1, fitting));
  const line = (textAt: (at: number) => string, colourAt: (at: number) => Colour | undefined): string =>
    shown
      .map((column, at) => {
        const text = pad(cut(textAt(at), width), widths[at]!, column.side);
        const colour = colourAt(at);
        return colour === undefined ? text : style(colour, text);
      })
      .join("  ")
      .trimEnd();
  const titles = line(
    (at) => shown[at]!.title,
    () => "faint",
  );
  return [
    titles,
    ...rows.flatMap((row, index) => [
      line(
        (at) => cells[index]![at]!,
        (at) => shown[at]!.colour?.(row),
      ),
      ...under(row),
    ]),
  ];
}
