from postern_wsgi import WSGIServer

__all__ = ["WSGIServer"]
