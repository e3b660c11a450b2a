"""mz-vms, mz-vcpus, mz-exits, mz-regs."""

from . import registers, syndrome
from .base import MachineCommand, symbol, table


class Vms(MachineCommand):
    """VMs: number, name, where each is in its life, vCPUs, VMID, memory, root of stage 2.

    mz-vms

The life is one of Made, Preparing, Running, Pausing, Paused(since), Stopping(why), Releasing(why),
Off(why): src/vm/life.rs draws which follows which. VMID and root are VTTBR_EL2, the memory's
addresses are IPAs."""

    name = "mz-vms"

    def look(self, model, words):
        if not model.vms:
            return ["no VM has been made yet"]
        rows = [("VM", "name", "life", "vCPUs", "VMID", "stage-2 root", "memory")]
        for vm in model.vms:
            memory = ", ".join("%g MiB at %#x" % (length / (1 << 20), ipa)
                               for ipa, length in vm.memory)
            rows.append((str(vm.id), vm.name, vm.life, str(len(vm.vcpus)), str(vm.vmid),
                         "%#x" % vm.regime.root, memory))
        return table(rows)


class Vcpus(MachineCommand):
    """vCPUs: state in the run queue, where each ran last, time run and waited, PC.

    mz-vcpus

States are those of src/sched: Off, Ready (waits for a pCPU), Running(pCPU), Blocked (in WFI, until
an interrupt or its deadline), Paused. `at rest in WFI` is Running whose pCPU has nobody else to run.
The times are the run queue's: run until it was last put away, waited until it was last picked.
`loaded` says that its registers are in that pCPU; `in guest`, that the pCPU is there, too."""

    name = "mz-vcpus"

    def look(self, model, words):
        if not model.vms:
            return ["no VM has been made yet"]
        hertz = max(one.get("CNTFRQ_EL0") for one in model.machine.pcpus) or 1
        rows = [("vCPU", "name", "state", "last pCPU", "ran", "waited", "moves", "PC")]
        for vm in model.vms:
            for vcpu in vm.vcpus:
                state, last, ran, waited, moves = vcpu.run_state()
                if vcpu.in_guest:
                    state += ", in guest"
                elif vcpu.pcpu is not None:
                    state += ", loaded"
                # Of one that never ran, the run queue has a place to begin with.
                where = str(last) if ran or state.startswith("Running") else "-"
                rows.append((vcpu.name, vm.name, state, where, "%.3f ms" % (ran * 1e3 / hertz),
                             "%.3f ms" % (waited * 1e3 / hertz), str(moves),
                             ("%#x %s" % (vcpu.pc, symbol(vcpu.pc))).rstrip()))
        return table(rows)


class Exits(MachineCommand):
    """Exits of each vCPU since its VM started, by kind.

    mz-exits

The kinds are those of src/vm/exits.rs. The hypervisor counts them always."""

    name = "mz-exits"

    def look(self, model, words):
        if not model.vms:
            return ["no VM has been made yet"]
        rows = []
        for vm in model.vms:
            for vcpu in vm.vcpus:
                counts = vcpu.exits()
                rows = rows or [("vCPU", "name", "all") + tuple(counts)]
                numbers = [sum(counts.values()), *counts.values()]
                rows.append((vcpu.name, vm.name) + tuple(map(str, numbers)))
        return table(rows)


class Regs(MachineCommand):
    """Registers of a vCPU: general ones, PSTATE in words, and EL1's system registers.

    mz-regs VM.N          as 0.1, or alpha.1

They are where the hypervisor's world switch has them: of a vCPU that isn't loaded, all in memory. Of
one that is, EL1's system registers are in its pCPU, and the general ones too while that pCPU is in
the guest, but in the vCPU's frame while it is at EL2. The answer says which it was.

While EL2 is just loading or putting away the vCPU (Guest::load, Guest::put), EL1's registers are
partly the one's and partly the other's."""

    name = "mz-regs"
    usage = "VM.N"

    def prepare(self, words):
        return self.want(words, 1)

    def look(self, model, words):
        vcpu = model.vcpu(words[0])
        x, pc, state, where = vcpu.general()
        lines = ["vCPU %s of %s" % (vcpu.name, vcpu.vm.name), "general registers: from " + where]
        for first in range(0, 31, 4):
            lines.append("  " + "  ".join("%-3s %016x" % ("x%d" % n, x[n])
                                          for n in range(first, min(first + 4, 31))))
        lines.append(("  PC  %016x %s" % (pc, symbol(pc))).rstrip())
        lines.append("  PSTATE %#x: %s" % (state, registers.pstate(state)))
        el1, where = vcpu.system()
        lines.append("EL1's registers: from " + where)
        words_of = {
            "SPSR_EL1": registers.pstate, "SCTLR_EL1": registers.sctlr, "TCR_EL1": registers.tcr,
            "ESR_EL1": syndrome.line, "ELR_EL1": symbol, "VBAR_EL1": symbol,
        }
        for name in ("SP_EL0", "SP_EL1", "ELR_EL1", "SPSR_EL1", "ESR_EL1", "FAR_EL1", "VBAR_EL1",
                     "SCTLR_EL1", "TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "MAIR_EL1"):
            said = words_of[name](el1[name]) if name in words_of else ""
            lines.append(("  %-9s %016x  %s" % (name, el1[name], said)).rstrip())
        return lines
