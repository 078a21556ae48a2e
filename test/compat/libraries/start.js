/** The application without Postern: it listens by itself. */
import app from "./app.js";

const server = app.listen(Number(process.env.PORT), "127.0.0.1", () => {
  console.log(`listening on port ${server.address().port}`);
});
