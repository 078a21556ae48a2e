// What yourapplication.fcgi runs: no address here, so the socket is the one inherited from whoever started us.
// Started as plain CGI (no socket, but REQUEST_METHOD is set), it answers that one request and ends.
import { serve } from "postern";
import app from "./app.js";

await serve(app);
