"""`python -m callback_server`: serve the pages."""

import gc


def main() -> None:
    """Import the program, then run it.

    Python's collector rests meanwhile. It would look through what the imports make again and again, to find 1 MiB of garbage.
    That took a fifth of the CPU of a start.
    """
    gc.disable()
    from callback_server import program

    gc.enable()
    program.main()


if __name__ == "__main__":
    main()
