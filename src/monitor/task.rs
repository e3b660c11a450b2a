//! A command at work: a slice at a time, on whatever pCPU has come to do it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use super::answer::{Backtrace, microseconds, milliseconds};
use super::command::{self, Command};
use super::{ask, words};
use crate::platform::timer;
use crate::sched::State;
use crate::trace::format::KINDS;
use crate::vm::exits::Exits;
use crate::vm::{self, Vcpu, Vm, schedule, watch};

/// How a command goes on.
pub enum Next {
    /// In another slice.
    More,
    /// In another slice, when the counter has this value.
    Wait(u64),
    /// Not: it is done.
    Done,
}

impl From<bool> for Next {
    fn from(more: bool) -> Self {
        if more { Self::More } else { Self::Done }
    }
}

/// Exits by kind.
type Counts = [(&'static str, u64); KINDS];

/// A look at a vCPU.
#[derive(Clone, Copy)]
struct Sample {
    /// What it was for the run queue before.
    state: State,
    /// The counter's value.
    now: u64,
    /// PC and exits, if it is on.
    seen: Option<(u64, Counts)>,
}

/// A command, and how far it is.
pub struct Task {
    command: Command,
    /// How often it was at work; where it looks at all vCPUs, in this round.
    at: usize,
    until: u64,
    /// How often all vCPUs were looked at, and what was seen the last time.
    rounds: u64,
    samples: Vec<Sample>,
    backtrace: Option<Backtrace>,
}

impl Task {
    /// Begins with `command`.
    pub fn new(command: Command) -> Self {
        Self { command, at: 0, until: 0, rounds: 0, samples: Vec::new(), backtrace: None }
    }

    /// Does a slice of it.
    pub fn step(&mut self, out: &mut String) -> Next {
        if timer::now() < self.until {
            return Next::Wait(self.until);
        }
        let (at, hertz) = (self.at, timer::frequency());
        self.at += 1;
        let Command { name, .. } = self.command;
        let first = self.command.number(0);
        match name {
            "help" => command::help(self.command.topic.as_deref(), out),
            "vm list" => return Next::from(ask::list(at, out)),
            "vcpu list" => return self.look(1, hertz / 4, out),
            "stat" => return self.look(0, 0, out),
            "stat -w" => {
                let seconds = if self.command.numbers.is_empty() { u64::MAX } else { first };
                return self.look(seconds, hertz, out);
            }
            "vcpu bt" => {
                return Next::from(ask::backtrace(&self.command, &mut self.backtrace, out));
            }
            "trace on" | "trace off" => ask::trace(&self.command, out),
            "trace dump" => return Next::from(ask::dump(at, out)),
            "mem" => return Next::from(ask::memory(&self.command, at, out)),
            "gic" => return Next::from(ask::interrupts(&self.command, at, out)),
            "wait" if at == 0 => return self.wait(hertz.saturating_mul(first)),
            "wait" => {}
            "log" => log::LevelFilter::iter().nth(first as usize).map_or((), log::set_max_level),
            "esr" => out.push_str(&format!("{}\n", words::syndrome(first))),
            "vcpu regs" => ask::registers(&self.command, out),
            "vcpu pin" => ask::pin(&self.command, out),
            "s1" => ask::stage1(&self.command, out),
            "s2" => ask::stage2(self.command.vm, first, out),
            "vm show" => ask::show(self.command.vm, out),
            _ if name.starts_with("vm ") => ask::operate(&self.command, out),
            register => ask::control(register, out),
        }
        Next::Done
    }

    /// Whether a key ends it while it waits. One that waits for a moment only leaves the next command,
    /// which may be typed already, alone.
    pub fn ends_by_key(&self) -> bool {
        self.command.name != "vcpu list"
    }

    fn is_watch(&self) -> bool {
        self.command.name == "stat -w"
    }

    fn wait(&mut self, ticks: u64) -> Next {
        self.until = timer::now().saturating_add(ticks);
        Next::Wait(self.until)
    }

    /// Looks at all vCPUs, one a slice, with a line for each: at once where `rounds` is 0, else after
    /// another look, so many times, with `pause` ticks before each.
    fn look(&mut self, rounds: u64, pause: u64, out: &mut String) -> Next {
        let at = self.at.wrapping_sub(1);
        let is_list = self.command.name == "vcpu list";
        let is_shown = self.rounds > 0 || rounds == 0;
        if at == 0 && self.rounds == 0 && self.is_watch() {
            watch::time_exits(true);
        }
        if at == 0 && is_shown {
            let _ = write!(out, "{:<5} {:<10} ", "vCPU", "name");
            if is_list { out.push_str(VCPU_HEAD) } else { exits_head(out) }
        }
        let mut vcpus = vm::all().flat_map(|vm| vm.vcpus.iter().map(move |vcpu| (vm, vcpu)));
        let Some((vm, vcpu)) = vcpus.nth(at) else {
            (self.at, self.rounds) = (0, self.rounds + 1);
            return if self.rounds > rounds || rounds == 0 { Next::Done } else { self.wait(pause) };
        };
        let now = Sample::take(vm, vcpu);
        let before = self.samples.get(at).copied();
        let counts = now.counts(before.as_ref());
        match self.samples.get_mut(at) {
            Some(sample) => *sample = now,
            None => self.samples.push(now),
        }
        if is_shown {
            let name = format!("{}.{}", vm.id, vcpu.index);
            let _ = write!(out, "{name:<5} {:<10} ", vm.name);
            if is_list {
                vcpu_line(out, vcpu, &now, counts)
            } else {
                exits_line(out, counts)
            }
            if self.is_watch() {
                times_lines(out, vcpu);
            }
        }
        Next::More
    }
}

impl Drop for Task {
    /// However it ends.
    fn drop(&mut self) {
        if self.is_watch() {
            watch::time_exits(false);
        }
    }
}

impl Sample {
    fn take(vm: &'static Vm, vcpu: &Vcpu) -> Self {
        let state = schedule::with(|queue| queue.state(vcpu.entity));
        let state = state.and_then(Result::ok).unwrap_or_default();
        let seen = vm.with_state(vcpu, |state| (state.frame.pc, state.exits.kinds()));
        Self { state, now: timer::now(), seen }
    }

    /// Its exits; or those a second since `before`.
    fn counts(&self, before: Option<&Self>) -> Option<Counts> {
        let (_, counts) = self.seen?;
        let Some(before) = before else { return Some(counts) };
        let ticks = u128::from(self.now.wrapping_sub(before.now).max(1));
        let (_, old) = before.seen?;
        let rate = |n: usize| {
            // Fewer than before: it has begun another life.
            let grown = u128::from(counts[n].1.saturating_sub(old[n].1));
            (counts[n].0, (grown * u128::from(timer::frequency()) / ticks) as u64)
        };
        Some(core::array::from_fn(rate))
    }
}

fn sum(counts: Counts) -> u64 {
    counts.iter().fold(0, |sum, (_, count)| sum.wrapping_add(*count))
}

const VCPU_HEAD: &str = "state       last pCPU            ran         waited  moves  exits/s  PC\n";

/// A line of `vcpu list`, with exits a second.
fn vcpu_line(out: &mut String, vcpu: &Vcpu, now: &Sample, rate: Option<Counts>) {
    let queue = schedule::with(|queue| (queue.account(vcpu.entity), queue.allowed(vcpu.entity)));
    let Some((Ok(account), Ok((last, _)))) = queue else { return };
    let state = format!("{:?}", now.state);
    // Of one that never ran, the run queue has a place to begin with.
    let last = if account.run > 0 { last.to_string() } else { "-".into() };
    let ran = milliseconds(account.run, timer::frequency());
    let waited = milliseconds(account.wait, timer::frequency());
    let rate = rate.map_or("-".into(), |counts| sum(counts).to_string());
    let pc = now.seen.map_or("-".into(), |(pc, _)| format!("{pc:#x}"));
    let _ = write!(out, "{state:<11} {last:<9} {ran:>14} {waited:>14} ");
    let _ = writeln!(out, "{:>6} {rate:>8}  {pc}", account.moves);
}

fn exits_head(out: &mut String) {
    let _ = write!(out, "{:>9}", "all");
    for (kind, _) in Exits::default().kinds() {
        let _ = write!(out, " {kind:>9}");
    }
    out.push('\n');
}

/// A line of `stat`.
fn exits_line(out: &mut String, counts: Option<Counts>) {
    let Some(counts) = counts else { return out.push_str("      off\n") };
    let _ = write!(out, "{:>9}", sum(counts));
    for (kind, count) in counts {
        let _ = write!(out, " {count:>width$}", width = kind.len().max(9));
    }
    out.push('\n');
}

/// What `stat -w` knows beside: how long exits of each kind took since it began.
fn times_lines(out: &mut String, vcpu: &Vcpu) {
    let Some(times) = vcpu.times() else { return };
    let time = |ticks| microseconds(ticks, timer::frequency());
    for ((kind, _), times) in Exits::default().kinds().iter().zip(&times.kinds) {
        let span = times.span();
        if span.count > 0 {
            let (least, mean) = (time(span.least), time(span.mean()));
            let (p99, most) = (time(span.p99), time(span.most));
            let _ = write!(out, "      {kind:<10} {:>8} at EL2: min {least}, ", span.count);
            let _ = writeln!(out, "mean {mean}, p99 {p99}, max {most}");
        }
    }
}
