"""`python -m adctl` is the console script."""

from adctl.cli import main

if __name__ == "__main__":
    main()
