from postern_wsgi import WSGIServer, keep_flask_from_serving

__all__ = ["WSGIServer"]

# What is imported next is the application. WSGIServer.run() takes it back.
keep_flask_from_serving()
