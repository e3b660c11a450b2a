//! A vCPU that waits on its pCPU, as long as nobody else wants that.

#![expect(unused_must_use, reason = "kicks that a test does not ask about")]

use super::super::*;

const SLICE: u64 = 1000;
const BLOCK: Reason = Reason::Block { deadline: None };

fn queue(pcpus: usize) -> RunQueue {
    RunQueue::new(pcpus, SLICE).unwrap()
}

fn add(queue: &mut RunQueue, affinity: u8) -> EntityId {
    queue.add(100, affinity, None).unwrap()
}

/// Starts `id`, which must be what `pcpu` picks.
fn start_on(queue: &mut RunQueue, pcpu: usize, id: EntityId, now: u64) {
    queue.start(id, now).unwrap();
    assert_eq!(picked(queue, pcpu, now), Some(id));
}

fn picked(queue: &mut RunQueue, pcpu: usize, now: u64) -> Option<EntityId> {
    match queue.pick(pcpu, now).unwrap() {
        Pick::Run { id, .. } => Some(id),
        Pick::Idle { .. } => None,
    }
}

#[test]
fn only_who_is_alone_rests() {
    let mut q = queue(2);
    let (a, b) = (add(&mut q, 1), add(&mut q, 1));
    start_on(&mut q, 0, a, 0);
    assert_eq!(q.rest(0, a, 1), Ok(true));
    q.rouse(0, a, 1).unwrap();
    assert_eq!(q.rest(0, a, 2), Ok(true), "and again");
    q.rouse(0, a, 2).unwrap();
    assert_eq!(q.start(b, 3).unwrap().reschedule, 1);
    assert_eq!(q.rest(0, a, 4), Ok(false), "somebody waits");
    q.put(0, a, 5, BLOCK).unwrap();
    assert_eq!(picked(&mut q, 0, 5), Some(b));
    q.wake(a, 6).unwrap();
    q.put(0, b, 7, Reason::Yield).unwrap();
    let first = picked(&mut q, 0, 7).unwrap();
    assert_eq!(q.rest(0, first, 8), Ok(false), "it runs for a slice");
}

#[test]
fn who_does_not_run_there_is_refused() {
    let mut q = queue(2);
    let a = add(&mut q, 3);
    assert!(matches!(q.rest(0, a, 0), Err(SchedError::InvalidTransition(_, State::Off, "rest"))));
    start_on(&mut q, 0, a, 0);
    q.wake(a, 1).unwrap();
    assert!(q.rest(1, a, 2).is_err());
    assert!(q.rouse(1, a, 2).is_err());
    assert!(q.rest(2, a, 2).is_err(), "no such pCPU");
    assert_eq!(q.put(0, a, 3, BLOCK), Ok(State::Ready), "a refusal leaves the token");
}

#[test]
fn whoever_becomes_ready_calls_the_pcpu_at_rest_before_a_busy_one() {
    let mut q = queue(2);
    let (busy, resting, new) = (add(&mut q, 3), add(&mut q, 3), add(&mut q, 3));
    start_on(&mut q, 0, busy, 0);
    start_on(&mut q, 1, resting, 0);
    q.rest(1, resting, 1).unwrap();
    assert_eq!(q.start(new, 2).unwrap(), Kick { reschedule: 2, notice: 0 });
    // Called, it can't rest once more, whatever it finds.
    q.rouse(1, resting, 3).unwrap();
    assert_eq!(q.rest(1, resting, 3), Ok(false));
    assert_eq!(q.put(1, resting, 3, BLOCK), Ok(State::Blocked));
    assert_eq!(picked(&mut q, 1, 3), Some(new));
}

#[test]
fn who_is_roused_is_as_it_was() {
    let mut q = queue(1);
    let (a, b) = (add(&mut q, 1), add(&mut q, 1));
    start_on(&mut q, 0, a, 0);
    let before = q.clone();
    q.rest(0, a, 0).unwrap();
    q.rouse(0, a, 0).unwrap();
    assert_eq!((q.idle, q.lone), (before.idle, before.lone));
    assert_eq!(q.start(b, 1).unwrap().reschedule, 1, "who runs alone hears of company");
}

/// A call and what the wait was for, at the same moment: both have their pCPU go on.
#[test]
fn who_was_called_is_still_called_when_it_is_roused() {
    let mut q = queue(1);
    let (a, b) = (add(&mut q, 1), add(&mut q, 1));
    start_on(&mut q, 0, a, 0);
    q.rest(0, a, 1).unwrap();
    assert_eq!(q.start(b, 2).unwrap().reschedule, 1);
    q.rouse(0, a, 3).unwrap();
    assert_eq!(q.idle | q.lone, 0, "nobody would call it a second time");
    assert_eq!(q.put(0, a, 4, Reason::Preempted), Ok(State::Ready));
    let Ok(Pick::Run { slice_end: Some(_), .. }) = q.pick(0, 4) else {
        panic!("the two share the pCPU from now on")
    };
}

#[test]
fn rest_costs_nothing() {
    let mut q = queue(1);
    let a = add(&mut q, 1);
    start_on(&mut q, 0, a, 0);
    for round in 0..10 {
        let now = round * 1000;
        q.rest(0, a, now + 10).unwrap();
        assert_eq!(q.account(a).unwrap().run, round * 10 + 10, "the books are right meanwhile");
        q.rouse(0, a, now + 1000).unwrap();
    }
    // A look without a rest takes nothing away.
    q.rest(0, a, 10_005).unwrap();
    q.rouse(0, a, 10_005).unwrap();
    q.put(0, a, 10_010, BLOCK).unwrap();
    assert_eq!(q.account(a).unwrap().run, 110);
    let charged = q.entities[a.0].vruntime;
    let run = q.entities[a.0].virtual_time(110);
    assert!((run - 12..=run).contains(&charged), "{charged}: wanted {run}, 12 times rounded");
}

