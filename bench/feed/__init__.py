"""Measurements of the feed and of what follows it (`make bench-feed`). All of it stays on this machine."""
