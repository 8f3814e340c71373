"""Who gets a lead. `decide` and what it uses are pure; `facts`, `placing`, `assign` and `bulk` use the database."""
