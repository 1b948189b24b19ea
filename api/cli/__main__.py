"""``python -m api.cli``: the command line where the script is not on PATH."""

from api.cli import main

if __name__ == "__main__":
    main()
