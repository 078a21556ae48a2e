/** `postern decode`: what is in the bytes of a FastCGI connection, as `postern inspect --record` or anybody else kept them. */
import { Command, Option } from "commander";
import type { Side } from "../../tools/capture/conversation.ts";
import { decode } from "../../tools/capture/decode.ts";
import { decodedObject, describeDecoded } from "../../tools/capture/describe.ts";
import { type RecordedConnection, readRecordings } from "../../tools/capture/read.ts";
import { jsonLine } from "../../tools/inspect/view.ts";
import { columnsOf, processTerminal, type Terminal } from "../terminal.ts";
import { endWhenUnread } from "../tool-io.ts";

/** Something in it is no FastCGI, or not whole. */
const BROKEN = 1;

interface Flags {
  readonly hex?: boolean;
  readonly from?: "web-server" | "application";
  readonly content?: boolean;
  readonly dump?: boolean;
  readonly secrets?: boolean;
  readonly json?: boolean;
}

export function decodeCommand(terminal: Terminal = processTerminal()): Command {
  return new Command("decode")
    .description("Show the records and requests in recorded bytes of a FastCGI connection.")
    .argument(
      "<file...>",
      "a .bin, .bin.gz or .json of a recording, a folder of them, or - for standard input",
    )
    .option("--hex", "the input is hex: digits, or what xxd and hexdump -C print")
    .addOption(
      new Option("--from <side>", "who sent the bytes (default: by the first record)").choices([
        "web-server",
        "application",
      ]),
    )
    .option("--content", "show what is in each record")
    .option("--dump", "the same in hex")
    .option("--secrets", "show passwords and cookies")
    .option("--json", "one object a line for every connection")
    .action(async (files: string[], flags: Flags) => {
      endWhenUnread(terminal);
      const from: Side | undefined = flags.from === "web-server" ? "web server" : flags.from;
      for (const file of files) {
        const recordings = await readRecordings(file, {
          from,
          isHex: flags.hex,
          stdin: process.stdin,
        });
        for (const recording of recordings) show(terminal, recording, flags);
      }
    });
}

function show(terminal: Terminal, recording: RecordedConnection, flags: Flags): void {
  const decoded = decode(recording);
  const withSecrets = flags.secrets === true;
  if (decoded.directions.some(({ broken }) => broken !== undefined)) terminal.setExitCode(BROKEN);
  if (flags.json === true) {
    terminal.stdout.write(`${jsonLine(decodedObject(decoded, withSecrets))}\n`);
    return;
  }
  const content = flags.dump === true ? "hex" : flags.content === true ? "text" : "none";
  const width = terminal.stdout.isTTY === true ? columnsOf(terminal) : Number.POSITIVE_INFINITY;
  terminal.stdout.write(
    `${describeDecoded(recording, decoded, { width, withSecrets, content }).join("\n")}\n`,
  );
}
