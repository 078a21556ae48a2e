/**
 * How each target writes a text so that it means itself: shells, systemd units, supervisor's ini files. What a target
 * has no way to write is refused in one sentence.
 *
 * No target takes a line break or another control character: `checked` refuses them first, everywhere.
 */
import { SettingError } from "../base/errors.ts";
import { clip } from "../base/text.ts";

/** Means itself everywhere. */
const HARMLESS = /^[A-Za-z0-9_./:=@+,-]+$/;
const CONTROLS = /[\u0000-\u001f\u007f]/;

/** The text, when it fits on a line. @param what its name, for the error @throws {SettingError} */
export function checked(what: string, text: string): string {
  if (!CONTROLS.test(text)) return text;
  throw refused(
    what,
    text,
    "it holds a line break or another control character, which no service file can hold",
  );
}

/** The name of an environment variable. @throws {SettingError} */
export function checkedVariable(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name;
  throw refused(
    "environment variable",
    name,
    "a name is of letters, digits and _, and does not begin with a digit",
  );
}

/** A word of a POSIX shell. */
export function shWord(what: string, text: string): string {
  if (HARMLESS.test(checked(what, text))) return text;
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * A word in a variable that OpenRC splits at spaces, joins with one space each, and then hands to `eval`: every special
 * character has a backslash, and every space quotes of its own, so that no two spaces meet.
 */
export function openrcWord(what: string, text: string): string {
  if (checked(what, text) === "") return "''";
  return text.replace(/[ !-*;-?[-^`{-~]/g, (character) => (character === " " ? "' '" : `\\${character}`));
}

/** An argument in ExecStart= and its like, where `$` begins a variable. */
export function systemdWord(what: string, text: string): string {
  return systemdQuoted(checked(what, text).replaceAll("$", "$$$$"));
}

/** The program in ExecStart=: a `$` there is a `$`. */
export function systemdProgram(what: string, text: string): string {
  return systemdQuoted(checked(what, text));
}

/** An assignment in Environment=, where `$` is no variable either. */
export function systemdAssignment(name: string, value: string): string {
  return systemdQuoted(`${checkedVariable(name)}=${checked(`environment variable ${name}`, value)}`);
}

function systemdQuoted(text: string): string {
  const escaped = text.replaceAll("%", "%%");
  if (HARMLESS.test(escaped)) return escaped;
  return `"${escaped.replace(/["\\]/g, "\\$&")}"`;
}

/** A setting that is one text to the end of the line, such as WorkingDirectory=. Quotes there are part of it. */
export function systemdText(what: string, text: string): string {
  checked(what, text);
  if (/^\s|\s$|\\$/.test(text)) {
    throw refused(
      what,
      text,
      "in a systemd unit it can neither begin nor end with a space, nor end with a backslash",
    );
  }
  return text.replaceAll("%", "%%");
}

/**
 * A command line for supervisor, which takes away comments (a space and `;` or `#`, also between quotes), then replaces
 * every `%(here)s`, then expands `%`, then splits as a shell does.
 */
export function supervisorCommand(words: readonly (readonly [what: string, text: string])[]): string {
  const quoted = words.map(([what, text]) => {
    if (HARMLESS.test(checked(what, text))) return text;
    // The quotes end and begin again where supervisor would see something of its own.
    return `'${text.replaceAll("'", `'"'"'`).replace(/(\s)(?=[;#])|(?<=%\()(?=here\)s)/g, "$1''")}'`;
  });
  return quoted.join(" ").replaceAll("%", "%%");
}

/** A setting that supervisor takes as one text: a path, a user. */
export function supervisorText(what: string, text: string): string {
  checked(what, text);
  if (/^\s|\s$|\s[;#]/.test(text)) {
    throw refused(what, text, "supervisor would take a part of it for a comment, or drop a space at its end");
  }
  if (text.includes("%(here)s"))
    throw refused(what, text, "supervisor replaces %(here)s, and knows no way to keep it");
  return text.replaceAll("%", "%%");
}

/** The value of `environment=`, whose quotes know no escape. */
export function supervisorEnvironment(environment: Readonly<Record<string, string>>): string {
  const assignments = Object.entries(environment).map(([name, value]) => {
    const what = `environment variable ${checkedVariable(name)}`;
    if (/^["']|["']$/.test(value) || (value.includes('"') && value.includes("'"))) {
      throw refused(
        what,
        value,
        "supervisor cannot have quotes there; set it in the configuration file of Postern",
      );
    }
    const quote = value.includes('"') ? "'" : '"';
    return `${name}=${quote}${supervisorText(what, `.${value}.`).slice(1, -1)}${quote}`;
  });
  return assignments.join(",");
}

function refused(what: string, text: string, why: string): SettingError {
  return new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `${what}: ${clip(JSON.stringify(text), 100)} cannot be used: ${why}`,
  );
}
