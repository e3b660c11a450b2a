//! The waiting as it is, and each way in which it must not be.

use stateright::{Checker, Model};

use super::steps::*;
use super::world::{Budget, Kind, Variant};

const READS: &[Kind] = &[Kind::Pending, Kind::Active];

fn check(
    variant: Variant,
    started: usize,
    kinds: &'static [Kind],
    budget: [u8; 4],
) -> impl Checker<Settle> {
    let [accesses, edges, ticks, orders] = budget;
    let budget = Budget { accesses, edges, ticks, orders };
    Settle { variant, started, kinds, budget }.checker().spawn_bfs().join()
}

/// Nothing that must always hold is broken.
fn holds(started: usize, kinds: &'static [Kind], budget: [u8; 4]) -> impl Checker<Settle> {
    let checker = check(Variant::Correct, started, kinds, budget);
    println!("{} states", checker.unique_state_count());
    for property in ALWAYS {
        checker.assert_no_discovery(property);
    }
    checker
}

/// The checker finds that the variant breaks this property.
fn finds(variant: Variant, kinds: &'static [Kind], budget: [u8; 4], property: &'static str) {
    check(variant, 2, kinds, budget).assert_any_discovery(property);
}

#[test]
fn two_that_read_at_once_and_are_preempted_get_through() {
    let checker = holds(2, &[Kind::Active], [2, 0, 1, 0]);
    for state in [BOTH_WAIT, PUT_AWAY, OVER] {
        checker.assert_any_discovery(state);
    }
}

#[test]
fn a_read_while_devices_interrupt_is_true() {
    holds(2, &[Kind::Pending], [1, 1, 0, 0]).assert_any_discovery(OVER);
}

#[test]
fn a_read_while_three_take_turns_is_true() {
    holds(3, READS, [1, 0, 1, 0]).assert_any_discovery(PUT_AWAY);
}

#[test]
fn a_vcpu_that_is_paused_keeps_nobody_waiting() {
    holds(2, READS, [1, 0, 0, 1]).assert_any_discovery(PUT_AWAY);
    holds(2, &[Kind::Active], [1, 0, 0, 2]);
}

#[test]
fn a_disable_takes_effect_before_it_is_done() {
    holds(2, &[Kind::Disable], [1, 1, 0, 0]).assert_any_discovery(MAINTAINED);
    holds(2, &[Kind::Disable, Kind::Active], [2, 0, 0, 0]).assert_any_discovery(BOTH_WAIT);
}

#[test]
fn two_that_wait_and_do_not_fold_are_found() {
    finds(Variant::NeverFolds, READS, [2, 0, 0, 0], THROUGH);
}

#[test]
fn a_vcpu_that_is_not_kicked_is_found() {
    finds(Variant::AsksQuietly, READS, [1, 0, 0, 0], THROUGH);
}

#[test]
fn a_read_that_does_not_wait_is_found() {
    finds(Variant::GoesOn, READS, [1, 0, 0, 0], TRUE);
}

#[test]
fn a_disable_that_does_not_wait_is_found() {
    finds(Variant::GoesOn, &[Kind::Disable], [1, 0, 0, 0], DISABLED);
}

#[test]
fn a_vcpu_that_is_put_away_unfolded_is_found() {
    finds(Variant::PutsUnfolded, READS, [1, 0, 1, 0], THROUGH);
}
