#![expect(unused_must_use, reason = "kicks that a test does not ask about")]

use std::vec::Vec;

use super::super::*;

/// A slice long enough that no virtual time rounds to nothing.
const SLICE: u64 = 1000;

fn queue(pcpus: usize) -> RunQueue {
    RunQueue::new(pcpus, SLICE).unwrap()
}

fn add(queue: &mut RunQueue) -> EntityId {
    queue.add(100, 0xff, None).unwrap()
}

/// Picks on `pcpu`, expecting an entity.
fn run(queue: &mut RunQueue, pcpu: usize, now: u64) -> (EntityId, Option<u64>, Kick) {
    match queue.pick(pcpu, now).unwrap() {
        Pick::Run { id, slice_end, kick, .. } => (id, slice_end, kick),
        Pick::Idle { .. } => panic!("pCPU {pcpu} found nothing at {now}"),
    }
}

fn idle(queue: &mut RunQueue, pcpu: usize, now: u64) {
    assert!(matches!(queue.pick(pcpu, now).unwrap(), Pick::Idle { kick } if kick.is_none()));
}

const BLOCK: Reason = Reason::Block { deadline: None };

#[test]
fn the_number_of_pcpus_is_one_to_eight() {
    assert_eq!(RunQueue::new(0, 1).unwrap_err(), SchedError::PcpuCount(0));
    assert_eq!(RunQueue::new(9, 1).unwrap_err(), SchedError::PcpuCount(9));
    assert!(RunQueue::new(8, 1).is_ok());
}

#[test]
fn an_entity_runs_only_after_start() {
    let mut q = queue(1);
    let a = add(&mut q);
    idle(&mut q, 0, 0);
    assert_eq!(q.state(a), Ok(State::Off));
    assert_eq!(q.start(a, 1).unwrap().reschedule, 1, "an idle pCPU is kicked");
    assert_eq!(run(&mut q, 0, 2).0, a);
    assert_eq!(q.state(a), Ok(State::Running(0)));
    assert_eq!(q.pcpus[0].current, a.0);
    assert!(matches!(q.start(a, 3), Err(SchedError::InvalidTransition(_, _, "start"))));
}

#[test]
fn a_pcpu_that_has_not_come_up_is_not_kicked() {
    let mut q = queue(2);
    let a = add(&mut q);
    assert!(q.start(a, 0).unwrap().is_none());
}

#[test]
fn who_runs_alone_needs_no_timer_and_hears_of_company() {
    let mut q = queue(1);
    let (a, b) = (add(&mut q), add(&mut q));
    q.start(a, 0).unwrap();
    assert_eq!(run(&mut q, 0, 0).1, None);
    assert_eq!(q.next_event(0), None);
    assert_eq!(q.start(b, 50).unwrap(), Kick { reschedule: 1, notice: 0 });
    assert_eq!(q.put(0, a, 60, Reason::Preempted), Ok(State::Ready));
    let (id, end, _) = run(&mut q, 0, 60);
    assert_eq!((id, end), (b, Some(60 + SLICE)), "the newcomer goes first");
    assert_eq!(q.next_event(0), Some(60 + SLICE));
}

#[test]
fn the_loser_of_a_pick_is_offered_to_an_idle_pcpu() {
    let mut q = queue(2);
    let a = add(&mut q);
    let pinned = q.add(100, 1, None).unwrap();
    q.start(a, 0).unwrap();
    run(&mut q, 0, 0);
    idle(&mut q, 1, 0);
    assert_eq!(q.start(pinned, 10).unwrap().reschedule, 1, "it may run on pCPU 0 only");
    q.put(0, a, 11, Reason::Preempted).unwrap();
    let (id, _, kick) = run(&mut q, 0, 11);
    assert_eq!((id, kick.reschedule), (pinned, 2), "pCPU 1 is free for the other");
    assert_eq!(run(&mut q, 1, 12).0, a);
}

#[test]
fn a_wake_up_prefers_the_pcpu_where_it_last_ran() {
    let mut q = queue(4);
    let a = add(&mut q);
    q.start(a, 0).unwrap();
    assert_eq!(run(&mut q, 2, 0).0, a);
    q.put(2, a, 5, BLOCK).unwrap();
    for pcpu in 0..4 {
        idle(&mut q, pcpu, 6);
    }
    assert_eq!(q.wake(a, 7).unwrap().reschedule, 1 << 2);
}

