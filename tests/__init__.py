"""The tests start the product's processes many dozen times. Each would compile all of it anew where files of bytecode are
not to be written, which takes longer than most of these tests; so they are, by this process and those that it starts."""

import os
import sys

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
