/** Breakages between web server and socket: paths, permissions, and who is at the other end. */
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import { createServer } from "node:http";
import type { Server, Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { repositoryRoot } from "../paths.ts";
import { freePort } from "../ports.ts";
import type { Running } from "../process.ts";
import { waitFor } from "../wait.ts";
import { patient, served } from "./deployments.ts";
import { type Animal, WELL } from "./model.ts";
import { edit, give, type Place, restart } from "./place.ts";

export const SOCKETS: readonly Animal[] = [
  {
    name: "socket of mode 0600",
    server: "nginx",
    needs: ["nginx"],
    isRoots: true,
    sick: 502,
    cause: "socket.no-permission",
    async live(place) {
      const site = await served(place, "nginx");
      return patient(site, () => {
        chmodSync(site.socket, 0o600);
      });
    },
  },
  {
    name: "application as a user whose group the web server is not in",
    server: "Apache mod_proxy_fcgi",
    needs: ["apache"],
    isRoots: true,
    sick: 503,
    cause: "socket.no-permission",
    async live(place) {
      const site = await served(place, "apache");
      return patient(site, () => give(site.socket, "nobody", "nogroup"));
    },
  },
  {
    name: "folder above the socket without the execute bit",
    server: "lighttpd",
    needs: ["lighttpd"],
    isRoots: true,
    sick: 503,
    cause: "socket.no-permission",
    async live(place) {
      const site = await served(place, "lighttpd");
      return patient(site, () => chmodSync(place.path("run"), 0o700));
    },
  },
  {
    name: "another path in the web server's configuration",
    server: "nginx",
    needs: ["nginx"],
    isRoots: false,
    sick: 502,
    cause: "socket.path-differs",
    async live(place) {
      const site = await served(place, "nginx");
      return patient(site, async () => {
        edit(site.file, "run/app.sock", "run/apps.sock");
        await site.web.reload();
      });
    },
  },
  {
    name: "stale socket: the application was killed",
    server: "Caddy",
    needs: ["caddy"],
    isRoots: false,
    sick: 502,
    cause: "socket.stale",
    advice: "start the application",
    async live(place) {
      const site = await served(place, "caddy");
      return patient(site, site.kill, { byHand: async () => void (await site.restart()) });
    },
  },
  {
    name: "no socket: the application was never started",
    server: "h2o",
    needs: ["h2o"],
    isRoots: false,
    sick: 503,
    cause: "socket.missing",
    advice: "start the application",
    async live(place) {
      const site = await served(place, "h2o");
      return patient(
        site,
        async () => {
          await site.kill();
          unlinkSync(site.socket);
        },
        { byHand: async () => void (await site.restart()) },
      );
    },
  },
  {
    name: "the socket of another application",
    server: "nginx",
    needs: ["nginx"],
    isRoots: false,
    sick: "another's",
    cause: "socket.other-application",
    async live(place) {
      const site = await served(place, "nginx");
      const other = place.path("run/other.sock");
      place.write("other/app.mjs", `export default (request, response) => response.end("other\\n");\n`);
      const second = place.start(process.execPath, [
        ...[place.path("node_modules/postern/dist/cli/main.js"), "serve", place.path("other/app.mjs")],
        ...["--bind", `unix:${other}`, "--listen-mode", "0666", "--name", "other"],
      ]);
      await untilThere(other, second.output);
      return patient(site, async () => {
        edit(site.file, "run/app.sock", "run/other.sock");
        await site.web.reload();
      });
    },
  },
  {
    name: "the web server has a folder of its own in that place (PrivateTmp)",
    server: "nginx",
    needs: ["nginx"],
    isRoots: true,
    sick: 502,
    cause: "socket.hidden",
    advice: "the socket in a folder that both see",
    async live(place) {
      const site = await served(place, "nginx");
      const hidden = place.path("private");
      mkdirSync(hidden);
      const script = `mount --bind '${hidden}' '${place.path("run")}' && exec "$0" "$@"`;
      let hiding: Running | undefined;
      return patient(
        site,
        async () => {
          hiding = await restart(place, site.web, ["unshare", "--mount", "sh", "-c", script]);
        },
        {
          // The configuration has been edited by the remedy, or this does it: a folder that is the same for both.
          byHand: async () => {
            mkdirSync(place.path("shared"), { recursive: true });
            give(place.path("shared"), "nobody", "www-data");
            const text = readFileSync(site.file, "utf8");
            if (text.includes("run/app.sock")) edit(site.file, "run/app.sock", "shared/app.sock");
            site.configure("", `unix:${place.path("shared/app.sock")}`);
            await site.restart();
            hiding?.signal("SIGHUP");
          },
        },
      );
    },
  },
  {
    name: "HTTP on the port: the application is started without Postern",
    server: "nginx",
    needs: ["nginx"],
    isRoots: false,
    sick: 502,
    cause: "socket.not-fastcgi",
    async live(place) {
      const port = await freePort();
      const site = await served(place, "nginx", { bind: `127.0.0.1:${port}` });
      return patient(site, async () => {
        await site.kill();
        await listenUntilEnd(
          place,
          createServer((_request, response) => void response.end(`${WELL}\n`)),
          port,
        );
      });
    },
  },
  {
    name: "TLS on the port",
    server: "Apache mod_proxy_fcgi",
    needs: ["apache"],
    isRoots: false,
    sick: 503,
    cause: "socket.not-fastcgi",
    advice: "start the application there",
    async live(place) {
      const port = await freePort();
      const site = await served(place, "apache", { bind: `127.0.0.1:${port}` });
      const pem = (name: string): Buffer =>
        readFileSync(join(repositoryRoot, "test", "support", "tls", `server.${name}`));
      const server = createTlsServer({ key: pem("key"), cert: pem("pem") }, (peer) => peer.end());
      server.on("tlsClientError", () => {});
      let end: (() => Promise<void>) | undefined;
      return patient(
        site,
        async () => {
          await site.kill();
          end = await listenUntilEnd(place, server, port);
        },
        {
          byHand: async () => {
            await end?.();
            await site.restart();
          },
        },
      );
    },
  },
  {
    name: "nobody listens on the port of the configuration",
    server: "HAProxy",
    needs: ["haproxy"],
    isRoots: false,
    sick: 503,
    cause: "socket.path-differs",
    advice: "start the web server anew",
    async live(place) {
      const bind = `127.0.0.1:${await freePort()}`;
      const site = await served(place, "haproxy", { bind });
      const nobody = await freePort();
      return patient(
        site,
        async () => {
          edit(site.file, bind, `127.0.0.1:${nobody}`);
          await restart(place, site.web);
        },
        { byHand: async () => void (await restart(place, site.web)) },
      );
    },
  },
  {
    name: "HAProxy's chroot hides the socket",
    server: "HAProxy",
    needs: ["haproxy"],
    isRoots: true,
    sick: 503,
    cause: "socket.chroot",
    advice: "no chroot",
    async live(place) {
      const site = await served(place, "haproxy");
      const jail = place.path("jail");
      mkdirSync(jail);
      return patient(
        site,
        async () => {
          edit(site.file, /^global$/m, `global\n    chroot ${jail}`);
          await restart(place, site.web);
        },
        {
          byHand: async () => {
            edit(site.file, `\n    chroot ${jail}`, "");
            await restart(place, site.web);
          },
        },
      );
    },
  },
  {
    name: "allowedClients without the web server's address",
    server: "nginx",
    needs: ["nginx"],
    isRoots: false,
    sick: 502,
    cause: "socket.refuses-client",
    advice: "allow it",
    async live(place) {
      const bind = `127.0.0.1:${await freePort()}`;
      const site = await served(place, "nginx", { bind });
      return patient(
        site,
        async () => {
          site.configure(`allowedClients: ["10.1.2.3"]`);
          await site.restart();
        },
        {
          byHand: async () => {
            site.configure(`allowedClients: ["127.0.0.1"]`);
            await site.restart();
          },
        },
      );
    },
  },
  {
    name: "a path too long for a socket",
    server: "Apache mod_proxy_fcgi",
    needs: ["apache"],
    isRoots: false,
    sick: "refused",
    cause: "socket.path-too-long",
    advice: "a shorter path, in both",
    async live(place) {
      const site = await served(place, "apache");
      const long = place.path(`run/${"x".repeat(100)}.sock`);
      return patient(
        site,
        async () => {
          // Apache does not start with one.
          edit(site.file, site.socket, long);
          await restart(place, site.web);
          site.configure("", `unix:${long}`);
          await site.restart({ isReady: false }).then((running) => running.exited);
        },
        {
          byHand: async () => {
            edit(site.file, long, site.socket);
            site.configure("", `unix:${site.socket}`);
            await site.restart();
            await restart(place, site.web);
          },
        },
      );
    },
  },
];

async function untilThere(path: string, evidence: () => string): Promise<void> {
  await waitFor(() => existsSync(path), { timeoutMs: 30_000, what: path, evidence });
}

/** @returns ends it, with its connections: a web server keeps some open */
async function listenUntilEnd(place: Place, server: Server, port: number): Promise<() => Promise<void>> {
  const peers = new Set<Socket>();
  server.on("connection", (peer: Socket) => {
    peers.add(peer);
    peer.once("close", () => peers.delete(peer));
  });
  await once(server.listen(port, "127.0.0.1"), "listening");
  const end = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
    for (const peer of peers) peer.destroy();
    await closed;
  };
  place.later(end);
  return end;
}