/// The clock of a pCPU whose vCPU never leaves goes on all the same. Else one that comes seldom
/// would find itself far behind it, and would have that much before it.
#[test]
fn a_newcomer_is_placed_by_a_clock_that_goes_on() {
    let mut q = queue(1);
    let (a, b) = (add(&mut q, 1), add(&mut q, 1));
    start_on(&mut q, 0, a, 0);
    let long = 100 * SLICE;
    q.rest(0, a, long).unwrap();
    q.start(b, long).unwrap();
    let behind = q.entities[a.0].vruntime - q.entities[b.0].vruntime;
    assert!(behind <= q.entities[a.0].slice / 2, "{behind} behind");
}

#[test]
fn a_wake_up_after_rest_is_remembered() {
    let mut q = queue(1);
    let a = add(&mut q, 1);
    start_on(&mut q, 0, a, 0);
    q.wake(a, 1).unwrap();
    q.rest(0, a, 2).unwrap();
    assert_eq!(q.put(0, a, 3, BLOCK), Ok(State::Blocked), "what came before is looked at after");
    q.wake(a, 4).unwrap();
    assert_eq!(picked(&mut q, 0, 4), Some(a));
    q.rest(0, a, 5).unwrap();
    assert_eq!(q.wake(a, 6).unwrap(), Kick { reschedule: 0, notice: 1 }, "its pCPU looks");
    assert_eq!(q.put(0, a, 7, BLOCK), Ok(State::Ready));
}

#[test]
fn an_order_reaches_who_rests() {
    let mut q = queue(2);
    let a = add(&mut q, 3);
    start_on(&mut q, 0, a, 0);
    q.rest(0, a, 1).unwrap();
    assert_eq!(q.pause(a).unwrap().reschedule, 1);
    q.rouse(0, a, 2).unwrap();
    assert_eq!(q.put(0, a, 2, BLOCK), Ok(State::Paused));
    q.resume(a, 3).unwrap();
    assert_eq!(picked(&mut q, 0, 3), Some(a));
    q.rest(0, a, 4).unwrap();
    assert_eq!(q.set_affinity(a, 2).unwrap().reschedule, 1);
    q.set_affinity(a, 3).unwrap();
    assert_eq!(q.stop(a).unwrap().reschedule, 1);
    assert_eq!(q.put(0, a, 5, BLOCK), Ok(State::Off));
    assert_eq!(picked(&mut q, 0, 5), None);
}

#[test]
fn a_deadline_of_another_calls_the_pcpu_where_it_blocked() {
    let mut q = queue(1);
    let (a, b) = (add(&mut q, 1), add(&mut q, 1));
    start_on(&mut q, 0, b, 0);
    q.put(0, b, 1, Reason::Block { deadline: Some(50) }).unwrap();
    start_on(&mut q, 0, a, 2);
    assert_eq!(q.rest(0, a, 3), Ok(true));
    assert_eq!(q.next_event(0), Some(50), "it sleeps that long at most");
    assert_eq!(q.expire(0, 50).unwrap().reschedule, 1, "itself");
}

#[test]
fn a_job_has_the_pcpu_of_an_owner_that_rests() {
    let mut q = queue(1);
    let job = q.add_job(100).unwrap();
    let owner = q.add(100, 1, Some(0)).unwrap();
    start_on(&mut q, 0, owner, 0);
    assert_eq!(q.rest(0, owner, 1), Ok(true));
    assert_eq!(q.start(job, 2).unwrap().reschedule, 1);
    q.rouse(0, owner, 3).unwrap();
    q.put(0, owner, 3, BLOCK).unwrap();
    assert_eq!(picked(&mut q, 0, 3), Some(job));
    assert_eq!(q.wake(owner, 4).unwrap().reschedule, 1);
    q.put(0, job, 5, Reason::Yield).unwrap();
    assert_eq!(picked(&mut q, 0, 5), Some(owner));
    // A job that waits since before is not passed over: nobody calls for it now.
    assert_eq!(q.rest(0, owner, 6), Ok(false));
    q.put(0, owner, 6, BLOCK).unwrap();
    assert_eq!(picked(&mut q, 0, 6), Some(job));
    q.put(0, job, 7, Reason::Off).unwrap();
    q.wake(owner, 8).unwrap();
    assert_eq!(picked(&mut q, 0, 8), Some(owner));
    // While it runs its pCPU is nobody's.
    q.rest(0, owner, 9).unwrap();
    q.rouse(0, owner, 9).unwrap();
    assert!(q.start(job, 10).unwrap().is_none());
}

#[test]
fn times_are_moved_back_under_one_that_never_leaves() {
    let mut q = queue(1);
    let a = add(&mut q, 1);
    q.pcpus[0].clock = (1 << 62) - 100;
    start_on(&mut q, 0, a, 0);
    q.rest(0, a, SLICE).unwrap();
    assert!(q.entities[a.0].vruntime < 1 << 62);
    assert_eq!(q.pcpus[0].clock, q.entities[a.0].vruntime);
}
