// A whole site without a web server: files from public/, everything else from an application over FastCGI.
// Run it:  node serve.js   and open http://localhost:8080/
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, stderrLogger } from "postern";
import { createGateway } from "postern/gateway";

const folder = mkdtempSync(join(tmpdir(), "site-"));
const logger = stderrLogger();

const application = (req, res) => res.end(`no file at ${req.url}, so the application answers\n`);
const server = createServer(application, { bind: join(folder, "app.sock"), mode: 0o600, logger });
await server.listen();

const gateway = createGateway({
  connect: server.addresses[0],
  files: { folder: join(import.meta.dirname, "public"), cacheControl: "max-age=60" },
  logger,
});
await gateway.listen(process.argv[2] ?? ":8080");
console.log(`open ${gateway.url}`);

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, async () => {
    await gateway.close(); // first, so that what it has accepted still finds the application
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
}
