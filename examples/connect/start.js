// Without Postern: node start.js
import app from "./app.js";

const server = app.listen(process.env.PORT ?? 3000, process.env.HOST, () => {
  console.log(`listening on port ${server.address().port}`);
});
