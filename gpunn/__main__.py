"""`python -m gpunn`, the same as `gpunn`."""

import sys


def main() -> int:
    """The command line; Ctrl-C ends it quietly while it is still being imported, too."""
    try:
        from gpunn.cli import main

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
