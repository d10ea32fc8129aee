"""The command line: one module a command; what is slow to import is imported by the command."""
