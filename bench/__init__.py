"""Measurements: the customer 360 side by side with its peers (`make bench`), and as the data grows (`make bench-growth`)."""
