//! Shares of pCPU time in a discrete simulation: each pCPU does what the hypervisor's run loop
//! does, kicks arrive a little late, and entities run and sleep as their script says.

use std::vec::Vec;

use super::super::*;

const SLICE: u64 = 10_000;
/// Ticks from a kick to the moment at which its target reacts.
const KICK_LATENCY: u64 = 20;
const LONG: u64 = SLICE * if cfg!(miri) { 60 } else { 600 };

/// What an entity does: runs for `run` ticks, then sleeps for `sleep`; a hog never sleeps.
#[derive(Clone, Copy)]
struct Script {
    run: u64,
    sleep: u64,
}

const HOG: Script = Script { run: u64::MAX, sleep: 0 };

struct Actor {
    id: EntityId,
    script: Script,
    /// Ticks that it still wants to run before it sleeps.
    left: u64,
    /// The longest time from Ready to Running, and when the present wait began.
    worst_wait: u64,
    waits_since: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct Cpu {
    runs: Option<(usize, u64)>,
    slice_end: Option<u64>,
    kick_at: Option<u64>,
}

struct Sim {
    queue: RunQueue,
    now: u64,
    cpus: Vec<Cpu>,
    actors: Vec<Actor>,
}

impl Sim {
    fn new(pcpus: usize) -> Self {
        let queue = RunQueue::new(pcpus, SLICE).unwrap();
        // Pending kicks stand for the first pick of each pCPU.
        let cpu = Cpu { runs: None, slice_end: None, kick_at: Some(0) };
        Self { queue, now: 0, cpus: std::vec![cpu; pcpus], actors: Vec::new() }
    }

    fn add(
        &mut self,
        weight: u32,
        affinity: u8,
        dedicated: Option<usize>,
        script: Script,
    ) -> usize {
        let id = self.queue.add(weight, affinity, dedicated).unwrap();
        let kick = self.queue.start(id, self.now).unwrap();
        let waits_since = Some(self.now);
        self.actors.push(Actor { id, script, left: script.run, worst_wait: 0, waits_since });
        self.deliver(kick);
        self.actors.len() - 1
    }

    fn hog(&mut self, weight: u32, affinity: u8) -> usize {
        self.add(weight, affinity, None, HOG)
    }

    fn deliver(&mut self, kick: Kick) {
        assert_eq!(kick.notice, 0, "nobody is woken while running here");
        for (pcpu, cpu) in self.cpus.iter_mut().enumerate() {
            if kick.reschedule & 1 << pcpu != 0 {
                let at = self.now + KICK_LATENCY;
                cpu.kick_at = Some(cpu.kick_at.map_or(at, |already| already.min(at)));
            }
        }
    }

