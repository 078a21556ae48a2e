#!/bin/sh
# Started by the web server (mod_fcgid, mod_fastcgi, lighttpd) or by spawn-fcgi, with the socket as descriptor 0.
# In a public folder, leave only this file and .htaccess, and write the folder of the application after cd:
# whatever else lies there can be downloaded. If the web server does not find node, write its full path.
export NODE_ENV=production # the environment here is nearly empty, and Express would show stack traces
cd "$(dirname "$0")" && exec node serve.js
