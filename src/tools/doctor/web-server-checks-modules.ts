/** Whether Apache and lighttpd have loaded the module that speaks FastCGI. The others have it built in. */
import { existsSync } from "node:fs";
import { relevant } from "./log-checks.ts";
import type { Check, Finding, Remedy, WebServerFact } from "./model.ts";
import { edit, lineWith, stepsFor, taking } from "./web-server-remedies.ts";

/** A module of Apache: what shows that it is needed. */
const MODULES: readonly (readonly [name: string, needed: RegExp])[] = [
  ["proxy", /^\s*(?:ProxyPass\w*\s|SetHandler\s+"?proxy:)/im],
  [
    "proxy_fcgi",
    /^\s*(?:ProxyPass\w*\s.*fcgi:\/\/|SetHandler\s+"?proxy:.*fcgi:\/\/|BalancerMember\s.*fcgi:\/\/|ProxyFCGI\w+\s)/im,
  ],
  ["fcgid", /^\s*(?:Fcgid\w+\s|(?:Set|Add)Handler\s+"?fcgid-script)/im],
  ["fastcgi", /^\s*(?:FastCgi\w+\s|(?:Set|Add)Handler\s+"?fastcgi-script)/im],
];

export const modulesCheck: Check = {
  id: "web-server.module",
  question: "Has the web server loaded the module that speaks FastCGI?",
  async examine(facts) {
    return relevant(facts).flatMap((server): Finding[] => {
      if (server.server === "apache") return apache(server);
      if (server.server === "lighttpd") return lighttpd(server);
      return [];
    });
  },
};

function apache(server: WebServerFact): Finding[] {
  const { text = "" } = server;
  // Without any, all are built in, or the text is a part of a configuration.
  if (!/^\s*LoadModule\s/im.test(text)) return [];
  const plain = text.replace(/<IfModule\s+!/gi, "").replace(/^\s*#.*$/gm, "");
  const needed = MODULES.filter(([, pattern]) => pattern.test(plain));
  const missing = needed.filter(
    ([name]) => !new RegExp(`^\\s*LoadModule\\s+${name}_module\\s`, "im").test(text),
  );
  if (missing.length === 0) {
    if (needed.length === 0) return [];
    const says = `Apache loads ${needed.map(([name]) => `mod_${name}`).join(" and ")}`;
    return [{ id: "web-server.module", verdict: "good", says, evidence: [], remedy: [] }];
  }
  return missing.map(([name, pattern]) => {
    const at = server.lines?.[lineWith(server, new RegExp(pattern.source, "i")) - 1];
    return {
      id: "web-server.module-missing",
      verdict: "bad",
      says: `mod_${name} is needed by Apache's configuration, and is not loaded`,
      evidence: [
        ...(at === undefined ? [] : [`${at.file}:${at.line} needs it`]),
        `there is no LoadModule ${name}_module`,
      ],
      remedy: [...loading(server, name), ...taking(server)],
    };
  });
}

/** As the distribution does it; else a line beside the other modules. */
function loading(server: WebServerFact, name: string): Remedy[] {
  const isDebian = server.files[0] === "/etc/apache2/apache2.conf";
  if (isDebian && existsSync(`/etc/apache2/mods-available/${name}.load`)) return [{ run: `a2enmod ${name}` }];
  // Behind what it builds upon, which is mod_proxy; or behind all.
  const proxy = lineWith(server, /^\s*LoadModule\s+proxy_module\s/i);
  const last = (server.text ?? "").split("\n").findLastIndex((line) => /^\s*LoadModule\s/i.test(line)) + 1;
  const like = name.startsWith("proxy_") && proxy > 0 ? proxy : last;
  return (
    edit(server, like, /LoadModule\s+\S+\s+"?\S+\/mod_\w+\.so"?/i, (found) => {
      const file = found.replace(/^LoadModule\s+\S+\s+/i, "").replace(/mod_\w+\.so/, `mod_${name}.so`);
      return `${found}\nLoadModule ${name}_module ${file}`;
    }) ?? [{ advice: `load it: LoadModule ${name}_module modules/mod_${name}.so` }]
  );
}

function lighttpd(server: WebServerFact): Finding[] {
  const { text = "" } = server;
  const line = lineWith(server, /^\s*fastcgi\.server\s*[+=:]/);
  if (line === 0) return [];
  // Modules are listed over several lines, and files add to the list.
  const lists = [...text.matchAll(/^\s*server\.modules\s*\+?=\s*\(([^)]*)\)/gm)].map(([, list = ""]) => list);
  if (lists.some((list) => list.includes('"mod_fastcgi"'))) {
    return [
      {
        id: "web-server.module",
        verdict: "good",
        says: "lighttpd loads mod_fastcgi",
        evidence: [],
        remedy: [],
      },
    ];
  }
  const at = server.lines?.[line - 1];
  const steps = stepsFor(server, {
    rule: "module-missing",
    severity: "error",
    line,
    what: "mod_fastcgi is missing",
    remedy: 'server.modules += ( "mod_fastcgi" )',
  });
  return [
    {
      id: "web-server.module-missing",
      verdict: "bad",
      says: "mod_fastcgi is not in lighttpd's server.modules: it takes no notice of fastcgi.server",
      evidence: at === undefined ? [] : [`${at.file}:${at.line} has no effect`],
      remedy: [...steps, ...taking(server)],
    },
  ];
}