    /// When `pcpu` next has something to do.
    fn next(&self, pcpu: usize) -> u64 {
        let cpu = &self.cpus[pcpu];
        let sleeps_at =
            cpu.runs.map(|(actor, since)| since.saturating_add(self.actors[actor].left));
        let events = [cpu.kick_at, self.queue.next_event(pcpu), sleeps_at];
        events.into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    fn run_until(&mut self, end: u64) {
        loop {
            let pcpu = (0..self.cpus.len()).min_by_key(|&pcpu| self.next(pcpu)).unwrap();
            let at = self.next(pcpu);
            if at > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(at);
            self.step(pcpu);
        }
    }

    fn step(&mut self, pcpu: usize) {
        let kicked = self.cpus[pcpu].kick_at.is_some_and(|at| at <= self.now);
        let is_over = self.cpus[pcpu].slice_end.is_some_and(|end| end <= self.now);
        if kicked {
            self.cpus[pcpu].kick_at = None;
        }
        let mut kick = self.queue.expire(pcpu, self.now).unwrap();
        let mut reschedule = kicked || is_over || kick.reschedule & 1 << pcpu != 0;
        kick.reschedule &= !(1 << pcpu);
        self.deliver(kick);
        if let Some((index, since)) = self.cpus[pcpu].runs {
            let actor = &mut self.actors[index];
            let asleep = self.now >= since.saturating_add(actor.left);
            if asleep || reschedule {
                let reason = if asleep {
                    actor.left = actor.script.run;
                    Reason::Block { deadline: Some(self.now + actor.script.sleep) }
                } else {
                    actor.left = actor.left.saturating_sub(self.now - since);
                    Reason::Preempted
                };
                self.queue.put(pcpu, actor.id, self.now, reason).unwrap();
                self.cpus[pcpu].runs = None;
                reschedule = true;
            }
        }
        if reschedule {
            self.pick(pcpu);
        }
        for actor in &mut self.actors {
            let ready = self.queue.state(actor.id) == Ok(State::Ready);
            actor.waits_since = ready.then(|| actor.waits_since.unwrap_or(self.now));
        }
    }

    fn pick(&mut self, pcpu: usize) {
        let kick = match self.queue.pick(pcpu, self.now).unwrap() {
            Pick::Run { id, slice_end, kick, .. } => {
                let index = self.actors.iter().position(|actor| actor.id == id).unwrap();
                self.cpus[pcpu].slice_end = slice_end;
                self.cpus[pcpu].runs = Some((index, self.now));
                let actor = &mut self.actors[index];
                if let Some(since) = actor.waits_since.take() {
                    actor.worst_wait = actor.worst_wait.max(self.now - since);
                }
                kick
            }
            Pick::Idle { kick } => kick,
        };
        self.deliver(kick);
    }

    /// Run time so far, with what is not yet charged.
    fn ran(&self, index: usize) -> u64 {
        let charged = self.queue.account(self.actors[index].id).unwrap().run;
        let running = self.cpus.iter().filter_map(|cpu| cpu.runs);
        let since = running.filter(|&(actor, _)| actor == index).map(|(_, since)| since).next();
        charged + since.map_or(0, |since| self.now - since)
    }

    /// Asserts the shares of a pCPU, in per cent, that the actors get from now on.
    fn expect(&mut self, ticks: u64, shares: &[f64]) {
        let before: Vec<u64> = (0..shares.len()).map(|index| self.ran(index)).collect();
        self.run_until(self.now + ticks);
        for (index, &wanted) in shares.iter().enumerate() {
            let got = (self.ran(index) - before[index]) as f64 * 100.0 / ticks as f64;
            // Five per cent of the share, and what a single slice amounts to.
            let slack = wanted * 0.05 + SLICE as f64 * 100.0 / ticks as f64;
            assert!((got - wanted).abs() <= slack, "actor {index}: {got:.1} %, wanted {wanted} %");
        }
    }
}

#[test]
fn three_equals_on_two_pcpus_get_two_thirds_each() {
    let mut sim = Sim::new(2);
    for _ in 0..3 {
        sim.hog(100, 0xff);
    }
    sim.expect(LONG, &[66.7, 66.7, 66.7]);
}

#[test]
fn weights_divide_one_pcpu() {
    let mut sim = Sim::new(1);
    for weight in [100, 200, 300] {
        sim.hog(weight, 0xff);
    }
    sim.expect(LONG, &[16.7, 33.3, 50.0]);
}

#[test]
fn weights_divide_two_pcpus() {
    let mut sim = Sim::new(2);
    for weight in [100, 200, 300] {
        sim.hog(weight, 0xff);
    }
    // The third's share is exactly one pCPU, so it is the one that the rounding hurts.
    sim.expect(LONG, &[33.3, 66.7, 100.0]);
}

#[test]
fn five_weights_on_three_pcpus() {
    let mut sim = Sim::new(3);
    for weight in [50, 100, 150, 100, 200] {
        sim.hog(weight, 0xff);
    }
    sim.expect(LONG, &[25.0, 50.0, 75.0, 50.0, 100.0]);
}

#[test]
fn a_tiny_weight_is_not_starved_and_gets_no_more() {
    let mut sim = Sim::new(1);
    sim.hog(1000, 0xff);
    sim.hog(10, 0xff);
    sim.expect(LONG, &[99.0, 1.0]);
}

#[test]
fn a_weight_beyond_a_whole_pcpu_gets_just_that() {
    let mut sim = Sim::new(2);
    sim.hog(10_000, 0xff);
    sim.hog(100, 0xff);
    sim.hog(100, 0xff);
    sim.expect(LONG, &[100.0, 50.0, 50.0]);
    // All that it could not use is not saved up: against more company it must share at once.
    for _ in 0..2 {
        sim.hog(10_000, 0xff);
    }
    let (_, from) = (sim.run_until(sim.now + 10 * SLICE), sim.ran(0));
    sim.run_until(sim.now + 90 * SLICE);
    assert!(sim.ran(0) - from < 80 * SLICE);
}

#[test]
fn affinity_is_kept_and_shares_follow_from_it() {
    let mut sim = Sim::new(2);
    sim.hog(100, 1);
    sim.hog(100, 2);
    sim.hog(300, 2);
    sim.expect(LONG, &[100.0, 25.0, 75.0]);
    // The newcomer may run on both; pCPU 0, where the virtual time is far ahead, has more room.
    sim.hog(100, 3);
    sim.run_until(sim.now + 20 * SLICE);
    sim.expect(LONG, &[50.0, 25.0, 75.0, 50.0]);
}

#[test]
fn a_dedicated_pcpu_is_left_alone() {
    let mut sim = Sim::new(2);
    sim.add(100, 0xff, Some(1), HOG);
    for _ in 0..3 {
        sim.hog(100, 0xff);
    }
    sim.expect(LONG, &[100.0, 33.3, 33.3, 33.3]);
}

#[test]
fn a_sleeper_is_served_soon_and_gets_no_more_than_it_asks() {
    let mut sim = Sim::new(1);
    for _ in 0..3 {
        sim.hog(100, 0xff);
    }
    let sleeper = sim.add(100, 0xff, None, Script { run: SLICE / 10, sleep: SLICE * 2 });
    sim.run_until(10 * SLICE);
    sim.actors[sleeper].worst_wait = 0;
    sim.expect(LONG, &[31.7, 31.7, 31.7, 4.8]);
    assert!(sim.actors[sleeper].worst_wait <= SLICE, "waited {}", sim.actors[sleeper].worst_wait);
}

#[test]
fn a_long_sleep_earns_no_monopoly() {
    let mut sim = Sim::new(1);
    sim.hog(100, 0xff);
    sim.run_until(LONG);
    sim.hog(100, 0xff);
    sim.expect(20 * SLICE, &[50.0, 50.0]);
}

#[test]
fn sleeping_a_little_is_no_trick_to_get_more() {
    let mut sim = Sim::new(1);
    sim.hog(100, 0xff);
    let tricky = sim.add(100, 0xff, None, Script { run: SLICE / 2, sleep: 100 });
    sim.run_until(LONG);
    assert!(sim.ran(tricky) * 100 <= LONG * 55, "{} of {LONG}", sim.ran(tricky));
    // And alternating long sleeps with long runs is none either.
    let mut sim = Sim::new(1);
    sim.hog(100, 0xff);
    let tricky = sim.add(100, 0xff, None, Script { run: 6 * SLICE, sleep: 2 * SLICE });
    sim.run_until(LONG);
    assert!(sim.ran(tricky) * 100 <= LONG * 55, "{} of {LONG}", sim.ran(tricky));
}

#[test]
fn nobody_waits_for_ever_among_many() {
    let mut sim = Sim::new(3);
    for index in 0..12u32 {
        let affinity = [0xff, 1, 3, 6][index as usize % 4];
        let sleep = [0, SLICE / 3, 5 * SLICE][index as usize % 3];
        let run = if sleep == 0 { u64::MAX } else { u64::from(index + 1) * SLICE / 5 };
        sim.add(50 + index * 37, affinity, None, Script { run, sleep });
    }
    sim.run_until(LONG);
    for (index, actor) in sim.actors.iter().enumerate() {
        assert!(actor.worst_wait < 60 * SLICE, "actor {index} waited {}", actor.worst_wait);
        assert!(sim.ran(index) > 0);
    }
}
