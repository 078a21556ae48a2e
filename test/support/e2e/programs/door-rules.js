/**
 * What the authorizer of the tests answers: it lets in whoever says the word, or is kim with the right password, or
 * is kim as somebody else has found out. Other words make it answer in other ways.
 * @param {import("postern").FastCGIRequest} request
 * @param {import("postern").FastCGIResponse} response
 */
export function decide({ params }, response) {
  const { HTTP_X_TOKEN: word, REMOTE_USER: user, REMOTE_PASSWD: password, FCGI_APACHE_ROLE: role } = params;
  if (word === "redirect") response.deny(302, { Location: "http://example.com/login" });
  else if (word === "teapot") response.deny(418, { "X-Reason": "tea" }, "Say the word.");
  else if (word === "throw") throw new Error("the book of words is lost");
  else if (word === "open-sesame" || password === "secret" || (role === "AUTHORIZER" && user === "kim")) {
    response.allow({ VISITOR: "ali-baba", ASKED_AS: role ?? "", PASSWORD: password ?? "" });
  } else response.deny(403, { "X-Reason": "no word" }, "Say the word.");
}
