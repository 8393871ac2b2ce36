"""`python -m vigilia` is the command `vigilia`."""

from vigilia.cli import script

if __name__ == "__main__":
    script()
