"""What a bank says: its statements, read from files, as lines that can be matched with what is owed."""
