/** The application's own test, as its author writes it: supertest starts a server of its own for it. */
import assert from "node:assert/strict";
import request from "supertest";
import app from "./app.js";

await request(app)
  .post("/json")
  .send({ a: 1 })
  .expect(200, { got: { a: 1 } });
const agent = request.agent(app);
await agent.get("/session").expect(200, { visits: 1 });
await agent.get("/session").expect(200, { visits: 2 });
const { headers } = await request(app).get("/send/hello.txt").set("Range", "bytes=0-4").expect(206, "Hello");
assert.equal(headers["content-range"], "bytes 0-4/19");
console.log("supertest is content");
