"""Names of system registers and instructions by their encoding, and fields of the registers that
say in what state a guest is (Arm DDI 0487, D24). Plain Python."""

# Name, then op0, op1, CRn, CRm, op2: those of src/exit/esr/sysreg.rs, and what Linux uses.
_NAMES = """
IC_IALLUIS 1 0 7 1 0; IC_IALLU 1 0 7 5 0; DC_IVAC 1 0 7 6 1; DC_ISW 1 0 7 6 2; AT_S1E1R 1 0 7 8 0;
AT_S1E1W 1 0 7 8 1; AT_S1E0R 1 0 7 8 2; AT_S1E0W 1 0 7 8 3; DC_CSW 1 0 7 10 2; DC_CISW 1 0 7 14 2;
TLBI_VMALLE1IS 1 0 8 3 0; TLBI_VAE1IS 1 0 8 3 1; TLBI_ASIDE1IS 1 0 8 3 2; TLBI_VAAE1IS 1 0 8 3 3;
TLBI_VMALLE1 1 0 8 7 0; TLBI_VAE1 1 0 8 7 1; TLBI_ASIDE1 1 0 8 7 2; TLBI_VAAE1 1 0 8 7 3;
DC_ZVA 1 3 7 4 1; IC_IVAU 1 3 7 5 1; DC_CVAC 1 3 7 10 1; DC_CVAU 1 3 7 11 1; DC_CIVAC 1 3 7 14 1;
OSDTRRX_EL1 2 0 0 0 2; MDCCINT_EL1 2 0 0 2 0; MDSCR_EL1 2 0 0 2 2; OSDTRTX_EL1 2 0 0 3 2;
OSECCR_EL1 2 0 0 6 2; MDRAR_EL1 2 0 1 0 0; OSLAR_EL1 2 0 1 0 4; OSLSR_EL1 2 0 1 1 4;
OSDLR_EL1 2 0 1 3 4; DBGPRCR_EL1 2 0 1 4 4; DBGCLAIMSET_EL1 2 0 7 8 6; DBGCLAIMCLR_EL1 2 0 7 9 6;
DBGAUTHSTATUS_EL1 2 0 7 14 6; MDCCSR_EL0 2 3 0 1 0; DBGDTR_EL0 2 3 0 4 0; DBGDTRRX_EL0 2 3 0 5 0;
MIDR_EL1 3 0 0 0 0; MPIDR_EL1 3 0 0 0 5; REVIDR_EL1 3 0 0 0 6; ID_AA64PFR0_EL1 3 0 0 4 0;
ID_AA64PFR1_EL1 3 0 0 4 1; ID_AA64ZFR0_EL1 3 0 0 4 4; ID_AA64SMFR0_EL1 3 0 0 4 5;
ID_AA64DFR0_EL1 3 0 0 5 0; ID_AA64DFR1_EL1 3 0 0 5 1; ID_AA64ISAR0_EL1 3 0 0 6 0;
ID_AA64ISAR1_EL1 3 0 0 6 1; ID_AA64ISAR2_EL1 3 0 0 6 2; ID_AA64MMFR0_EL1 3 0 0 7 0;
ID_AA64MMFR1_EL1 3 0 0 7 1; ID_AA64MMFR2_EL1 3 0 0 7 2; ID_AA64MMFR3_EL1 3 0 0 7 3;
AIDR_EL1 3 1 0 0 7; CTR_EL0 3 3 0 0 1; SCTLR_EL1 3 0 1 0 0; ACTLR_EL1 3 0 1 0 1;
CPACR_EL1 3 0 1 0 2;
TTBR0_EL1 3 0 2 0 0; TTBR1_EL1 3 0 2 0 1; TCR_EL1 3 0 2 0 2; SPSR_EL1 3 0 4 0 0; ELR_EL1 3 0 4 0 1;
SP_EL0 3 0 4 1 0; ICC_PMR_EL1 3 0 4 6 0; AFSR0_EL1 3 0 5 1 0; AFSR1_EL1 3 0 5 1 1;
ESR_EL1 3 0 5 2 0;
FAR_EL1 3 0 6 0 0; PAR_EL1 3 0 7 4 0; PMINTENSET_EL1 3 0 9 14 1; PMINTENCLR_EL1 3 0 9 14 2;
MAIR_EL1 3 0 10 2 0; AMAIR_EL1 3 0 10 3 0; VBAR_EL1 3 0 12 0 0; DISR_EL1 3 0 12 1 1;
ICC_IAR1_EL1 3 0 12 12 0; ICC_EOIR1_EL1 3 0 12 12 1; ICC_BPR1_EL1 3 0 12 12 3;
ICC_CTLR_EL1 3 0 12 12 4; ICC_SRE_EL1 3 0 12 12 5; ICC_IGRPEN0_EL1 3 0 12 12 6;
ICC_IGRPEN1_EL1 3 0 12 12 7; ICC_DIR_EL1 3 0 12 11 1; ICC_SGI1R_EL1 3 0 12 11 5;
ICC_ASGI1R_EL1 3 0 12 11 6; ICC_SGI0R_EL1 3 0 12 11 7; CONTEXTIDR_EL1 3 0 13 0 1;
TPIDR_EL1 3 0 13 0 4; CNTKCTL_EL1 3 0 14 1 0; CSSELR_EL1 3 2 0 0 0; PMCR_EL0 3 3 9 12 0;
PMCNTENSET_EL0 3 3 9 12 1; PMCNTENCLR_EL0 3 3 9 12 2; PMOVSCLR_EL0 3 3 9 12 3;
PMSELR_EL0 3 3 9 12 5; PMCEID0_EL0 3 3 9 12 6; PMCEID1_EL0 3 3 9 12 7; PMCCNTR_EL0 3 3 9 13 0;
PMXEVTYPER_EL0 3 3 9 13 1; PMXEVCNTR_EL0 3 3 9 13 2; PMUSERENR_EL0 3 3 9 14 0;
PMOVSSET_EL0 3 3 9 14 3; PMCCFILTR_EL0 3 3 14 15 7; TPIDR_EL0 3 3 13 0 2; TPIDRRO_EL0 3 3 13 0 3;
CNTFRQ_EL0 3 3 14 0 0; CNTPCT_EL0 3 3 14 0 1; CNTVCT_EL0 3 3 14 0 2; CNTPCTSS_EL0 3 3 14 0 5;
CNTP_TVAL_EL0 3 3 14 2 0; CNTP_CTL_EL0 3 3 14 2 1; CNTP_CVAL_EL0 3 3 14 2 2;
CNTV_TVAL_EL0 3 3 14 3 0; CNTV_CTL_EL0 3 3 14 3 1; CNTV_CVAL_EL0 3 3 14 3 2
"""
NAMES = {tuple(int(number) for number in words[1:]): words[0]
         for words in (one.split() for one in _NAMES.split(";"))}


