//! The scheduler on the host: how long one turn (pick a vCPU, put it back at its slice's end) takes
//! among so many that are runnable. `cargo bench --bench pick`.
//!
//! Times are of this machine, whatever it is; what counts is how they grow.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mezzanine::sched::{EntityId, Pick, Reason, RunQueue};

/// Runnable vCPUs.
const RUNNABLE: [usize; 4] = [1, 10, 100, 1000];
/// Ticks of a slice.
const SLICE: u64 = 10_000;
/// The weight of a VM that does not state one.
const WEIGHT: u32 = 100;

/// A queue for one pCPU with so many vCPUs, all of them Ready.
fn queue(runnable: usize) -> RunQueue {
    let mut queue = RunQueue::new(1, SLICE).expect("one pCPU");
    for _ in 0..runnable {
        let id = queue.add(WEIGHT, 1, None).expect("room for all");
        // The only pCPU looks by itself.
        let _ = queue.start(id, 0).expect("a new one is off");
    }
    queue
}

fn pick(queue: &mut RunQueue, now: u64) -> EntityId {
    match queue.pick(0, now) {
        Ok(Pick::Run { id, .. }) => id,
        other => panic!("{other:?} where somebody is ready"),
    }
}

fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn");
    for runnable in RUNNABLE {
        let mut queue = queue(runnable);
        let mut now = 0;
        group.bench_function(BenchmarkId::from_parameter(runnable), |bencher| {
            bencher.iter(|| {
                let id = pick(&mut queue, now);
                now += SLICE;
                queue.put(0, id, now, Reason::Preempted).expect("it runs here");
            });
        });
    }
    group.finish();
}

/// The same with a sleep in between: put away until a deadline, and woken by something else before.
fn sleeps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sleep and wake");
    for runnable in RUNNABLE {
        let mut queue = queue(runnable);
        let mut now = 0;
        group.bench_function(BenchmarkId::from_parameter(runnable), |bencher| {
            bencher.iter(|| {
                let id = pick(&mut queue, now);
                now += SLICE;
                let deadline = Some(now + 2 * SLICE);
                queue.put(0, id, now, Reason::Block { deadline }).expect("it runs here");
                queue.wake(id, now).expect("it is known")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, turns, sleeps);
criterion_main!(benches);
