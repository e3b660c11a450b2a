"""Commands that understand Mezzanine's VMs, for gdb: `help mz` lists them.

scripts/gdbinit sources this file. The commands are in scripts/gdb/mz, one room a file:

    machine    pCPUs, their registers, physical memory
    rust       Rust's values, found and read by DWARF
    model      VMs and vCPUs, as the hypervisor's statics have them
    walk       translation tables, stage 1 and stage 2
    syndrome   ESR_ELx in words (plain Python)
    registers  names of system registers; PSTATE, SCTLR_EL1 and TCR_EL1 in words (plain Python)
    base       what all commands have in common
    vms, tables, interrupts, stops, trace      the commands themselves
"""

import os
import sys

# Bytecode would lie among the sources.
sys.dont_write_bytecode = True
_here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gdb")
if _here not in sys.path:
    sys.path.insert(0, _here)

import mz.commands  # noqa: E402  (the path comes first)
