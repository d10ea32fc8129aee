"""The local member of the Provider protocol: a torch-free client and the worker behind it."""
