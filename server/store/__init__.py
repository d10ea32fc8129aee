"""What outlives the process: rows in SQLite or PostgreSQL, files as blobs. All SQL is here."""
