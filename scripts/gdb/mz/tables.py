"""mz-s1, mz-s2."""

from . import walk
from .base import MachineCommand, number, step_lines
from .machine import fail


def hole(vm, ipa):
    """What it means that stage 2 has nothing at an IPA."""
    for start, length in vm.memory:
        if start <= ipa < start + length:
            return ("nothing yet: this is in the VM's memory, and becomes visible at its first "
                    "touch (architecture.md, section 10)")
    return ("a hole: no memory of the VM. An access comes to EL2, where a device answers, or the "
            "guest is given an external abort")


def stage2_lines(vm, ipa, indent=""):
    """The walk of stage 2 in words, and where it ends."""
    regime = vm.regime
    found = vm.translate(ipa)
    lines = list(step_lines(regime, found.steps, indent=indent))
    if found.output is not None:
        lines.append("%sIPA %#x is at PA %#x" % (indent, ipa, found.output))
    elif found.kind == "range":
        lines.append("%sIPA %#x has more than %d bits: address size or translation fault level %d"
                     % (indent, ipa, regime.bits, regime.start))
    else:
        lines.append("%sIPA %#x: %s" % (indent, ipa, hole(vm, ipa)))
    return lines


class Stage2(MachineCommand):
    """The walk of a VM's stage 2 for an IPA, descriptor by descriptor.

    mz-s2 VM IPA          as mz-s2 0 0x40080000, or mz-s2 alpha $x1

Each line has the level, the descriptor's physical address, the descriptor, and what it says. The
tables are read as the hardware reads them; a TLB isn't looked at."""

    name = "mz-s2"
    usage = "VM IPA"

    def prepare(self, words):
        words = self.want(words, 2)
        return words[0], number(words[1])

    def look(self, model, words):
        vm, ipa = model.vm(words[0]), words[1]
        regime = vm.regime
        first = ("stage 2 of VM %d %s, IPA %#x: VMID %d, root %#x, %d bits, %s granule, "
                 "from level %d" % (vm.id, vm.name, ipa, vm.vmid, regime.root, regime.bits,
                                    walk.size(regime.granule), regime.start))
        return [first] + stage2_lines(vm, ipa)


class Stage1:
    """A guest's own translation, by the EL1 registers of one of its vCPUs."""

    def __init__(self, vcpu):
        self.vm = vcpu.vm
        self.registers, self.source = vcpu.system()

    @property
    def on(self):
        """SCTLR_EL1.M."""
        return self.registers["SCTLR_EL1"] & 1 != 0

    def regime(self, va):
        """The half of the address space that `va` is in: (words, regime, address to walk), where
        the regime is None if there is no walk."""
        tcr = self.registers["TCR_EL1"]
        if tcr >> 59 & 1:
            fail("TCR_EL1.DS is 1, 52-bit addresses: wanted 48-bit ones")
        half = va >> 55 & 1
        size, granule, off, tagged = (
            (tcr >> 16 & 0x3f, walk.TG1.get(tcr >> 30 & 3), tcr >> 23 & 1, tcr >> 38 & 1)
            if half else
            (tcr & 0x3f, walk.TG0.get(tcr >> 14 & 3), tcr >> 7 & 1, tcr >> 37 & 1))
        name = "TTBR%d_EL1" % half
        bits = 64 - min(max(size, 16), 39)
        # TBI: bits 63:56 are a tag.
        above = va >> bits & (1 << ((56 if tagged else 64) - bits)) - 1
        if above != ((1 << ((56 if tagged else 64) - bits)) - 1 if half else 0):
            return ("in neither half: translation fault level 0 (%s has %d bits)" % (name, bits),
                    None, 0)
        if off:
            return "TCR_EL1.EPD%d is 1: translation fault level 0" % half, None, 0
        if granule is None:
            fail("%s has a reserved granule, TCR_EL1 %#x: wanted 4K, 16K or 64K" % (name, tcr))
        ttbr = self.registers[name]
        regime = walk.stage1_regime(ttbr, 64 - bits, granule)
        words = "%s %#x (ASID %d, root %#x), %d bits, %s granule, from level %d" % (
            name, ttbr, ttbr >> 48, regime.root, bits, walk.size(granule), regime.start)
        return words, regime, va & (1 << bits) - 1

    def walk(self, va):
        """(words, regime, walk): the regime is None if there is no walk."""
        words, regime, address = self.regime(va)
        if regime is None:
            return words, None, None
        return words, regime, walk.walk(self.vm.model.machine.read64, regime, address,
                                        lambda table: self.vm.translate(table).output)

    def plain(self, address):
        """A code address without what FEAT_PAuth signs it with: bit 55 says which half it is in."""
        tcr, half = self.registers["TCR_EL1"], address >> 55 & 1
        bits = 64 - min(max(tcr >> 16 * half & 0x3f, 16), 39)
        low = address & (1 << bits) - 1
        if not self.on:
            return address
        return low | (1 << 64) - (1 << bits) if half else low

    def ipa(self, va):
        """Where stage 1 leads, or None."""
        if not self.on:
            return va
        found = self.walk(va)[2]
        return None if found is None else found.output

    def read64(self, va):
        """A doubleword as the guest's EL1 sees it, or None."""
        ipa = self.ipa(va)
        return None if ipa is None else self.vm.read64(ipa)


class Stage1Command(MachineCommand):
    """The walk of a guest's own tables for a VA, and then of stage 2 for what they say.

    mz-s1 VM.N VA         as mz-s1 0.0 $FAR_EL1

By TTBR0_EL1 or TTBR1_EL1, TCR_EL1 and MAIR_EL1 of that vCPU. The guest's tables lie at IPAs: each
descriptor is shown with its IPA and, through stage 2, its physical address. Granules of 4, 16 and
64 KiB; no 52-bit addresses. What the two tables say together is in the last lines. A TLB isn't
looked at."""

    name = "mz-s1"
    usage = "VM.N VA"

    def prepare(self, words):
        words = self.want(words, 2)
        return words[0], number(words[1])

    def look(self, model, words):
        vcpu, va = model.vcpu(words[0]), words[1]
        stage1 = Stage1(vcpu)
        lines = ["stage 1 of vCPU %s of %s, VA %#x: registers of %s"
                 % (vcpu.name, vcpu.vm.name, va, stage1.source)]
        ipa = va
        if not stage1.on:
            lines.append("SCTLR_EL1.M is 0: the guest's translation is off, the VA is the IPA")
        else:
            text, regime, found = stage1.walk(va)
            lines.append(text)
            if regime is None:
                return lines
            lines += step_lines(regime, found.steps, stage1.registers["MAIR_EL1"])
            ipa = found.output
            if found.kind == "table":
                last = found.steps[-1]
                why = hole(vcpu.vm, last.address) if last.physical is None else "no memory there"
                lines.append("VA %#x: the table itself, at IPA %#x, can't be read: %s"
                             % (va, last.address, why))
                return lines
            if ipa is None:
                lines.append("VA %#x: the guest maps nothing there: translation fault level %d, "
                             "which the guest itself takes" % (va, found.level))
                return lines
            lines.append("VA %#x is IPA %#x; stage 2 of VM %d:" % (va, ipa, vcpu.vm.id))
        return lines + stage2_lines(vcpu.vm, ipa, "  ")
