//! Models of what runs concurrently in Mezzanine, checked under every interleaving.
//!
//! * [`presence`]: the lock-free kick, `mezzanine::sched::Presence` itself over loom's atomics.
//!   loom tries every order that the memory model allows, so the barriers are checked too.
//! * [`scheduler`]: the real `mezzanine::sched::RunQueue` under its lock, with pCPUs that do what
//!   the hypervisor's run loop does, devices that post interrupts and an operator that stops,
//!   holds and moves vCPUs. stateright visits every state that can be reached.
//! * [`ending`]: the power states, the life cycle and the run queue, with vCPUs that switch each other
//!   on and off while one of them ends the VM or starts it anew.
//! * [`pausing`]: a VM's life cycle and the same run queue, with an operator that pauses the VM and
//!   vCPUs that switch each other on meanwhile.
//! * [`settle`]: the real vGIC and the same run queue, with vCPUs that wait for each other to fold
//!   their list registers, and are preempted and paused meanwhile.
//!
//! Of each rule that the code keeps there is also a variant that breaks it, and a test that the
//! checker finds it: a model that can't fail proves nothing.

#[cfg(test)]
mod ending;
#[cfg(test)]
mod pausing;
#[cfg(test)]
mod presence;
#[cfg(test)]
mod scheduler;
#[cfg(test)]
mod settle;
