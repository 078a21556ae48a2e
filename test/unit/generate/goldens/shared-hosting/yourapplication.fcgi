#!/bin/sh
# yourapplication, a Node application served by Postern. Made by: postern init shared-hosting
# Started by the web server, with the socket as descriptor 0. Messages go to the error log of the site.
export NODE_ENV=production
cd /home/deploy/yourapplication || exit 1
exec /usr/bin/node /home/deploy/yourapplication/node_modules/postern/dist/cli/main.js serve /home/deploy/yourapplication/app.js
