//! The registers of the devices that a VM has, by IPA: names in place of addresses.

use mezzanine::device::{GICD_BASE, GICD_SIZE, GICR_BASE, GICR_STRIDE, UART_BASE, UART_SIZE};

/// Most vCPUs that a VM can have a redistributor for, below the UART.
const REDISTRIBUTORS: u64 = (UART_BASE - GICR_BASE) / GICR_STRIDE;
/// The second frame of a redistributor.
const SGI_BASE: u64 = 0x1_0000;

/// Offset of the first, how many bytes, and the name.
type Registers = [(u64, u64, &'static str)];

/// The distributor (IHI 0069, 12.9.1).
const GICD: &Registers = &[
    (0x0000, 4, "CTLR"),
    (0x0004, 4, "TYPER"),
    (0x0008, 4, "IIDR"),
    (0x000c, 4, "TYPER2"),
    (0x0010, 4, "STATUSR"),
    (0x0040, 4, "SETSPI_NSR"),
    (0x0048, 4, "CLRSPI_NSR"),
    (0x0080, 128, "IGROUPR"),
    (0x0100, 128, "ISENABLER"),
    (0x0180, 128, "ICENABLER"),
    (0x0200, 128, "ISPENDR"),
    (0x0280, 128, "ICPENDR"),
    (0x0300, 128, "ISACTIVER"),
    (0x0380, 128, "ICACTIVER"),
    (0x0400, 1024, "IPRIORITYR"),
    (0x0800, 1024, "ITARGETSR"),
    (0x0c00, 256, "ICFGR"),
    (0x0d00, 128, "IGRPMODR"),
    (0x0f00, 4, "SGIR"),
    (0x6000, 0x2000, "IROUTER"),
    (0xffe8, 4, "PIDR2"),
];

/// A redistributor's first frame (12.11.1).
const GICR: &Registers = &[
    (0x0000, 4, "CTLR"),
    (0x0004, 4, "IIDR"),
    (0x0008, 8, "TYPER"),
    (0x0010, 4, "STATUSR"),
    (0x0014, 4, "WAKER"),
    (0x0070, 8, "PROPBASER"),
    (0x0078, 8, "PENDBASER"),
    (0xffe8, 4, "PIDR2"),
];

/// Its second frame, for SGIs and PPIs (12.11.2).
const GICR_SGI: &Registers = &[
    (0x0080, 4, "IGROUPR0"),
    (0x0100, 4, "ISENABLER0"),
    (0x0180, 4, "ICENABLER0"),
    (0x0200, 4, "ISPENDR0"),
    (0x0280, 4, "ICPENDR0"),
    (0x0300, 4, "ISACTIVER0"),
    (0x0380, 4, "ICACTIVER0"),
    (0x0400, 32, "IPRIORITYR"),
    (0x0c00, 8, "ICFGR"),
    (0x0d00, 4, "IGRPMODR0"),
];

/// The PL011 (DDI 0183, 3.2).
const UART: &Registers = &[
    (0x000, 4, "DR"),
    (0x004, 4, "RSR"),
    (0x018, 4, "FR"),
    (0x020, 4, "ILPR"),
    (0x024, 4, "IBRD"),
    (0x028, 4, "FBRD"),
    (0x02c, 4, "LCR_H"),
    (0x030, 4, "CR"),
    (0x034, 4, "IFLS"),
    (0x038, 4, "IMSC"),
    (0x03c, 4, "RIS"),
    (0x040, 4, "MIS"),
    (0x044, 4, "ICR"),
    (0x048, 4, "DMACR"),
    (0xfe0, 16, "PeriphID"),
    (0xff0, 16, "PCellID"),
];

/// The name of what is at an IPA, if it is a device's: `GICD_CTLR`, `UARTDR`. Of the registers that come
/// in numbers, with the number of the 32-bit word.
pub fn register(ipa: u64) -> Option<String> {
    if let Some(offset) = ipa.checked_sub(UART_BASE).filter(|offset| *offset < UART_SIZE) {
        return Some(name("UART", UART, offset));
    }
    if let Some(offset) = ipa.checked_sub(GICD_BASE).filter(|offset| *offset < GICD_SIZE) {
        return Some(name("GICD_", GICD, offset));
    }
    let offset = ipa.checked_sub(GICR_BASE)?;
    if offset >= REDISTRIBUTORS * GICR_STRIDE {
        return None;
    }
    Some(match offset % GICR_STRIDE {
        offset @ SGI_BASE.. => name("GICR_", GICR_SGI, offset - SGI_BASE),
        offset => name("GICR_", GICR, offset),
    })
}

fn name(prefix: &str, registers: &Registers, offset: u64) -> String {
    let found = registers.iter().find(|(start, size, _)| (*start..start + size).contains(&offset));
    match found {
        // IROUTER<n> has 64 bits, which an access by halves may ask for.
        Some((start, _, "IROUTER")) => format!("{prefix}IROUTER{}", (offset - start) / 8),
        Some((start, 9.., name)) => format!("{prefix}{name}{}", (offset - start) / 4),
        Some((_, _, name)) => format!("{prefix}{name}"),
        None => format!("{prefix}+{offset:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_have_the_manuals_names() {
        let of = |ipa| register(ipa).unwrap_or_default();
        assert_eq!(of(0x0900_0000), "UARTDR");
        assert_eq!(of(0x0900_0018), "UARTFR");
        assert_eq!(of(0x0800_0084), "GICD_IGROUPR1");
        assert_eq!(of(0x0800_6108), "GICD_IROUTER33");
        assert_eq!(of(0x080a_0014), "GICR_WAKER");
        assert_eq!(of(0x080c_0014 + 0x1_006c), "GICR_IGROUPR0");
        assert_eq!(of(0x0800_0044), "GICD_+0x44");
        assert_eq!(register(0x4000_0000), None);
        assert_eq!(register(0x0900_1000), None);
        assert_eq!(register(0x0809_0000), None);
    }
}
