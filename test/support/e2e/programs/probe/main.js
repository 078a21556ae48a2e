/**
 * The application behind the web servers of the end-to-end tests, as a program. It runs with an address (`--bind`), or
 * on the socket of whoever started it; so everything it needs to know is in its arguments.
 *
 * `node main.js --journal=FILE --form=listener|httpServer|express|fetch [--bind=ADDRESS] [--options=JSON]`
 */
import { parseArgs } from "node:util";
import { serve } from "postern";
import { FORMS } from "./forms.js";
import { Journal } from "./journal.js";

const { values } = parseArgs({
  options: {
    journal: { type: "string" },
    form: { type: "string" },
    bind: { type: "string" },
    options: { type: "string", default: "{}" },
  },
});
const journal = new Journal(values.journal);
let server;
const application = await FORMS[values.form]({ journal, server: () => server });
server = await serve(application, {
  ...(values.bind === undefined ? {} : { bind: values.bind }),
  // Less than the web servers let through, so that our own limit is seen.
  maxParamsBytes: 7000,
  drainTimeoutMs: 2000,
  logger: journal.logger,
  ...JSON.parse(values.options),
});
journal.watch(server);
journal.write("ready", { addresses: server.addresses });
