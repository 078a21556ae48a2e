/** What a `.fcgi` file gets wrong, the program that a web server starts. */
import { finding } from "./apache-scopes.ts";
import type { Finding } from "./model.ts";

export function checkFcgiFile(text: string): Finding[] {
  const lines = text.split("\n");
  const found: Finding[] = [];
  const [first = ""] = lines;
  if (text.startsWith("\uFEFF")) {
    found.push(
      finding(
        "byte-order-mark",
        "error",
        1,
        "the file begins with a byte order mark, and not with #!: the system cannot start it",
        "save it as UTF-8 without one",
      ),
    );
  }
  const carriage = lines.findIndex((line) => line.endsWith("\r"));
  if (carriage >= 0) {
    found.push(
      finding(
        "line-endings",
        "error",
        carriage + 1,
        carriage === 0
          ? "the first line ends with a carriage return, which becomes part of the interpreter's name: No such file or directory"
          : "lines end with a carriage return, which becomes part of the last word",
        "line ends of Unix: sed -i 's/\\r$//' on the file",
      ),
    );
  }
  const [, interpreter = "", argument = ""] = /^\uFEFF?#!\s*(\S+)\s*(.*?)\r?$/.exec(first) ?? [];
  if (!interpreter.startsWith("/")) {
    found.push(
      finding("interpreter-relative", "error", 1, "the interpreter needs its whole path", "#!/bin/sh"),
    );
  }
  const isNode = /\/node$/.test(interpreter) || /(?:^|\s)node\b/.test(argument);
  if (/\/env$/.test(interpreter)) {
    found.push(
      finding(
        "interpreter-searched",
        "warning",
        1,
        `web servers start programs with a short PATH or none: ${argument || "the interpreter"} may not be found`,
        "the whole path, as in: which node",
      ),
    );
  }
  return [...found, ...(isNode ? javaScript(lines) : shell(lines))];
}

function javaScript(lines: readonly string[]): Finding[] {
  const at = lines.findIndex((line) => /^\s*(?:import\s[^(]|import\s*{|export\s)/.test(line));
  if (at < 0) return [];
  return [
    finding(
      "module-in-fcgi",
      "error",
      at + 1,
      "Node does not take a file ending in .fcgi for an ES module",
      "one line that imports serve.mjs dynamically; or a shell script, as postern init shared-hosting writes it",
    ),
  ];
}

function shell(lines: readonly string[]): Finding[] {
  const found: Finding[] = [];
  lines.forEach((text, index) => {
    if (text.startsWith("#")) return;
    const line = index + 1;
    const [, exec, node] = /(?:^|&&|;)\s*(exec\s+)?((?:\/\S*\/)?node)\s/.exec(text) ?? [];
    if (node !== undefined) {
      if (exec === undefined) {
        found.push(
          finding(
            "shell-stays",
            "error",
            line,
            "the shell stays between the web server and node, which is not told when it has to end",
            `exec ${text.trim()}`,
          ),
        );
      }
      if (!node.startsWith("/")) {
        found.push(
          finding(
            "interpreter-searched",
            "warning",
            line,
            "web servers start programs with a short PATH or none: node may not be found",
            "the whole path, as in: which node",
          ),
        );
      }
    }
    if (/\s--bind[\s=]/.test(text)) {
      found.push(
        finding(
          "own-socket",
          "error",
          line,
          "the web server passes its own socket as descriptor 0, and asks there only",
          "leave --bind out",
        ),
      );
    }
  });
  return found;
}
