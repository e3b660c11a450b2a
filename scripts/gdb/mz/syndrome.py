"""ESR_ELx in words (Arm DDI 0487, "ESR_EL2, Exception Syndrome Register"). Plain Python.

The lines are those of src/exit/esr: tests/system/gdb.rs compares the two for every class.
"""

from .registers import sysreg

CLASSES = {
    0x00: ("UNKNOWN", "unknown reason"),
    0x01: ("WFX", "trapped WFI or WFE"),
    0x03: ("CP15_MCR", "trapped MCR or MRC (coproc 15)"),
    0x04: ("CP15_MCRR", "trapped MCRR or MRRC (coproc 15)"),
    0x05: ("CP14_MCR", "trapped MCR or MRC (coproc 14)"),
    0x06: ("CP14_LDC", "trapped LDC or STC (coproc 14)"),
    0x07: ("FP_ACCESS", "trapped access to SVE, SIMD or floating point"),
    0x08: ("VMRS", "trapped VMRS of an ID register"),
    0x09: ("PAUTH", "trapped pointer authentication"),
    0x0a: ("LS64", "trapped LD64B or ST64B"),
    0x0c: ("CP14_MRRC", "trapped MRRC (coproc 14)"),
    0x0d: ("BRANCH_TARGET", "branch target exception"),
    0x0e: ("ILLEGAL_STATE", "illegal execution state"),
    0x11: ("SVC32", "SVC from AArch32"),
    0x12: ("HVC32", "HVC from AArch32"),
    0x13: ("SMC32", "SMC from AArch32"),
    0x14: ("SYSREG128", "trapped MSRR, MRRS or 128-bit SYS"),
    0x15: ("SVC64", "SVC from AArch64"),
    0x16: ("HVC64", "HVC from AArch64"),
    0x17: ("SMC64", "SMC from AArch64"),
    0x18: ("SYSREG", "trapped MSR, MRS or SYS"),
    0x19: ("SVE", "trapped access to SVE"),
    0x1a: ("ERET", "trapped ERET"),
    0x1b: ("TSTART", "TSTART at EL0"),
    0x1c: ("PAC_FAIL", "pointer authentication failure"),
    0x1d: ("SME", "trapped access to SME"),
    0x1e: ("GPC", "granule protection check"),
    0x1f: ("IMPDEF_EL3", "IMPLEMENTATION DEFINED exception to EL3"),
    0x20: ("INSTRUCTION_ABORT_LOWER", "instruction abort from a lower EL"),
    0x21: ("INSTRUCTION_ABORT_SAME", "instruction abort at the same EL"),
    0x22: ("PC_ALIGNMENT", "PC alignment fault"),
    0x24: ("DATA_ABORT_LOWER", "data abort from a lower EL"),
    0x25: ("DATA_ABORT_SAME", "data abort at the same EL"),
    0x26: ("SP_ALIGNMENT", "SP alignment fault"),
    0x27: ("MEMORY_COPY", "memory copy or set exception"),
    0x28: ("FP32", "floating-point exception from AArch32"),
    0x2c: ("FP64", "floating-point exception from AArch64"),
    0x2d: ("GCS", "guarded control stack exception"),
    0x2f: ("SERROR", "SError"),
    0x30: ("BREAKPOINT_LOWER", "breakpoint from a lower EL"),
    0x31: ("BREAKPOINT_SAME", "breakpoint at the same EL"),
    0x32: ("STEP_LOWER", "software step from a lower EL"),
    0x33: ("STEP_SAME", "software step at the same EL"),
    0x34: ("WATCHPOINT_LOWER", "watchpoint from a lower EL"),
    0x35: ("WATCHPOINT_SAME", "watchpoint at the same EL"),
    0x38: ("BKPT32", "BKPT from AArch32"),
    0x3a: ("VECTOR_CATCH32", "vector catch from AArch32"),
    0x3c: ("BRK", "BRK from AArch64"),
    0x3d: ("PROFILING", "profiling exception"),
}
# The abort's class is told from these.
ABORTS = {0x20: "fetch", 0x21: "fetch", 0x24: None, 0x25: None}
LOWER = (0x20, 0x24)
# Names and the level of -1 and -2 that FEAT_LPA2 and FEAT_D128 add.
FAULTS = {
    0x10: "synchronous external abort", 0x11: "synchronous tag check fault",
    0x18: "synchronous parity or ECC error", 0x21: "alignment fault",
    0x28: "granule protection fault", 0x30: "TLB conflict",
    0x31: "unsupported atomic hardware update", 0x34: "lockdown fault",
    0x35: "unsupported exclusive or atomic access",
    0x29: "address size fault level -1", 0x2c: "address size fault level -2",
    0x1b: "synchronous parity or ECC error on a table walk, level -1",
}
LEVELLED = (
    (0x00, 0x03, "address size fault level", 0), (0x04, 0x07, "translation fault level", 0),
    (0x08, 0x0b, "access flag fault level", 0), (0x0c, 0x0f, "permission fault level", 0),
    (0x12, 0x13, "synchronous external abort on a table walk, level", -4),
    (0x14, 0x17, "synchronous external abort on a table walk, level", 0),
    (0x1c, 0x1f, "synchronous parity or ECC error on a table walk, level", 0),
    (0x22, 0x23, "granule protection fault on a table walk, level", -4),
    (0x24, 0x27, "granule protection fault on a table walk, level", 0),
    (0x2a, 0x2b, "translation fault level", -4),
)
KEYS = ("instruction key A", "instruction key B", "data key A", "data key B")


