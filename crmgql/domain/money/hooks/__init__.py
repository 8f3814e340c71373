"""What payment providers post to us, from the bytes to the books: accounts, arrivals, families, and what becomes of each.

`providers`, which is pure, says what a post means; here it is stored, matched and booked.
"""
