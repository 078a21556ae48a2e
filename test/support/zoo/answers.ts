/** Breakages of what is answered: late, broken, too large, or not at all; and of what the web server lets through. */
import { appendFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { waitFor } from "../wait.ts";
import { APP, patient, type ServedOptions, served, spawned } from "./deployments.ts";
import { type Animal, WELL } from "./model.ts";
import { edit, look, restart } from "./place.ts";

/** An application that is at fault itself: another one is put into its place, and mended by hand. */
function faulty(
  server: Parameters<typeof served>[1],
  app: string,
  options: ServedOptions = {},
): Animal["live"] {
  return async (place) => {
    const site = await served(place, server, options);
    return patient(
      site,
      async () => {
        place.write("app.js", app);
        await site.restart();
      },
      {
        byHand: async () => {
          place.write("app.js", APP);
          await site.restart();
        },
      },
    );
  };
}

const answering = (statements: string): string =>
  `export default async (request, response) => {\n  ${statements}\n};\n`;

/** A FastCGI program that says one thing to everybody, with a header line that is none. */
const RAW = `import { createServer } from "node:net";
import { chmodSync } from "node:fs";
const [, , socket] = process.argv;
const record = (type, content) => {
  const head = Buffer.from([1, type, 0, 1, content.length >> 8, content.length & 255, 0, 0]);
  return Buffer.concat([head, content]);
};
createServer((peer) => {
  peer.on("error", () => {});
  peer.once("data", () => {
    const text = "PHP Notice: undefined variable\\nContent-Type: text/plain\\n\\nhello\\n";
    peer.end(Buffer.concat([record(6, Buffer.from(text)), record(6, Buffer.alloc(0)), record(3, Buffer.alloc(8))]));
  });
}).listen(socket, () => chmodSync(socket, 0o666));
`;

const NGINX = { server: "nginx", needs: ["nginx"], isRoots: false } as const;
const APACHE = { server: "Apache mod_proxy_fcgi", needs: ["apache"], isRoots: false } as const;

export const ANSWERS: readonly Animal[] = [
  {
    ...APACHE,
    name: "a program that prints before its header",
    sick: 500,
    cause: "socket.malformed-header",
    advice: "mend the program",
    async live(place) {
      const site = await served(place, "apache");
      return patient(
        site,
        async () => {
          await site.kill();
          place.write("raw.mjs", RAW);
          rmSync(site.socket);
          const raw = place.start(process.execPath, [place.path("raw.mjs"), site.socket]);
          await waitFor(() => existsSync(site.socket), {
            timeoutMs: 20_000,
            what: "its socket",
            evidence: raw.output,
          });
        },
        {
          doctor: () => ["--connect", `unix:${site.socket}`, ...site.flags],
          byHand: async () => {
            await site.kill();
            await site.restart();
          },
        },
      );
    },
  },
  {
    ...NGINX,
    name: "a header too large for the web server's buffer",
    sick: 502,
    cause: "socket.header-too-large",
    async live(place) {
      const app = answering(`response.setHeader("Set-Cookie", "a=" + "x".repeat(12_000)).end("${WELL}");`);
      const site = await served(place, "nginx", { app });
      return patient(site, async () => {
        edit(site.file, /^\s*fastcgi_buffer_size.*\n\s*fastcgi_buffers.*\n/m, "");
        await site.web.reload();
      });
    },
  },
  {
    ...NGINX,
    name: "an application slower than the web server waits",
    sick: 504,
    cause: "socket.too-slow",
    live: faulty("nginx", answering(`setTimeout(() => response.end("${WELL}"), 2500);`), {
      site: { timeoutSeconds: 1 },
    }),
  },
  {
    ...NGINX,
    name: "a crash in the middle of an answer",
    sick: "cut",
    cause: "socket.crash",
    advice: "mend the application",
    live: faulty(
      "nginx",
      answering(
        `response.writeHead(200, { "Content-Length": 1000 }).write("a part", () => setTimeout(() => process.kill(process.pid, "SIGKILL"), 50));`,
      ),
    ),
  },
  {
    name: "process.exit in a handler",
    server: "lighttpd",
    needs: ["lighttpd"],
    isRoots: false,
    sick: 500,
    cause: "socket.dies",
    advice: "mend the application",
    live: faulty("lighttpd", answering("process.exit(1);")),
  },
  {
    name: "the only worker's event loop is blocked",
    server: "Caddy",
    needs: ["caddy"],
    isRoots: false,
    sick: "waits",
    cause: "socket.blocked",
    advice: "mend the application",
    live: faulty("caddy", answering("for (;;);")),
  },
  {
    name: "an exception in a handler",
    server: "HAProxy",
    needs: ["haproxy"],
    isRoots: false,
    sick: 500,
    cause: "socket.threw",
    advice: "mend the application",
    live: faulty("haproxy", answering(`throw new Error("the table orders is not there");`)),
  },
  {
    name: "a body over mod_fcgid's limit",
    server: "Apache mod_fcgid",
    needs: ["apache", "apache-fcgid"],
    isRoots: false,
    sick: 500,
    cause: "web-server.body-limit",
    async live(place) {
      const site = await spawned(place, "apache", { site: { maxBodyBytes: 10_000_000 } });
      const visit = (): ReturnType<typeof look> => look(`${site.web.url}/`, { body: Buffer.alloc(500_000) });
      return patient({ ...site, visit }, async () => {
        edit(site.file, /^\s*FcgidMaxRequestLen.*\n/m, "");
        await site.web.reload();
      });
    },
  },
  {
    ...NGINX,
    name: "a body over nginx's limit",
    sick: 413,
    cause: "web-server.body-limit",
    async live(place) {
      const site = await served(place, "nginx", { site: { maxBodyBytes: 10_000_000 } });
      const visit = (): ReturnType<typeof look> =>
        look(`${site.web.url}/`, { body: Buffer.alloc(2_000_000) });
      return patient({ ...site, visit }, async () => {
        edit(site.file, /^\s*client_max_body_size.*\n/m, "");
        await site.web.reload();
      });
    },
  },
  {
    ...NGINX,
    name: "another mount in Postern's settings than in the web server's configuration",
    sick: 404,
    cause: "web-server.mount",
    advice: "start the application again",
    async live(place) {
      const app = answering(
        `response.statusCode = request.url === "/page" ? 200 : 404;\n  response.end("${WELL} " + request.url);`,
      );
      const site = await served(place, "nginx", { app, site: { mount: "/shop" }, settings: 'base: "/shop"' });
      const visit = (): ReturnType<typeof look> => look(`${site.web.url}/page`);
      return patient(
        { ...site, visit },
        async () => {
          site.configure('base: "/shop/shop"');
          await site.restart();
        },
        { byHand: async () => void (await site.restart()) },
      );
    },
  },
  {
    ...APACHE,
    name: "mod_proxy_fcgi is not loaded",
    sick: "refused",
    cause: "web-server.module-missing",
    advice: "start the web server",
    async live(place) {
      const site = await served(place, "apache");
      return patient(
        site,
        async () => {
          edit(
            site.file,
            /<IfModule !proxy_fcgi_module>\n.*\n<\/IfModule>\n|^LoadModule proxy_fcgi_module.*\n/m,
            "",
          );
          await restart(place, site.web);
        },
        { byHand: async () => void (await restart(place, site.web)) },
      );
    },
  },
  {
    ...NGINX,
    name: "a configuration that was mended, and not reloaded",
    sick: 502,
    cause: "web-server.not-reloaded",
    async live(place) {
      const site = await served(place, "nginx");
      return patient(site, async () => {
        const good = readFileSync(site.file, "utf8");
        edit(site.file, "run/app.sock", "run/apps.sock");
        await site.web.reload();
        edit(site.file, "run/apps.sock", "run/app.sock");
        if (readFileSync(site.file, "utf8") !== good) throw new Error("not the same again");
      });
    },
  },
  {
    ...APACHE,
    name: "Apache keeps Authorization to itself",
    sick: 401,
    cause: "web-server.authorization",
    async live(place) {
      const app = answering(
        `response.statusCode = request.headers.authorization === undefined ? 401 : 200;\n  response.end("${WELL}");`,
      );
      const site = await served(place, "apache", { app });
      const visit = (): ReturnType<typeof look> =>
        look(`${site.web.url}/`, { headers: { Authorization: "Bearer token" } });
      return patient({ ...site, visit }, async () => {
        edit(site.file, /^\s*CGIPassAuth.*\n/m, "");
        await site.web.reload();
      });
    },
  },
  {
    ...NGINX,
    name: "a typing error in the web server's configuration",
    sick: "refused",
    cause: "web-server.syntax",
    advice: "start the web server",
    async live(place) {
      const site = await served(place, "nginx");
      return patient(
        site,
        async () => {
          await site.web.stop();
          appendFileSync(site.file, "\nfastcgi_read_timout 60s;\n");
        },
        { byHand: async () => void (await restart(place, site.web)) },
      );
    },
  },
];
