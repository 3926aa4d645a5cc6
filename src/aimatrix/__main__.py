"""``python -m aimatrix``: the same as the command ``aimatrix``."""

from aimatrix.cli.app import main

if __name__ == "__main__":
    main()