def bits(value, high, low):
    """value[high:low]."""
    return value >> low & (1 << (high - low + 1)) - 1


def ec(esr):
    """ESR_ELx.EC."""
    return bits(esr, 31, 26)


def class_name(number):
    """The class in the words of the Arm ARM's table."""
    return CLASSES.get(number, ("", "unallocated exception class"))[1]


def class_number(text):
    """A class by number or by the name that src/exit/esr/class.rs has for it; None if neither."""
    try:
        number = int(text, 0)
        return number if 0 <= number < 64 else None
    except ValueError:
        names = {name: number for number, (name, _) in CLASSES.items()}
        return names.get(text.upper())


def fault(code):
    """DFSC or IFSC."""
    if code in FAULTS:
        return FAULTS[code]
    for first, last, name, less in LEVELLED:
        if first <= code <= last:
            return "%s %d" % (name, (code & 3) + less)
    return "reserved fault status 0x%02x" % code


def gpr(letter, number):
    """A general register, where 31 is the zero register."""
    return letter + ("zr" if number == 31 else str(number))


def line(esr, far=None, hpfar=None):
    """The whole of it in one line. Without FAR_ELx and HPFAR_EL2 it has no address."""
    number, iss = ec(esr), esr & 0x1ffffff
    text = "EC 0x%02x %s" % (number, class_name(number))
    direction = "write" if iss >> 6 & 1 else "read"
    imm = ": #%#x" % bits(iss, 15, 0)
    if number == 0x01:
        text += ": " + ("WFI", "WFE", "WFIT", "WFET")[iss & 3]
        # RV: Rn holds the time until which WFIT and WFET wait.
        return text + (" until the time in " + gpr("x", bits(iss, 9, 5)) if iss >> 2 & 1 else "")
    if number in (0x03, 0x05, 0x08):
        return text + ": " + coprocessor(iss, {0x03: 15, 0x05: 14, 0x08: 10}[number])
    if number in (0x04, 0x0c):
        return text + ": %s p%d, %d, %s, %s, c%d" % (
            "mrrc" if iss & 1 else "mcrr", 15 if number == 0x04 else 14, bits(iss, 19, 16),
            gpr("w", bits(iss, 9, 5)), gpr("w", bits(iss, 14, 10)), bits(iss, 4, 1))
    if number == 0x0d:
        return text + ": BTYPE 0b%s" % format(bits(iss, 1, 0), "02b")
    if number in (0x11, 0x12, 0x15, 0x16, 0x17, 0x38, 0x3c):
        return text + imm
    if number == 0x18:
        return text + ": " + system(iss)
    if number == 0x1a:
        return text + ": " + ("ERET", "ERET", "ERETAA", "ERETAB")[iss & 3]
    if number == 0x1c:
        return text + ": " + KEYS[iss & 3]
    if number == 0x1d:
        return text + ": SMTC %d" % bits(iss, 2, 0)
    if number in ABORTS:
        return text + abort(number, iss, ABORTS[number] or direction, far, hpfar)
    if number == 0x22:
        return text + ("" if far is None else ": PC %#x" % far)
    if number in (0x28, 0x2c):
        # TFV: whether the flags say which exceptions there were.
        return text + (": flags 0x%02x" % (iss & 0x9f) if iss >> 23 & 1 else ": flags not valid")
    if number == 0x2f:
        return text + serror(iss)
    if number in (0x32, 0x33):
        # ISV, and EX.
        return text + (": stepped a load-exclusive" if iss >> 24 & iss >> 6 & 1 else "")
    if number in (0x34, 0x35):
        return text + ": " + direction + ("" if far is None else " at VA %#x" % far)
    if number in (0x00, 0x06, 0x07, 0x09, 0x0e, 0x13, 0x19, 0x26, 0x30, 0x31, 0x3a):
        return text
    return text + ": ISS %#x" % iss


def coprocessor(iss, number):
    """MCR and MRC of AArch32, and VMRS."""
    return "%s p%d, %d, %s, c%d, c%d, %d" % (
        "mrc" if iss & 1 else "mcr", number, bits(iss, 16, 14), gpr("w", bits(iss, 9, 5)),
        bits(iss, 13, 10), bits(iss, 4, 1), bits(iss, 19, 17))


def system(iss):
    """MSR, MRS and SYS."""
    op0, rt = bits(iss, 21, 20), gpr("x", bits(iss, 9, 5))
    name = sysreg(op0, bits(iss, 16, 14), bits(iss, 13, 10), bits(iss, 4, 1), bits(iss, 19, 17))
    if op0 == 1:
        return "%s with %s" % (name, rt)
    return "read of %s into %s" % (name, rt) if iss & 1 else "write of %s from %s" % (name, rt)