#[test]
fn a_wake_up_of_a_running_entity_leaves_a_token_and_a_notice() {
    let mut q = queue(1);
    let a = add(&mut q);
    q.start(a, 0).unwrap();
    run(&mut q, 0, 0);
    assert_eq!(q.wake(a, 1).unwrap(), Kick { reschedule: 0, notice: 1 });
    assert_eq!(q.put(0, a, 2, BLOCK), Ok(State::Ready), "the token keeps it from sleeping");
    run(&mut q, 0, 2);
    assert_eq!(q.put(0, a, 3, BLOCK), Ok(State::Blocked), "once");
    q.wake(a, 4).unwrap();
    run(&mut q, 0, 4);
    q.wake(a, 5).unwrap();
    assert_eq!(q.rest(0, a, 6), Ok(true));
    assert_eq!(q.put(0, a, 6, BLOCK), Ok(State::Blocked), "a token that was taken is gone");
}

#[test]
fn a_deadline_wakes_on_the_pcpu_that_blocked() {
    let mut q = queue(2);
    let a = add(&mut q);
    q.start(a, 0).unwrap();
    run(&mut q, 1, 0);
    q.put(1, a, 5, Reason::Block { deadline: Some(100) }).unwrap();
    idle(&mut q, 1, 5);
    assert_eq!((q.next_event(0), q.next_event(1)), (None, Some(100)));
    assert!(q.expire(1, 99).unwrap().is_none());
    assert_eq!(q.expire(1, 100).unwrap().reschedule, 2);
    assert_eq!((q.state(a), q.next_event(1)), (Ok(State::Ready), None));
}

#[test]
fn a_deadline_that_has_passed_does_not_block() {
    let mut q = queue(1);
    let a = add(&mut q);
    q.start(a, 0).unwrap();
    run(&mut q, 0, 0);
    assert_eq!(q.put(0, a, 9, Reason::Block { deadline: Some(9) }), Ok(State::Ready));
}

#[test]
fn a_wake_up_cancels_the_deadline() {
    let mut q = queue(1);
    let a = add(&mut q);
    q.start(a, 0).unwrap();
    run(&mut q, 0, 0);
    q.put(0, a, 1, Reason::Block { deadline: Some(100) }).unwrap();
    idle(&mut q, 0, 1);
    q.wake(a, 2).unwrap();
    assert_eq!(q.next_event(0), None);
    assert!(q.expire(0, 200).unwrap().is_none());
}

#[test]
fn the_farthest_deadline_is_just_far() {
    let mut q = queue(1);
    let (a, b) = (add(&mut q), add(&mut q));
    for (id, deadline) in [(a, u64::MAX), (b, 50)] {
        q.start(id, 0).unwrap();
        assert_eq!(run(&mut q, 0, 0).0, id);
        q.put(0, id, 1, Reason::Block { deadline: Some(deadline) }).unwrap();
    }
    assert_eq!(q.next_event(0), Some(50));
    q.expire(0, 60).unwrap();
    assert_eq!((q.state(a), q.state(b)), (Ok(State::Blocked), Ok(State::Ready)));
}

#[test]
fn expiry_is_bounded_and_asks_to_be_called_again() {
    let mut q = queue(1);
    for _ in 0..10 {
        let id = add(&mut q);
        q.start(id, 0).unwrap();
        run(&mut q, 0, 0);
        q.put(0, id, 1, Reason::Block { deadline: Some(50) }).unwrap();
    }
    let mut calls = 0;
    while q.next_event(0).is_some_and(|at| at <= 60) {
        let _ = q.expire(0, 60).unwrap();
        calls += 1;
    }
    assert_eq!(calls, 3, "four at a time");
}

#[test]
fn a_slice_ends_only_where_somebody_waits() {
    let mut q = queue(1);
    let (a, b) = (add(&mut q), add(&mut q));
    q.start(a, 0).unwrap();
    q.start(b, 0).unwrap();
    let (first, end, _) = run(&mut q, 0, 0);
    let other = if first == a { b } else { a };
    let end = end.unwrap();
    assert_eq!(q.next_event(0), Some(end));
    assert!(q.stop(other).unwrap().is_none());
    q.put(0, first, end, Reason::Preempted).unwrap();
    assert_eq!(run(&mut q, 0, end).1, None, "nobody waits any more");
    assert_eq!(q.next_event(0), None);
    assert_eq!(q.start(other, end).unwrap().reschedule, 1, "and then somebody does again");
}

