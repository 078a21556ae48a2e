// A FastCGI authorizer: lighttpd ("mode" => "authorizer") and Apache (mod_authnz_fcgi) ask it before they answer.
// It lets through whoever sends the header X-Token: open-sesame, and tells the application who that is.
import { timingSafeEqual } from "node:crypto";

const TOKEN = Buffer.from("open-sesame");

function isAllowed(given) {
  const bytes = Buffer.from(given ?? "", "latin1");
  return bytes.length === TOKEN.length && timingSafeEqual(bytes, TOKEN);
}

export default {
  authorizer(request, response) {
    if (isAllowed(request.params.HTTP_X_TOKEN)) response.allow({ VISITOR: "ali-baba" });
    else response.deny(403, [], "Say the word.");
  },
  // The same program can answer requests too; without this, they get a 500 that says what is missing.
  responder(_req, res) {
    res.end("behind the door\n");
  },
};