def serror(iss):
    """IDS, DFSC and AET."""
    if iss >> 24 & 1:
        return ": IMPLEMENTATION DEFINED syndrome %#x" % bits(iss, 23, 0)
    dfsc, aet = bits(iss, 5, 0), bits(iss, 12, 10)
    if dfsc == 0x11:
        words = {0: "uncontainable", 1: "unrecoverable", 2: "restartable", 3: "recoverable",
                 6: "corrected"}
        return ": asynchronous, " + words.get(aet, "reserved severity %d" % aet)
    return ": uncategorised" if dfsc == 0 else ": DFSC 0x%02x" % dfsc


def is_access(iss):
    """Whether ISV is set, and the fault is stage 2's, raised by the access itself: only then do
    SAS, SSE, SRT and SF mean something."""
    code = iss & 0x3f
    raised = 0x04 <= code <= 0x0f or code in (0x2a, 0x2b)
    return bool(iss >> 24 & 1) and not iss & 0x180 and raised


def has_ipa(iss):
    """Whether HPFAR_EL2 holds the IPA of an abort from a lower EL: after a fault on a walk of stage
    1, or a translation, access flag or address size fault. It is UNKNOWN after others."""
    code = iss & 0x3f
    return bool(iss >> 7 & 1) or code <= 0x0b or 0x29 <= code <= 0x2c


def ipa(iss, far, hpfar):
    """That IPA: FIPA, and FAR's offset in the page where it is of the same address."""
    page = (hpfar & 0xffffffffff0) << 8
    return page if iss >> 7 & 1 else page | (far or 0) & 0xfff


def abort(number, iss, what, far, hpfar):
    """Data and instruction aborts."""
    if is_access(iss) and what != "fetch":
        size = 1 << bits(iss, 23, 22)
        text = ": %s of %d byte%s %s %s%s" % (
            what, size, "" if size == 1 else "s", "from" if iss >> 6 & 1 else "into",
            gpr("x" if iss >> 15 & 1 else "w", bits(iss, 20, 16)),
            " (sign-extended)" if iss >> 21 & 1 else "")
    elif not is_access(iss) and iss >> 8 & 1:
        text = ": cache maintenance"
    elif not is_access(iss) and iss >> 7 & 1:
        text = ": stage-1 table walk, for a " + what
    else:
        text = ": fetch" if what == "fetch" else ": %s without a syndrome" % what
    if number in LOWER and has_ipa(iss):
        text += "" if hpfar is None else " at IPA %#x" % ipa(iss, far, hpfar)
    elif iss >> 10 & 1:
        text += " at an unknown address"
    elif far is not None:
        text += " at VA %#x" % far
    return text + ", " + fault(iss & 0x3f)


# The fields that stand in the ISS, by class.
DATA = (("ISV", 24, 24), ("SAS", 23, 22), ("SSE", 21, 21), ("SRT", 20, 16), ("SF", 15, 15),
        ("AR", 14, 14), ("FnV", 10, 10), ("EA", 9, 9), ("CM", 8, 8), ("S1PTW", 7, 7), ("WnR", 6, 6),
        ("DFSC", 5, 0))
INSTRUCTION = (("FnV", 10, 10), ("EA", 9, 9), ("S1PTW", 7, 7), ("IFSC", 5, 0))
SYSTEM = (("Op0", 21, 20), ("Op1", 16, 14), ("CRn", 13, 10), ("CRm", 4, 1), ("Op2", 19, 17),
          ("Rt", 9, 5), ("Direction", 0, 0))
FIELDS = {
    0x01: (("CV", 24, 24), ("COND", 23, 20), ("RN", 9, 5), ("RV", 2, 2), ("TI", 1, 0)),
    0x15: (("imm16", 15, 0),), 0x16: (("imm16", 15, 0),), 0x17: (("imm16", 15, 0),),
    0x18: SYSTEM, 0x20: INSTRUCTION, 0x21: INSTRUCTION, 0x24: DATA, 0x25: DATA,
    0x2f: (("IDS", 24, 24), ("AET", 12, 10), ("EA", 9, 9), ("DFSC", 5, 0)),
    0x3c: (("Comment", 15, 0),),
}


def fields(esr):
    """EC, IL, ISS, and the fields of the ISS that the class has."""
    words = ["EC 0x%02x, IL %d, ISS %#x" % (ec(esr), esr >> 25 & 1, esr & 0x1ffffff)]
    for name, high, low in FIELDS.get(ec(esr), ()):
        if ec(esr) in (0x24, 0x25) and 14 <= low < 24 and not esr >> 24 & 1:
            # They mean nothing where ISV is 0.
            continue
        value = bits(esr, high, low)
        words.append("%s %s" % (name, value if high - low < 5 else "%#x" % value))
    return words[0] + (": " + ", ".join(words[1:]) if len(words) > 1 else "")
