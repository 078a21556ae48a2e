"""A stand-in for flup, for files that were written for it: `from flup.server.fcgi import WSGIServer`.

It is found where this folder's parent is in PYTHONPATH, and wherever flup itself is not wanted or cannot be had.
"""
