"""The inference server: HTTP surfaces, services, the local engine and the store."""
