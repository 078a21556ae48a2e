// postern serve app.js --bind unix:/run/yourapplication/app.sock; without an address on the inherited socket
module.exports = require("./handler.js").handler;
