//! Breakpoint and watchpoint registers, as the debugger fills them: DBGBVRn_EL1 and DBGBCRn_EL1,
//! DBGWVRn_EL1 and DBGWCRn_EL1 (Arm DDI 0487 D2.8, D2.10).

/// Numbered registers, in el2/debug.rs's order: DBGBVR, DBGBCR, DBGWVR, DBGWCR.
pub type Values = [[u64; 16]; 4];

/// E: enabled. PMC, PAC, bits 2:1: at EL1 and EL0 (with HMC and SSC 0).
const ENABLED: u64 = 1 | 0b11 << 1;
/// BAS of a breakpoint, bits 8:5: a whole instruction.
const WHOLE: u64 = 0xf << 5;
/// LSC of a watchpoint, bits 4:3: loads, stores.
const LOADS: u64 = 1 << 3;
const STORES: u64 = 1 << 4;

/// The value and the control register of a breakpoint.
pub const fn breakpoint(va: u64) -> (u64, u64) {
    (va & !3, ENABLED | WHOLE)
}

/// Those of a watchpoint for loads, stores or both on `length` bytes at `va`: within a doubleword, or
/// a power of two that it is aligned to, up to 2 GiB. `None` if they are neither.
pub fn watchpoint(va: u64, length: u64, loads: bool, stores: bool) -> Option<(u64, u64)> {
    let kind = if loads { LOADS } else { 0 } | if stores { STORES } else { 0 };
    let offset = va & 7;
    let select = match length {
        // BAS, bits 12:5: a bit for each byte.
        1..=8 if offset + length <= 8 => ((1 << length) - 1) << offset << 5,
        // MASK, bits 28:24: so many low bits of the address are ignored.
        16..=0x8000_0000 if length.is_power_of_two() && va & (length - 1) == 0 => {
            0xff << 5 | u64::from(length.trailing_zeros()) << 24
        }
        _ => return None,
    };
    Some((va & !7, ENABLED | kind | select))
}

/// Which registers are in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// What is in them. A control register of 0 is free.
    pub values: Values,
}

impl Slots {
    /// Takes one of the first `count` slots for a breakpoint (`group` 0) or watchpoint (2).
    pub fn add(&mut self, group: usize, count: usize, (value, control): (u64, u64)) -> bool {
        let [values, controls] = self.pair(group);
        let free = controls.iter().take(count).position(|control| *control == 0);
        let place = free.and_then(|slot| Some((values.get_mut(slot)?, controls.get_mut(slot)?)));
        let is_free = place.is_some();
        if let Some(place) = place {
            (*place.0, *place.1) = (value, control);
        }
        is_free
    }

    /// Gives it back. False if there was none.
    pub fn remove(&mut self, group: usize, wanted: (u64, u64)) -> bool {
        let [values, controls] = self.pair(group);
        let mut pairs = values.iter_mut().zip(controls);
        let found = pairs.find(|(value, control)| (**value, **control) == wanted);
        let was_there = found.is_some();
        if let Some((value, control)) = found {
            (*value, *control) = (0, 0);
        }
        was_there
    }

    fn pair(&mut self, group: usize) -> [&mut [u64; 16]; 2] {
        let [bvr, bcr, wvr, wcr] = &mut self.values;
        if group == 0 { [bvr, bcr] } else { [wvr, wcr] }
    }

    /// The watchpoint that an access at `far` has hit: its first address, and whether it is for loads
    /// and for stores. FAR_EL2 may lie beside it, by what the access covers (D2.10.5): so the nearest.
    pub fn hit(&self, far: u64) -> Option<(u64, bool, bool)> {
        let [_, _, values, controls] = &self.values;
        let used = values.iter().zip(controls).filter(|(_, control)| **control != 0);
        let places = used.map(|(value, control)| {
            let bytes = control >> 5 & 0xff;
            let first = value.wrapping_add(bytes.trailing_zeros().into());
            let length = u64::from(bytes.count_ones()).max(1 << (control >> 24 & 0x1f));
            let beside = first.saturating_sub(far);
            let beyond = far.saturating_sub(first.saturating_add(length - 1));
            (beside.max(beyond), (first, control & LOADS != 0, control & STORES != 0))
        });
        places.min_by_key(|(distance, _)| *distance).map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests;
