"""The entry: answers --version and --help at once, and leaves the rest to imgpipe.app."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of this process; returns the exit status."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from imgpipe import __version__

        sys.stdout.write(f"imgpipe {__version__}\n")
        return 0
    if arguments in ([], ["--help"], ["-h"], ["help"]):
        from imgpipe.help import page

        sys.stdout.write(page())
        return 0
    from imgpipe.app import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
