"""The words everyone shares: frozen values, protocols and errors. Imports nothing of ours."""
