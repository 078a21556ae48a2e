/** What a document quotes, compared with what is printed. */
import { expect } from "vitest";
import { type CodeBlock, readDocument } from "../markdown.ts";
import type { Setting } from "./documented.ts";

export interface Quoting {
  readonly blocks: readonly CodeBlock[];
  /** The blocks that say `prints=NAME`, by these names; one that is not there is an error. */
  quoted(names: readonly string[]): [name: string, block: CodeBlock][];
  /** All names that are there. */
  readonly names: readonly string[];
  /** The command in the block before the one that shows what it prints. */
  commandAbove(name: string): string;
}

export function readQuoting(document: string): Quoting {
  const { blocks } = readDocument(document);
  return {
    blocks,
    names: blocks.flatMap((block) => nameOf(block) ?? []),
    quoted: (names) =>
      names.map((name) => {
        const block = blocks.find((one) => nameOf(one) === name);
        if (block === undefined) throw new Error(`${document} has no block that says prints=${name}`);
        return [name, block];
      }),
    commandAbove: (name) => blocks[blocks.findIndex((block) => nameOf(block) === name) - 1]?.text ?? "",
  };
}

function nameOf({ info }: CodeBlock): string | undefined {
  return /\bprints=(\S+)/.exec(info)?.[1];
}

/** The lines of the block, in order, each somewhere in what was printed; `…` is what differs from time to time. */
export function expectQuoted(block: CodeBlock, printed: string, setting: Setting): void {
  const said = asDocumented(printed, setting);
  const lines = block.text.split("\n").filter((line) => line !== "");
  const pattern = lines.map((line) => line.split("…").map(literally).join(".*")).join("[^]*");
  expect(said).toMatch(new RegExp(pattern));
}

/** With the paths of the documents. */
export function asDocumented(text: string, { site, run }: Setting): string {
  return text.replaceAll(site, "/var/www/yourapplication").replaceAll(run, "/run/yourapplication");
}

function literally(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
