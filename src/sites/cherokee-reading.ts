/** What a cherokee.conf says of its FastCGI; judged in cherokee-check.ts. */
import { addressOf, commandOf, type Reading, secondsOf } from "./reading-model.ts";

interface Line {
  readonly value: string;
  readonly line: number;
}

export function readCherokee(text: string): Reading {
  const lines = new Map<string, Line>();
  text.split(/\r\n|\r|\n/).forEach((raw, at) => {
    const [, key, value = ""] = /^\s*([^\s#]\S*) +=(?: +(.*))?$/.exec(raw.trimEnd()) ?? [];
    if (key !== undefined) lines.set(key, { value, line: at + 1 });
  });
  const say = (key: string): string | undefined => lines.get(key)?.value;
  const all = [...lines];
  const used = new Set(
    all.flatMap(([key, { value }]) =>
      /!handler!balancer!source!\d+$/.test(key) && say(key.replace(/!balancer!source!\d+$/, "")) === "fcgi"
        ? [value]
        : [],
    ),
  );
  return {
    backends: [...used].flatMap((number) => {
      const source = `source!${number}`;
      const host = lines.get(`${source}!host`);
      const interpreter = say(`${source}!interpreter`);
      const environment = all.flatMap(([key, { value }]) =>
        key.startsWith(`${source}!env!`) ? [[key.slice(source.length + 5), value] as const] : [],
      );
      if (host === undefined) return [];
      return [
        {
          // The program binds the address itself.
          address: addressOf(host.value),
          program: interpreter === undefined ? undefined : commandOf(interpreter).program,
          environment: Object.fromEntries(environment),
          line: host.line,
          timeout: secondsOf(say("server!timeout")),
          bodyLimit: undefined,
          url: undefined,
        },
      ];
    }),
    listens: all.flatMap(([key, { value, line }]) => {
      const at = /^server!bind!\d+(?=!port$)/.exec(key)?.[0];
      if (at === undefined) return [];
      const isTls = say(`${at}!tls`) === "1";
      return [{ host: say(`${at}!interface`) ?? "", port: Number(value), isTls, names: [], line }];
    }),
    errorLogs: all.flatMap(([key, { value, line }]) =>
      /!error_writer!filename$/.test(key) ? [{ path: value, line }] : [],
    ),
    user: say("server!user"),
    group: say("server!group"),
    chroot: say("server!chroot"),
  };
}
