"""Rows and files: SQLAlchemy repositories, migrations, blobs. All SQL is here."""
