"""The procedural picture-book world: seeded drawings with exact captions and labels."""
