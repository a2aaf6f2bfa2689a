"""Run the command line with `python -m gpunn`."""

import sys


def main() -> int:
    """Run the command line; Ctrl-C exits quietly even during imports."""
    try:
        from gpunn.cli import main

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
