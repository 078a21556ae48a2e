/** What is Express's own: answers made with its helpers. Everything else goes to the probe's listener. */
import express from "express";

export function expressOf(listener) {
  const application = express();
  application.get("/express/cookies", (_request, response) => {
    response
      .cookie("a", "1")
      .cookie("b", "2; 3", { httpOnly: true })
      .cookie("c", "é", { path: "/" })
      .send("set");
  });
  application.get("/express/redirect", (request, response) => {
    response.redirect(303, `${request.baseUrl}/target`);
  });
  application.post("/express/json", express.json(), (request, response) => {
    response.json({ got: request.body });
  });
  application.get("/express/named/:name", (request, response) => {
    response.send(request.params.name);
  });
  application.get("/express/tagged", (_request, response) => {
    response.send("the same every time"); // with an ETag, and 304 when it matches
  });
  application.use(listener);
  return application;
}
