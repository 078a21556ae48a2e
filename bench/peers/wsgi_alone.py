"""What the .fcgi file of flup's guide does, for the benchmark: wsgi_alone.py SERVER MODULE:NAME SOCKET THREADS. SERVER is
flup.server.fcgi (whose stand-in of Postern is on PYTHONPATH) or flup_model."""
import importlib
import sys

server, name, path, threads = sys.argv[1:]
module, _, attribute = name.partition(":")
application = getattr(importlib.import_module(module), attribute)
importlib.import_module(server).WSGIServer(application, bindAddress=path, maxThreads=int(threads)).run()
