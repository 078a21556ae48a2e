#!/usr/bin/env node
// After, in place of yourapplication.fcgi.py. `postern serve app.js` does without this file.
import { serve } from "postern";
import app from "./app.js";

// An address, or none: then the socket is inherited, and a CGI request answered, as flup does.
await serve(app, process.argv[2] ? { bind: process.argv[2], mode: 0o660 } : {});