def sysreg(op0, op1, crn, crm, op2):
    """`SCTLR_EL1`, or `S3_0_C15_C2_1` for what has no name here."""
    return NAMES.get((op0, op1, crn, crm, op2), "S%d_%d_C%d_C%d_%d" % (op0, op1, crn, crm, op2))


def level(state):
    """PSTATE.M in words."""
    if state & 0x10:
        return "EL0 (AArch32)" if state & 15 == 0 else "AArch32 mode %#x" % (state & 31)
    el = state >> 2 & 3
    return "EL0" if el == 0 else "EL%d%s" % (el, "h" if state & 1 else "t")


def pstate(state):
    """PSTATE as SPSR_ELx has it: level, flags (capital where set), masks, and what is rare."""
    flags = "".join(name if state >> bit & 1 else name.lower()
                    for name, bit in (("N", 31), ("Z", 30), ("C", 29), ("V", 28)))
    words = [level(state), flags]
    masks = "".join(name for name, bit in (("D", 9), ("A", 8), ("I", 7), ("F", 6))
                    if state >> bit & 1)
    if state & 0x10:
        masks = masks.replace("D", "")
    words.append("masked %s" % masks if masks else "nothing masked")
    rare = (("SS", 21), ("IL", 20))
    if not state & 0x10:
        rare += (("UAO", 23), ("PAN", 22), ("SSBS", 12))
    words += [name for name, bit in rare if state >> bit & 1]
    return ", ".join(words)


def sctlr(value):
    """SCTLR_EL1: what matters to an access."""
    words = ["%s %s" % (name, "on" if value >> bit & 1 else "off")
             for name, bit in (("MMU", 0), ("data cache", 2), ("instruction cache", 12))]
    flags = (("A", 1), ("SA", 3), ("SA0", 4), ("WXN", 19), ("E0E", 24), ("EE", 25))
    return ", ".join(words + [name for name, bit in flags if value >> bit & 1])


def tcr(value):
    """TCR_EL1: both halves."""
    granules = ({0: "4K", 1: "64K", 2: "16K"}, {2: "4K", 1: "16K", 3: "64K"})

    def half(n, size, granule, off):
        if off:
            return "TTBR%d: no walks (EPD%d)" % (n, n)
        return "TTBR%d: %d bits, %s granule" % (n, 64 - size, granules[n].get(granule, "reserved"))

    text = half(0, value & 0x3f, value >> 14 & 3, value >> 7 & 1) + "; " + \
        half(1, value >> 16 & 0x3f, value >> 30 & 3, value >> 23 & 1)
    tags = [name for name, bit in (("TBI0", 37), ("TBI1", 38), ("DS", 59)) if value >> bit & 1]
    return "; ".join([text] + tags)
