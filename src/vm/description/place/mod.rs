//! What VMs share: memory and pCPUs. Refuses those for which there is none.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use super::{Fault, Limits, MIB, VmConfig};
use crate::memory::BLOCK_SIZE;

type Vms<'s, 'a> = &'s mut [Result<VmConfig<'a>, Fault>];

/// Gives memory to the VMs in their order; one that finds too little is refused.
pub(super) fn memory(vms: Vms<'_, '_>, limits: &Limits) {
    let mut left = limits.memory / BLOCK_SIZE;
    for place in vms {
        let Ok(vm) = place else { continue };
        match left.checked_sub(vm.frames()) {
            Some(rest) => left = rest,
            None => {
                let left = left.saturating_mul(BLOCK_SIZE / MIB);
                let wanted = format_args!("at most {left}, what is left");
                *place = Err(vm.fault("memory-mib", vm.memory_mib, wanted));
            }
        }
    }
}

/// Gives each dedicated vCPU a pCPU of its own, and takes these from the shared ones' masks.
///
/// The shared VMs come first: they are content with one pCPU between them, so it is a dedicated
/// VM that is refused where there are too few.
pub(super) fn pcpus(vms: Vms<'_, '_>, limits: &Limits) {
    let shared = vms.iter().flatten().filter(|vm| !vm.dedicated);
    let shared: Vec<u8> = shared.flat_map(|vm| vm.masks()).copied().collect();
    let most = limits.pcpus.saturating_sub(usize::from(!shared.is_empty()));
    let mut dedicated = Vec::new();
    let mut owned = Vec::new();
    for place in vms.iter_mut() {
        let Ok(vm) = place else { continue };
        if !vm.dedicated {
            continue;
        }
        let wishes = [&dedicated, vm.masks()].concat();
        if wishes.len() > most {
            let (count, pcpus) = (wishes.len(), limits.pcpus);
            let why = if most < pcpus { ", and the shared VMs need one" } else { "" };
            let found = format_args!("{count} dedicated vCPUs up to this VM");
            let wanted = format_args!("at most {most}: there are {pcpus} pCPUs{why}");
            *place = Err(vm.fault("dedicated", found, wanted));
            continue;
        }
        match seats(&wishes, &shared, limits.all()) {
            Some(seats) => (dedicated, owned) = (wishes, seats),
            None => {
                let found = format_args!("{:#x}", vm.masks().first().copied().unwrap_or(0));
                let wanted = "masks that leave a pCPU of its own to each dedicated vCPU \
                              and one to each shared vCPU";
                *place = Err(vm.fault("affinity", found, wanted));
            }
        }
    }
    let all_owned = owned.iter().fold(0, |all, seat| all | seat);
    let mut owned = owned.into_iter();
    for vm in vms.iter_mut().flatten() {
        for mask in vm.affinity.iter_mut().take(vm.cpus) {
            *mask = if vm.dedicated { owned.next().unwrap_or(0) } else { *mask & !all_owned };
        }
    }
}

/// For each of the `dedicated` vCPUs' masks the one bit of it that it gets, all of them different
/// and within `all`, so that each of the `shared` masks keeps a bit. `None` if there is no way.
///
/// Of the sets of pCPUs that will do it takes the highest, so that the boot pCPU, which is number
/// 0, stays shared where it can.
fn seats(dedicated: &[u8], shared: &[u8], all: u8) -> Option<Vec<u8>> {
    let sets = (1..=all).rev().filter(|set| set.count_ones() as usize == dedicated.len());
    let mut sets = sets.filter(|set| shared.iter().all(|mask| mask & !set != 0));
    sets.find_map(|set| fill(set, dedicated))
}

/// A seat in `set`, which has as many, for each of the `wishes`. Eight are soon tried.
fn fill(set: u8, wishes: &[u8]) -> Option<Vec<u8>> {
    let Some((wish, others)) = wishes.split_last() else { return Some(Vec::new()) };
    let mut fitting = (0..8).rev().map(|pcpu| wish & set & 1 << pcpu).filter(|seat| *seat != 0);
    fitting.find_map(|seat| {
        let mut seats = fill(set & !seat, others)?;
        seats.push(seat);
        Some(seats)
    })
}
