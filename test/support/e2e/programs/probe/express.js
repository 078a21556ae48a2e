/** What is Express's own: answers made with its helpers. Everything else goes to the probe's listener. */
import express from "express";

export function expressOf(listener) {
  const application = express();
  application.get("/framework/cookies", (_request, response) => {
    response
      .cookie("a", "1")
      .cookie("b", "2; 3", { httpOnly: true })
      .cookie("c", "é", { path: "/" })
      .send("set");
  });
  application.get("/framework/redirect", (request, response) => {
    response.redirect(303, `${request.baseUrl}/target`);
  });
  application.post("/framework/json", express.json(), (request, response) => {
    response.json({ got: request.body });
  });
  application.get("/framework/named/:name", (request, response) => {
    response.send(request.params.name);
  });
  application.get("/framework/tagged", (_request, response) => {
    response.send("the same every time"); // with an ETag, and 304 when it matches
  });
  application.use(listener);
  return application;
}
