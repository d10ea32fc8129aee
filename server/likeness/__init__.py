"""Who is on a picture: embedders that turn pictures into directions, alike for alike characters."""
