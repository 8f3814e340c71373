"""Who gets a lead. `decide` and what it uses is pure; `facts`, `placing`, `assign` and `bulk` are with the database."""
