"""Which models there are, what they declare, where their files lie and how they get here."""
