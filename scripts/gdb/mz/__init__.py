"""gdb's view of a machine that runs Mezzanine. See scripts/gdb.py."""
