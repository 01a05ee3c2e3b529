"""The entry: answers --version and --help at once, and leaves the rest to imgpipe.app."""

import gc
import os
import sys

_PATIENCE = 200_000
"""Objects between two looks for unreachable ones: what start-up makes stays, and looking it over is a quarter of it."""


def main() -> int:
    """Run the command line of this process; returns the exit status."""
    try:
        status = _run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except KeyboardInterrupt:
        return 130
    return status


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        from imgpipe import __version__

        sys.stdout.write(f"imgpipe {__version__}\n")
        return 0
    if arguments in ([], ["--help"], ["-h"], ["help"]) and "_IMGPIPE_COMPLETE" not in os.environ:
        from imgpipe.help import page

        sys.stdout.write(page())
        return 0
    gc.set_threshold(_PATIENCE)
    from imgpipe.app import run

    status = run(arguments)
    gc.freeze()  # nor is anything looked over that goes with the process
    return status


def _reader_left() -> int:
    """Whoever read our output has gone (`| head`): end quietly, with the status that a shell gives SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13


if __name__ == "__main__":
    sys.exit(main())
