"""The HTTP form of Greenroom: one module a surface, mounted by `server.api.routes`."""
