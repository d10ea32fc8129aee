"""The history of the tables, newest last. Forward only: going back is restoring a backup."""
