//! The run loop as it is, and each way in which it must not be.

use stateright::{Checker, Model};

use super::steps::*;
use super::world::{Budget, Variant};

fn check(variant: Variant, started: usize, budget: Budget) -> impl Checker<Scheduler> {
    Scheduler { variant, started, budget }.checker().spawn_bfs().join()
}

/// Visits all states of the correct run loop.
fn holds(started: usize, budget: Budget) -> impl Checker<Scheduler> {
    let checker = check(Variant::Correct, started, budget);
    println!("{} states", checker.unique_state_count());
    for property in ALWAYS {
        checker.assert_no_discovery(property);
    }
    checker
}

/// The checker finds that the variant breaks this property.
fn finds(variant: Variant, started: usize, property: &'static str) {
    let budget = Budget { posts: 1, waits: 1, ticks: 1, orders: 0 };
    check(variant, started, budget).assert_any_discovery(property);
}

#[test]
fn one_interrupt_and_one_order() {
    let checker = holds(2, Budget { posts: 1, waits: 1, ticks: 0, orders: 1 });
    for state in SOMETIMES {
        checker.assert_any_discovery(state);
    }
}

#[test]
fn one_interrupt_and_one_order_among_three() {
    holds(3, Budget { posts: 1, waits: 1, ticks: 0, orders: 1 });
}

#[test]
fn two_interrupts_at_once() {
    holds(3, Budget { posts: 2, waits: 1, ticks: 0, orders: 0 });
}

#[test]
fn an_interrupt_among_waits_and_slice_ends() {
    holds(3, Budget { posts: 1, waits: 2, ticks: 1, orders: 0 });
}

#[test]
fn two_orders_at_once() {
    holds(3, Budget { posts: 0, waits: 0, ticks: 1, orders: 2 });
}

#[test]
fn taking_the_token_late_is_found() {
    finds(Variant::AcknowledgesLate, 1, NO_INTERRUPT_LOST);
}

#[test]
fn a_notice_not_sent_is_found() {
    finds(Variant::DropsNotice, 1, NO_INTERRUPT_LOST);
}

#[test]
fn entering_without_a_last_look_is_found() {
    finds(Variant::EntersBlindly, 1, NO_INTERRUPT_LOST);
}

#[test]
fn a_kick_of_pick_not_delivered_is_found() {
    let budget = Budget { posts: 0, waits: 0, ticks: 1, orders: 2 };
    let checker = check(Variant::DropsKickOfPick, 2, budget);
    checker.assert_any_discovery(NOBODY_FORGOTTEN);
}

#[test]
fn putting_back_before_saving_is_found() {
    finds(Variant::PutsBeforeSaving, 3, ONE_PLACE);
}

/// A stop that is not made known to the pCPU: the same as a kick lost.
#[test]
fn an_order_that_is_not_looked_at_is_found() {
    let budget = Budget { posts: 0, waits: 0, ticks: 0, orders: 1 };
    check(Variant::EntersBlindly, 2, budget).assert_any_discovery(ORDERS_OBEYED);
}
