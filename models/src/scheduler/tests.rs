//! The run loop as it is, and each way in which it must not be.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use super::steps::*;
use super::world::{Budget, Cast, Variant};

/// Visits all states of the correct run loop.
fn holds(cast: Cast, started: usize, budget: Budget) -> impl Checker<Scheduler> {
    let model = Scheduler { variant: Variant::Correct, cast, started, budget };
    let checker = model.checker().spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    for property in ALWAYS {
        checker.assert_no_discovery(property);
    }
    checker
}

/// The checker finds that the variant breaks this property.
fn finds(variant: Variant, cast: Cast, started: usize, budget: Budget, property: &'static str) {
    let enough = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let model = Scheduler { variant, cast, started, budget };
    model.checker().finish_when(enough).spawn_bfs().join().assert_any_discovery(property);
}

const ONE_EACH: Budget = Budget { posts: 1, waits: 1, ticks: 1, orders: 0 };
const ORDER: Budget = Budget { posts: 0, waits: 1, ticks: 0, orders: 1 };

#[test]
fn one_interrupt_and_one_order() {
    let checker = holds(Cast::Alike, 2, Budget { posts: 1, waits: 1, ticks: 0, orders: 1 });
    for state in SOMETIMES {
        checker.assert_any_discovery(state);
    }
}

#[test]
fn one_interrupt_and_one_order_among_three() {
    holds(Cast::Alike, 3, Budget { posts: 1, waits: 1, ticks: 0, orders: 1 });
}

#[test]
fn two_interrupts_at_once() {
    holds(Cast::Alike, 3, Budget { posts: 2, waits: 1, ticks: 0, orders: 0 });
}

#[test]
fn an_interrupt_among_waits_and_slice_ends() {
    holds(Cast::Alike, 3, Budget { posts: 1, waits: 2, ticks: 1, orders: 0 });
}

#[test]
fn two_orders_at_once() {
    holds(Cast::Alike, 3, Budget { posts: 0, waits: 0, ticks: 1, orders: 2 });
}

#[test]
fn an_owner_its_neighbour_and_a_job() {
    let budget = Budget { posts: 1, waits: 3, ticks: 1, orders: 0 };
    let checker = holds(Cast::OwnerAndJob, 3, budget);
    for state in [READY_BESIDE_REST, ALL_AT_REST, RESUMED] {
        checker.assert_any_discovery(state);
    }
    holds(Cast::OwnerAndJob, 2, Budget { waits: 2, ..ORDER });
}

#[test]
fn looking_before_the_rest_is_found() {
    finds(Variant::LooksBeforeRest, Cast::Alike, 3, ONE_EACH, NO_INTERRUPT_LOST);
}

#[test]
fn a_call_that_a_pcpu_at_rest_ignores_is_found() {
    finds(Variant::SleepsOn, Cast::Alike, 2, ORDER, NOBODY_FORGOTTEN);
    // Who is Ready is not forgotten where the run queue is asked once more; an order is.
    finds(Variant::IgnoresCall, Cast::Alike, 2, ORDER, ORDERS_OBEYED);
}

/// The call and the interrupt that ends the rest come together.
#[test]
fn a_call_forgotten_over_an_interrupt_is_found() {
    let budget = Budget { posts: 1, ..ORDER };
    finds(Variant::ForgetsCall, Cast::Alike, 2, budget, NOBODY_FORGOTTEN);
    finds(Variant::ForgetsCall, Cast::Alike, 1, budget, ORDERS_OBEYED);
}

/// Nobody calls an owner that is not idle.
#[test]
fn resting_without_the_run_queues_knowledge_is_found() {
    finds(Variant::RestsUnmarked, Cast::OwnerAndJob, 2, ORDER, WORK_CONSERVED);
}

#[test]
fn resting_while_somebody_waits_is_found() {
    finds(Variant::RestsBesideWaiting, Cast::Alike, 3, ONE_EACH, WORK_CONSERVED);
}

#[test]
fn a_notice_not_sent_is_found() {
    finds(Variant::DropsNotice, Cast::Alike, 1, ONE_EACH, NO_INTERRUPT_LOST);
}

#[test]
fn entering_without_a_last_look_is_found() {
    finds(Variant::EntersBlindly, Cast::Alike, 1, ONE_EACH, NO_INTERRUPT_LOST);
}

#[test]
fn a_kick_of_pick_not_delivered_is_found() {
    let budget = Budget { posts: 0, waits: 0, ticks: 1, orders: 2 };
    finds(Variant::DropsKickOfPick, Cast::Alike, 2, budget, NOBODY_FORGOTTEN);
}

#[test]
fn putting_back_before_saving_is_found() {
    finds(Variant::PutsBeforeSaving, Cast::Alike, 3, ONE_EACH, ONE_PLACE);
}

/// A stop that is not made known to the pCPU: the same as a kick lost.
#[test]
fn an_order_that_is_not_looked_at_is_found() {
    let budget = Budget { posts: 0, waits: 0, ticks: 0, orders: 1 };
    finds(Variant::EntersBlindly, Cast::Alike, 2, budget, ORDERS_OBEYED);
}
