//! Family 39: malformed descriptions, device trees and images. The offender is what the test writes;
//! this is the good VM beside it.

use guest_rt::{boot, psci};
use probes::check;

/// The attack.
pub fn attack() {
    check::that("forms.tree", boot::tree().is_some(), "a device tree");
    check::equal("forms.cpu-on", psci::affinity_info(0), 0);
}
