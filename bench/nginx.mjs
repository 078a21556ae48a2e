// One nginx in front of the candidates, a port for each: FastCGI or HTTP to the application, on kept connections where
// the candidate is used so.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { LOAD_CORE, pinned } from "./load/load.mjs";
import { freePort, startServer } from "./processes.mjs";

/** As Debian's fastcgi_params, with a path for the application. */
const PARAMS = `
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param SCRIPT_NAME "";
      fastcgi_param PATH_INFO $fastcgi_script_name;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param DOCUMENT_URI $document_uri;
      fastcgi_param DOCUMENT_ROOT $document_root;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param REQUEST_SCHEME $scheme;
      fastcgi_param GATEWAY_INTERFACE CGI/1.1;
      fastcgi_param SERVER_SOFTWARE nginx/$nginx_version;
      fastcgi_param REMOTE_ADDR $remote_addr;
      fastcgi_param REMOTE_PORT $remote_port;
      fastcgi_param SERVER_ADDR $server_addr;
      fastcgi_param SERVER_PORT $server_port;
      fastcgi_param SERVER_NAME $server_name;
      fastcgi_param REDIRECT_STATUS 200;`;

/** What tells an HTTP application the same about the client. */
const PROXY = `
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;`;

const KEPT_PROXY = `
      proxy_http_version 1.1;
      proxy_set_header Connection "";`;

/**
 * @param backends `{ protocol, address, keeps }` of each; `keeps`: whether connections are kept (default), else every
 *   request has one of its own
 * @returns `{ pid, addresses, stop() }`: where each can be asked over HTTP, in their order
 */
export async function startNginx(program, folder, backends) {
  const ports = [];
  const servers = [];
  for (const [index, { protocol, address, keeps = true }] of backends.entries()) {
    const port = await freePort();
    ports.push(port);
    const pass =
      protocol === "http"
        ? `proxy_pass http://u${index};${PROXY}${keeps ? KEPT_PROXY : ""}`
        : `fastcgi_pass u${index};${PARAMS}${keeps ? " fastcgi_keep_conn on;" : ""}`;
    const pool = keeps ? " keepalive 32; keepalive_requests 1000000;" : "";
    servers.push(`
  upstream u${index} { server ${address};${pool} }
  server {
    listen 127.0.0.1:${port};
    keepalive_requests 1000000;
    location / {
      ${pass}
    }
  }`);
  }
  const file = join(folder, "nginx.conf");
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  writeFileSync(
    file,
    `${process.getuid() === 0 ? "user root;" : ""}
daemon off;
worker_processes 1;
pid ${join(folder, "nginx.pid")};
error_log ${join(folder, "nginx.log")};
events { worker_connections 1024; }
http {
  access_log off;
  ${folders.map((name) => `${name}_temp_path ${join(folder, name)};`).join("\n  ")}
  ${servers.join("\n")}
}
`,
  );
  const addresses = ports.map((port) => `127.0.0.1:${port}`);
  const command = [program, "-p", folder, "-c", file, "-e", join(folder, "nginx.log")];
  const nginx = await startServer(pinned(LOAD_CORE, command), addresses.at(-1));
  return { pid: nginx.pid, addresses, stop: nginx.stop };
}
