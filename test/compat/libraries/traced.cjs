/** OpenTelemetry's http instrumentation, started first as its documentation asks, and an http.Server to serve. */
"use strict";
const { registerInstrumentations } = require("@opentelemetry/instrumentation");
const { HttpInstrumentation } = require("@opentelemetry/instrumentation-http");
const { NodeTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-node");
const { SpanKind, trace } = require("@opentelemetry/api");

const exporter = {
  export(spans, done) {
    for (const { name, kind, attributes, parentSpanContext } of spans) {
      const { "http.status_code": status, "http.target": target, "net.peer.ip": peer } = attributes;
      const parent = parentSpanContext?.traceId;
      console.log(`span ${JSON.stringify({ name, kind: SpanKind[kind], status, target, peer, parent })}`);
    }
    done({ code: 0 });
  },
  shutdown: async () => {},
};
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
registerInstrumentations({ instrumentations: [new HttpInstrumentation()] });

const http = require("node:http");
const server = http.createServer((req, res) => {
  const isTraced = trace.getActiveSpan() !== undefined;
  if (req.url !== "/outside") return res.end(`traced: ${isTraced}`);
  // A request to somebody else: its span is a child of ours.
  http.get(process.env.UPSTREAM, (answer) => answer.pipe(res));
});
module.exports = server;
if (require.main === module) {
  server.listen(Number(process.env.PORT), "127.0.0.1", () =>
    console.log(`listening on port ${server.address().port}`),
  );
}