#[test]
fn stop_takes_effect_at_once_or_at_the_next_put() {
    let mut q = queue(1);
    let (a, b) = (add(&mut q), add(&mut q));
    q.start(a, 0).unwrap();
    run(&mut q, 0, 0);
    assert_eq!(q.stop(a).unwrap().reschedule, 1);
    assert_eq!(q.state(a), Ok(State::Running(0)));
    let block = Reason::Block { deadline: Some(99) };
    assert_eq!(q.put(0, a, 1, block), Ok(State::Off));
    assert_eq!(q.next_event(0), None);
    q.start(b, 1).unwrap();
    q.stop(b).unwrap();
    assert_eq!(q.state(b), Ok(State::Off));
    idle(&mut q, 0, 2);
}

#[test]
fn pause_holds_and_resume_lets_go() {
    let mut q = queue(1);
    let a = add(&mut q);
    assert!(q.pause(a).is_err(), "what is off can't be held");
    q.start(a, 0).unwrap();
    q.pause(a).unwrap();
    idle(&mut q, 0, 0);
    assert!(q.wake(a, 1).unwrap().is_none());
    assert_eq!(q.state(a), Ok(State::Paused));
    assert_eq!(q.resume(a, 2).unwrap().reschedule, 1);
    run(&mut q, 0, 2);
    assert_eq!(q.pause(a).unwrap().reschedule, 1);
    assert!(q.resume(a, 3).unwrap().is_none(), "withdrawn before it took effect");
    assert_eq!(q.put(0, a, 4, Reason::Preempted), Ok(State::Ready));
    run(&mut q, 0, 4);
    q.pause(a).unwrap();
    q.stop(a).unwrap();
    q.pause(a).unwrap();
    assert_eq!(q.put(0, a, 5, Reason::Preempted), Ok(State::Off), "a stop outlasts a pause");
}

/// A debugger's breakpoint that each vCPU of a VM comes to at once stops them all, again and again,
/// beside a neighbour that runs on.
#[test]
fn those_who_are_paused_together_take_turns() {
    let pause = |q: &mut RunQueue, group: &[EntityId]| {
        for id in group {
            q.pause(*id).unwrap();
        }
    };
    for count in 2..5 {
        let mut q = queue(1);
        let group: Vec<_> = (0..count).map(|_| add(&mut q)).collect();
        let neighbour = add(&mut q);
        let mut now = 0;
        for id in group.iter().chain([&neighbour]) {
            q.start(*id, now).unwrap();
        }
        pause(&mut q, &group);
        let mut turns = [0; 4];
        let mut waits = 0;
        for _ in 0..100 * count {
            assert_eq!(run(&mut q, 0, now).0, neighbour);
            now += 3 * SLICE;
            q.regroup(group.iter().copied(), now);
            for id in &group {
                q.resume(*id, now).unwrap();
            }
            q.put(0, neighbour, now, Reason::Preempted).unwrap();
            let mut first = run(&mut q, 0, now).0;
            if first == neighbour {
                now += SLICE;
                q.put(0, neighbour, now, Reason::Preempted).unwrap();
                first = run(&mut q, 0, now).0;
                waits += 1;
            }
            turns[first.slot()] += 1;
            now += 5;
            pause(&mut q, &group);
            q.put(0, first, now, Reason::Preempted).unwrap();
        }
        let (few, many) = (turns[..count].iter().min(), turns[..count].iter().max());
        assert!(few >= Some(&90) && many <= Some(&110), "turns of {count}: {turns:?}");
        assert_eq!(waits, 0, "of {count}: the neighbour came first");
    }
}

