//! What VMs share: memory and pCPUs. Refuses those for which there is none.

#[cfg(test)]
mod tests;

use super::{Fault, Limits, MIB, VmConfig};
use crate::memory::BLOCK_SIZE;

type Vms<'s, 'a> = &'s mut [Result<VmConfig<'a>, Fault<'a>>];

/// Gives memory to the VMs in their order; one that finds too little is refused.
pub(super) fn memory(vms: Vms<'_, '_>, limits: &Limits) {
    let mut left = limits.memory / BLOCK_SIZE * BLOCK_SIZE;
    for place in vms {
        let Ok(vm) = place else { continue };
        match left.checked_sub(vm.memory()) {
            Some(rest) => left = rest,
            None => {
                let (found, left) = (vm.memory_mib, left / MIB);
                *place = Err(Fault::Memory(vm.name, found, left));
            }
        }
    }
}

/// Gives each dedicated vCPU a pCPU of its own, and takes these from the shared ones' masks.
///
/// The shared VMs come first: they are content with one pCPU between them, so it is a dedicated
/// VM that is refused where there are too few.
pub(super) fn pcpus(vms: Vms<'_, '_>, limits: &Limits) {
    let pcpus = limits.pcpus.min(MAX_PCPUS);
    let shared = vms.iter().flatten().any(|vm| !vm.dedicated);
    let most = pcpus.saturating_sub(usize::from(shared));
    let mut wishes = Wishes::default();
    let mut found = 0;
    let mut owners = [None; MAX_PCPUS];
    for vm in vms.iter().flatten().filter(|vm| !vm.dedicated) {
        wishes.add_shared(vm.masks());
    }
    for place in vms.iter_mut() {
        let Ok(vm) = place else { continue };
        if !vm.dedicated {
            continue;
        }
        let with_this = found + vm.cpus;
        if with_this > most {
            *place = Err(Fault::Dedicated { vm: vm.name, found: with_this, most, pcpus });
            continue;
        }
        let mut more = wishes;
        more.add_dedicated(vm.masks());
        match more.place(limits.all()) {
            Some(placed) => (wishes, found, owners) = (more, with_this, placed),
            None => {
                let found = vm.masks().first().copied().unwrap_or(0);
                *place = Err(Fault::NoPcpu(vm.name, found));
            }
        }
    }
    settle(vms, &owners);
}

/// Writes the placement into the masks.
fn settle(vms: Vms<'_, '_>, owners: &[Option<usize>; MAX_PCPUS]) {
    let mask = |wanted: Option<usize>| {
        let owned = owners.iter().enumerate().filter(|(_, owner)| match wanted {
            Some(vcpu) => **owner == Some(vcpu),
            None => owner.is_some(),
        });
        owned.fold(0u8, |mask, (pcpu, _)| mask | bit(pcpu))
    };
    let mut dedicated = 0usize;
    for vm in vms.iter_mut().flatten() {
        let (cpus, is_dedicated) = (vm.cpus, vm.dedicated);
        for place in vm.affinity.iter_mut().take(cpus) {
            if is_dedicated {
                *place = mask(Some(dedicated));
                dedicated = dedicated.saturating_add(1);
            } else {
                *place &= !mask(None);
            }
        }
    }
}

/// As many as an affinity mask has bits.
const MAX_PCPUS: usize = 8;

fn bit(pcpu: usize) -> u8 {
    1u8.checked_shl(pcpu as u32).unwrap_or(0)
}

/// The masks that all vCPUs accepted so far ask for.
#[derive(Clone, Copy)]
struct Wishes {
    /// Bit m: some shared vCPU has the mask m.
    shared: [u64; 4],
    /// The dedicated vCPUs' masks, in order.
    dedicated: [u8; MAX_PCPUS],
    count: usize,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { shared: [0; 4], dedicated: [0; MAX_PCPUS], count: 0 }
    }
}

impl Wishes {
    fn add_shared(&mut self, masks: &[u8]) {
        for mask in masks {
            if let Some(word) = self.shared.get_mut(usize::from(mask >> 6)) {
                *word |= 1 << (mask & 63);
            }
        }
    }

    fn add_dedicated(&mut self, masks: &[u8]) {
        for mask in masks {
            if let Some(place) = self.dedicated.get_mut(self.count) {
                *place = *mask;
                self.count = self.count.saturating_add(1);
            }
        }
    }

    /// The owner of each pCPU, or `None` where the wishes cannot all be met.
    ///
    /// Tries the sets of pCPUs from the highest numbers down, so that the boot pCPU, which is
    /// number 0, stays shared where it can.
    fn place(&self, all: u8) -> Option<[Option<usize>; MAX_PCPUS]> {
        let sets = (0..=all).rev().filter(|set| set & !all == 0);
        sets.filter(|set| set.count_ones() as usize == self.count)
            .filter(|set| self.leaves_shared(*set))
            .find_map(|set| self.match_up(set))
    }

    /// Whether each shared vCPU keeps a pCPU when those of `set` are taken.
    fn leaves_shared(&self, set: u8) -> bool {
        (0..=u8::MAX).all(|mask| {
            let word = self.shared.get(usize::from(mask >> 6)).copied().unwrap_or(0);
            word >> (mask & 63) & 1 == 0 || mask & !set != 0
        })
    }

    /// Matches dedicated vCPUs and the pCPUs of `set` (augmenting paths).
    fn match_up(&self, set: u8) -> Option<[Option<usize>; MAX_PCPUS]> {
        let mut owners = [None; MAX_PCPUS];
        (0..self.count)
            .all(|vcpu| self.seat(vcpu, set, &mut { set }, &mut owners))
            .then_some(owners)
    }

    /// Gives `vcpu` one of the pCPUs still `untried`, moving an owner on where that helps.
    fn seat(
        &self,
        vcpu: usize,
        set: u8,
        untried: &mut u8,
        owners: &mut [Option<usize>; MAX_PCPUS],
    ) -> bool {
        let wish = self.dedicated.get(vcpu).copied().unwrap_or(0) & set;
        // First those that nobody has, so that vCPUs keep their order where they can.
        let before = *owners;
        let with = |owned| {
            move |(pcpu, owner): (usize, Option<usize>)| (owner.is_some() == owned).then_some(pcpu)
        };
        let free = before.into_iter().enumerate().filter_map(with(false));
        for pcpu in free.chain(before.into_iter().enumerate().filter_map(with(true))) {
            if wish & *untried & bit(pcpu) == 0 {
                continue;
            }
            *untried &= !bit(pcpu);
            let owner = owners.get(pcpu).copied().flatten();
            if owner.is_none_or(|owner| self.seat(owner, set, untried, owners)) {
                if let Some(place) = owners.get_mut(pcpu) {
                    *place = Some(vcpu);
                }
                return true;
            }
        }
        false
    }
}
