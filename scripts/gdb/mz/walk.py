"""Translation tables of VMSAv8-64 (Arm DDI 0487, D8): one walk for all regimes, and descriptors in
words. Plain Python."""

from collections import namedtuple

# `granule`: log2 of its bytes. `bits`: of the input address. `start`: the level that begins.
Regime = namedtuple("Regime", "stage root granule bits start")
# `address` is where the tables say that the descriptor is, `physical` where memory has it.
Step = namedtuple("Step", "level address physical descriptor")
# `output` is None where the walk ends at nothing; `kind` says how it ends.
Walk = namedtuple("Walk", "steps output kind level")

# TG0 and TG1 (TCR_ELx, VTCR_EL2) to log2 of the granule.
TG0 = {0: 12, 1: 16, 2: 14}
TG1 = {2: 12, 1: 14, 3: 16}


def stage1_regime(root, size, granule):
    """By TTBRn_ELx, TnSZ and the granule."""
    bits = 64 - size
    # As many levels as the input address has pieces of (granule - 3) bits.
    levels = -(-(bits - granule) // (granule - 3))
    # BADDR, bits 47:1; above it the ASID, below it CnP.
    return Regime(1, root & 0xfffffffffffe, granule, bits, 4 - levels)


def el2_regime(ttbr0, tcr):
    """EL2's own: TCR_EL2.T0SZ and TG0."""
    return stage1_regime(ttbr0, tcr & 0x3f, TG0.get(tcr >> 14 & 3, 12))


def stage2_regime(vttbr, vtcr):
    """A guest's: VTCR_EL2.T0SZ, SL0 and TG0."""
    granule = TG0.get(vtcr >> 14 & 3, 12)
    sl0 = vtcr >> 6 & 3
    start = {0: 2, 1: 1, 2: 0, 3: 3}[sl0] if granule == 12 else 3 - sl0
    return Regime(2, vttbr & 0xfffffffffffe, granule, 64 - (vtcr & 0x3f), start)


def shift(regime, level):
    """log2 of the bytes that a descriptor of `level` translates."""
    return regime.granule + (3 - level) * (regime.granule - 3)


def output_address(regime, descriptor, low):
    """Bits 47:low; with 64 KiB granule bits 15:12 are 51:48 (FEAT_LPA)."""
    address = descriptor & 0xffffffffffff & ~((1 << low) - 1)
    if regime.granule == 16:
        address |= (descriptor >> 12 & 0xf) << 48
    return address


def walk(read64, regime, address, place=lambda table: table):
    """Walks `address`. `place` says where in physical memory a table's address is, or None; a
    guest's tables lie at IPAs."""
    steps = []
    if address >> regime.bits:
        return Walk(steps, None, "range", regime.start)
    table = regime.root
    for level in range(regime.start, 4):
        span = shift(regime, level)
        # At the first level the index has the bits that are left: fewer than a page of
        # descriptors, or with concatenated tables of stage 2 more.
        top = regime.bits if level == regime.start else shift(regime, level - 1)
        index = address >> span & (1 << (top - span)) - 1
        at = table + 8 * index
        physical = place(at)
        descriptor = None if physical is None else read64(physical)
        steps.append(Step(level, at, physical, descriptor))
        if descriptor is None:
            return Walk(steps, None, "table", level)
        kind = classify(regime, level, descriptor)
        if kind == "table":
            table = output_address(regime, descriptor, regime.granule)
        elif kind == "leaf":
            output = output_address(regime, descriptor, span) | address & (1 << span) - 1
            return Walk(steps, output, "leaf", level)
        else:
            return Walk(steps, None, kind, level)
    return Walk(steps, None, "invalid", 3)


def classify(regime, level, descriptor):
    """`invalid`, `reserved`, `table` or `leaf`."""
    if descriptor & 1 == 0:
        return "invalid"
    if level == 3:
        return "leaf" if descriptor & 2 else "reserved"
    if descriptor & 2:
        return "table"
    # Blocks: 1 GiB and 2 MiB, 32 MiB, 512 MiB.
    return "leaf" if level == 2 or (level == 1 and regime.granule == 12) else "reserved"


def size(bits):
    """2^bits bytes in words."""
    for unit, name in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if bits >= unit:
            return "%d %s" % (1 << (bits - unit), name)
    return "%d bytes" % (1 << bits)


SH = ("non-shareable", "reserved shareability", "outer shareable", "inner shareable")
DEVICE = ("nGnRnE", "nGnRE", "nGRE", "GRE")


def describe(regime, level, descriptor, mair=None):
    """A descriptor in words."""
    kind = classify(regime, level, descriptor)
    if kind == "invalid":
        return "invalid: translation fault level %d" % level
    if kind == "reserved":
        return "reserved encoding: translation fault level %d" % level
    if kind == "table":
        words = ["table at %#x" % output_address(regime, descriptor, regime.granule)]
        if regime.stage == 1:
            flags = [(63, "NSTable"), (62, "APTable: read-only"), (61, "APTable: not for EL0"),
                     (60, "UXNTable"), (59, "PXNTable")]
            words += [name for bit, name in flags if descriptor >> bit & 1]
        return ", ".join(words)
    span = shift(regime, level)
    words = ["%s of %s to %#x" % ("page" if level == 3 else "block", size(span),
                                  output_address(regime, descriptor, span))]
    words += stage1_words(descriptor, mair) if regime.stage == 1 else stage2_words(descriptor)
    words.append(SH[descriptor >> 8 & 3])
    # AF, bit 10.
    words.append("AF" if descriptor >> 10 & 1 else "AF 0: access flag fault level %d" % level)
    if descriptor >> 52 & 1:
        words.append("contiguous")
    return ", ".join(words)


def stage1_words(descriptor, mair):
    """AttrIndx by MAIR_EL1, AP, nG, DBM, PXN and UXN."""
    index = descriptor >> 2 & 7
    attributes = "" if mair is None else " " + memory_type(mair >> 8 * index & 0xff)
    access = ("EL1 read/write, EL0 none", "EL1 and EL0 read/write",
              "EL1 read-only, EL0 none", "EL1 and EL0 read-only")[descriptor >> 6 & 3]
    flags = [(11, "nG"), (51, "DBM"), (53, "PXN"), (54, "UXN")]
    return ["AttrIndx %d%s" % (index, attributes), access] + \
        [name for bit, name in flags if descriptor >> bit & 1]


def memory_type(attribute):
    """A byte of MAIR_ELx."""
    if attribute & 0xf0 == 0:
        return "Device-" + DEVICE[attribute >> 2 & 3] if attribute & 3 == 0 else "reserved"
    def cacheability(field):
        if field == 4:
            return "non-cacheable"
        return ("write-through" if field & 4 == 0 else "write-back") + \
            (" transient" if field & 8 == 0 else "")
    outer, inner = cacheability(attribute >> 4), cacheability(attribute & 15)
    return "Normal " + (outer if outer == inner else "inner %s, outer %s" % (inner, outer))


def stage2_words(descriptor):
    """MemAttr, S2AP and XN."""
    attribute = descriptor >> 2 & 15
    if attribute >> 2 == 0:
        memory = "Device-" + DEVICE[attribute & 3]
    else:
        names = ("reserved", "non-cacheable", "write-through", "write-back")
        outer, inner = names[attribute >> 2], names[attribute & 3]
        memory = "Normal " + (outer if outer == inner else "inner %s, outer %s" % (inner, outer))
    access = ("no access", "read-only", "write-only", "read/write")[descriptor >> 6 & 3]
    # XN, bits 54:53; bit 53 with FEAT_XNX only.
    execute = ("", "PXN", "XN", "UXN")[descriptor >> 53 & 3]
    return [memory, "S2AP " + access] + ([execute] if execute else [])