/// Their clocks differ: where one of them is pinned time has gone on, where the other is it hasn't.
/// The other one takes its pCPU from who is in the midst of a slice there all the same.
#[test]
fn those_who_are_paused_together_keep_to_their_own_clocks() {
    let mut q = queue(2);
    let [a, b] = [1, 2].map(|mask| q.add(100, mask, None).unwrap());
    let [busy, rival, other] = [1, 2, 2].map(|mask| q.add(100, mask, None).unwrap());
    for id in [a, b, busy, rival, other] {
        q.start(id, 0).unwrap();
    }
    q.pause(a).unwrap();
    q.pause(b).unwrap();
    assert_eq!(run(&mut q, 1, 0).0, rival);
    let mut now = 0;
    for _ in 0..50 {
        assert_eq!(run(&mut q, 0, now).0, busy);
        now += 3 * SLICE;
        q.put(0, busy, now, Reason::Preempted).unwrap();
        q.regroup([a, b].into_iter(), now);
        q.resume(a, now).unwrap();
        assert_eq!(run(&mut q, 0, now).0, a);
        q.pause(a).unwrap();
        now += 5;
        q.put(0, a, now, Reason::Preempted).unwrap();
    }
    q.regroup([a, b].into_iter(), now);
    assert_eq!(q.resume(b, now).unwrap().reschedule, 2);
    q.put(1, rival, now, Reason::Preempted).unwrap();
    assert_eq!(run(&mut q, 1, now).0, b);
}

#[test]
fn pausing_a_blocked_entity_forgets_its_deadline() {
    let mut q = queue(1);
    let a = add(&mut q);
    q.start(a, 0).unwrap();
    run(&mut q, 0, 0);
    q.put(0, a, 1, Reason::Block { deadline: Some(50) }).unwrap();
    q.pause(a).unwrap();
    assert_eq!(q.next_event(0), None);
    q.resume(a, 2).unwrap();
    assert_eq!(q.state(a), Ok(State::Ready), "it looks again whether it must wait");
}

#[test]
fn an_id_of_another_queue_is_refused() {
    let mut q = queue(1);
    let a = add(&mut q);
    let b = add(&mut q);
    assert_eq!((a.slot(), b.slot()), (0, 1));
    let unknown = SchedError::UnknownEntity(1);
    let mut other = queue(1);
    add(&mut other);
    assert_eq!((other.start(b, 0), other.state(b)), (Err(unknown), Err(unknown)));
    assert!(other.start(a, 0).is_ok());
}

#[test]
fn misuse_is_an_error_value() {
    let mut q = queue(2);
    let a = add(&mut q);
    assert_eq!(q.add(0, 1, None), Err(SchedError::ZeroWeight));
    let none = SchedError::NoPcpuAllowed(0xfc, 3);
    assert_eq!(q.add(1, 0xfc, None), Err(none));
    assert_eq!(q.pick(2, 0), Err(SchedError::NoSuchPcpu(2, 2)));
    assert!(q.put(0, a, 0, Reason::Yield).is_err());
    q.start(a, 0).unwrap();
    run(&mut q, 0, 0);
    assert_eq!(q.pick(0, 0), Err(SchedError::PcpuBusy(0)));
    assert!(q.put(1, a, 0, Reason::Yield).is_err(), "it runs on another");
}

#[test]
fn a_dedicated_entity_owns_its_pcpu() {
    let mut q = queue(2);
    let shared = add(&mut q);
    q.start(shared, 0).unwrap();
    assert_eq!(run(&mut q, 1, 0).0, shared);
    let owner = q.add(100, 0xff, Some(1)).unwrap();
    assert_eq!(q.start(owner, 1).unwrap().reschedule, 2, "who sits there must go");
    idle(&mut q, 0, 1);
    q.put(1, shared, 2, Reason::Preempted).unwrap();
    let (id, end, kick) = run(&mut q, 1, 2);
    assert_eq!((id, end, kick.reschedule), (owner, None, 1), "and finds pCPU 0");
    run(&mut q, 0, 3);
    let another = add(&mut q);
    assert_eq!(q.start(another, 4).unwrap().reschedule, 1);
    assert!(q.put(1, owner, 5, BLOCK).is_ok());
    idle(&mut q, 1, 5);
    assert_eq!(q.wake(owner, 6).unwrap().reschedule, 2);
}

