#!/usr/bin/python3
# Before: `chmod +x` it, and start it by hand, by supervisor, or by the web server.
from flup.server.fcgi import WSGIServer
from yourapplication import app

if __name__ == "__main__":
    WSGIServer(app, bindAddress="/run/yourapplication/app.sock", umask=0o007).run()