#[test]
fn a_dedication_that_cannot_be_is_refused() {
    let mut q = queue(3);
    let pinned = q.add(100, 1 << 2, None).unwrap();
    assert_eq!(q.add(1, 0xff, Some(2)), Err(SchedError::DedicatedStrands(2, pinned.slot())));
    q.add(1, 0xff, Some(0)).unwrap();
    assert_eq!(q.add(1, 0xff, Some(0)), Err(SchedError::DedicatedTaken(0)));
    assert!(q.add(1, 1, Some(1)).is_err(), "outside its own affinity");
    let mut q = queue(2);
    q.add(1, 0xff, Some(1)).unwrap();
    assert!(q.add(1, 1 << 1, None).is_err());
    q.add(1, 0xff, None).unwrap();
    assert_eq!(q.add(1, 0xff, Some(0)), Err(SchedError::DedicatedLeavesNone(0)));
    // Without anybody who shares, all may be dedicated: jobs run beside their owners.
    let mut q = queue(2);
    q.add_job(100).unwrap();
    q.add(1, 0xff, Some(1)).unwrap();
    assert!(q.add(1, 0xff, Some(0)).is_ok());
}

#[test]
fn a_job_runs_on_a_dedicated_pcpu_while_its_owner_does_not() {
    let mut q = queue(1);
    let job = q.add_job(100).unwrap();
    let owner = q.add(100, 0xff, Some(0)).unwrap();
    assert!(q.add(100, 0xff, None).is_err(), "nobody else shares it");
    let _ = q.start(job, 0).unwrap();
    assert_eq!(run(&mut q, 0, 0).0, job);
    let _ = q.start(owner, 1).unwrap();
    q.put(0, job, 2, Reason::Yield).unwrap();
    let (id, end, _) = run(&mut q, 0, 2);
    assert_eq!((id, end), (owner, None), "the owner comes first, and has no slice");
    // Nothing takes the pCPU from its owner.
    q.put(0, owner, 3, BLOCK).unwrap();
    assert_eq!(run(&mut q, 0, 3).0, job);
    q.put(0, job, 4, BLOCK).unwrap();
    let _ = q.wake(owner, 5).unwrap();
    assert_eq!(run(&mut q, 0, 5).0, owner);
    assert_eq!(q.wake(job, 6).unwrap(), Kick::NONE);
}

#[test]
fn moves_are_counted() {
    let mut q = queue(2);
    let a = add(&mut q);
    let _ = q.start(a, 0).unwrap();
    for (pcpu, moves) in [(0, 0), (0, 0), (1, 1), (0, 2)] {
        assert_eq!(run(&mut q, pcpu, 0).0, a);
        assert_eq!(q.account(a).unwrap().moves, moves);
        q.put(pcpu, a, 0, Reason::Preempted).unwrap();
    }
}

#[test]
fn time_is_accounted() {
    let mut q = queue(1);
    let (a, b) = (add(&mut q), add(&mut q));
    q.start(a, 100).unwrap();
    q.start(b, 100).unwrap();
    run(&mut q, 0, 130);
    q.put(0, a, 200, Reason::Preempted).unwrap();
    run(&mut q, 0, 200);
    assert_eq!(q.account(a), Ok(Account { run: 70, wait: 30, moves: 0 }));
    assert_eq!(q.account(b), Ok(Account { run: 0, wait: 100, moves: 0 }));
}

#[test]
fn a_change_of_affinity_moves() {
    let mut q = queue(2);
    let a = add(&mut q);
    q.start(a, 0).unwrap();
    run(&mut q, 0, 0);
    idle(&mut q, 1, 0);
    assert_eq!(q.set_affinity(a, 2).unwrap().reschedule, 1, "it must leave pCPU 0");
    q.put(0, a, 5, Reason::Preempted).unwrap();
    assert!(matches!(q.pick(0, 5).unwrap(), Pick::Idle { kick } if kick.reschedule == 2));
    assert_eq!(run(&mut q, 1, 6).0, a);
    assert!(q.set_affinity(a, 4).is_err());
}

#[test]
fn who_yields_goes_behind_the_next() {
    let mut q = queue(1);
    let (a, b) = (add(&mut q), add(&mut q));
    q.start(a, 0).unwrap();
    q.start(b, 0).unwrap();
    let (first, ..) = run(&mut q, 0, 0);
    q.put(0, first, 1, Reason::Yield).unwrap();
    assert_ne!(run(&mut q, 0, 1).0, first);
}

#[test]
fn errors_name_what_was_found_and_wanted() {
    let mut q = queue(2);
    let text = std::format!("{}", q.add(1, 8, None).unwrap_err());
    assert_eq!(text, "affinity 0x8 allows no pCPU: wanted one of 0x3");
}
