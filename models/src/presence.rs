//! The kick: a pCPU on its way into a guest, and peers with news for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{self, Relaxed};
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;
use mezzanine::sched::{AtomicWord, Presence};

/// loom's atomic as the protocol's word. `FENCED` false is the known-wrong variant: the same
/// code on a machine that ignores the barriers, as Arm would be without them.
struct Word<const FENCED: bool>(AtomicU64);

impl<const FENCED: bool> AtomicWord for Word<FENCED> {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }
    fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.0.swap(value, order)
    }
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        self.0.fetch_or(bits, order)
    }
    fn fence(order: Ordering) {
        if FENCED {
            fence(order);
        }
    }
}

fn presence<const FENCED: bool>() -> Arc<Presence<Word<FENCED>>> {
    Arc::new(Presence::over(Word(AtomicU64::new(0)), Word(AtomicU64::new(0))))
}

/// Whether loom finds a fault in `model`.
fn finds_fault(model: impl Fn() + Sync + Send + 'static) -> bool {
    catch_unwind(AssertUnwindSafe(|| loom::model(model))).is_err()
}

/// Peers post news and kick while the pCPU enters its guest, where it stays. Afterwards it must
/// have seen each news, or an SGI must be on its way.
fn news_are_noticed<const FENCED: bool, const PEERS: usize>() {
    let presence = presence::<FENCED>();
    let news: Arc<[AtomicU64; PEERS]> = Arc::new(core::array::from_fn(|_| AtomicU64::new(0)));
    let peers: Vec<_> = (0..PEERS)
        .map(|peer| {
            let (presence, news) = (presence.clone(), news.clone());
            thread::spawn(move || {
                news[peer].store(1, Relaxed);
                presence.post(1 << peer)
            })
        })
        .collect();

    let look = |seen: &mut u64| {
        let attention = presence.take_attention();
        for (peer, news) in news.iter().enumerate() {
            if attention & 1 << peer != 0 {
                assert_eq!(news.load(Relaxed), 1, "attention without the news behind it");
            }
        }
        *seen |= attention;
    };
    let mut seen = 0;
    look(&mut seen);
    while !presence.enter() {
        look(&mut seen);
    }
    let interrupts = peers.into_iter().map(|peer| peer.join().unwrap());
    let interrupts = interrupts.filter(|&sgi| sgi).count();
    assert!(seen == (1 << PEERS) - 1 || interrupts > 0, "news that nobody will look at");
    presence.leave();
    look(&mut seen);
    assert_eq!(seen, (1 << PEERS) - 1);
}

/// A pCPU enters its guest twice, which uses a page if it finds it mapped; a peer unmaps the
/// page, waits, and writes to it. loom's cell reports an access that is not ordered.
fn the_page_is_free<const FENCED: bool, const WAITS: bool>() {
    let presence = presence::<FENCED>();
    let mapped = Arc::new(AtomicU64::new(1));
    let page = Arc::new(UnsafeCell::new(0u64));
    let peer = {
        let (presence, mapped, page) = (presence.clone(), mapped.clone(), page.clone());
        thread::spawn(move || {
            mapped.store(0, Relaxed);
            let snapshot = presence.snapshot();
            while WAITS && !presence.is_out_or_moved(snapshot) {
                thread::yield_now();
            }
            page.with_mut(|page| {
                // SAFETY: nobody else has the page any more; that this is so is what loom checks,
                // and it stops here, before the access, where it is not.
                unsafe { *page = 1 };
            });
        })
    };
    for _ in 0..2 {
        assert!(presence.enter(), "nobody posts here");
        if mapped.load(Relaxed) == 1 {
            page.with(|page| {
                // SAFETY: as above: loom stops at an access that races with the peer's.
                assert_eq!(unsafe { *page }, 0, "the page was used again while mapped");
            });
        }
        presence.leave();
    }
    peer.join().unwrap();
}

/// Two pCPUs come from their guests, and each waits until the other can't use an old mapping.
fn two_waiters_do_not_deadlock() {
    let pcpus = [presence::<true>(), presence::<true>()];
    let work = |own: Arc<Presence<Word<true>>>, other: Arc<Presence<Word<true>>>| {
        assert!(own.enter());
        own.leave();
        let snapshot = other.snapshot();
        while !other.is_out_or_moved(snapshot) {
            thread::yield_now();
        }
    };
    let [a, b] = pcpus;
    let second = thread::spawn({
        let (a, b) = (a.clone(), b.clone());
        move || work(b, a)
    });
    work(a, b);
    second.join().unwrap();
}

#[test]
fn no_news_are_missed() {
    loom::model(news_are_noticed::<true, 1>);
}

/// Three threads have too many interleavings to try all; those with at most this many switches
/// away from a thread that could go on are tried, which is where faults are known to be found.
#[test]
fn no_news_of_two_peers_are_missed() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(news_are_noticed::<true, 2>);
}

#[test]
fn without_barriers_news_are_missed() {
    assert!(finds_fault(news_are_noticed::<false, 1>));
}

#[test]
fn an_unmapped_page_is_out_of_use_after_the_wait() {
    loom::model(the_page_is_free::<true, true>);
}

#[test]
fn without_barriers_it_may_be_in_use() {
    assert!(finds_fault(the_page_is_free::<false, true>));
}

#[test]
fn without_the_wait_it_may_be_in_use() {
    assert!(finds_fault(the_page_is_free::<true, false>));
}

#[test]
fn pcpus_that_wait_for_each_other_go_on() {
    loom::model(two_waiters_do_not_deadlock);
}

/// The known-wrong variant in which the peer looks where the pCPU is *before* it sets the
/// attention bit: with any memory model the pCPU may enter its guest in between.
#[test]
fn looking_before_posting_is_found() {
    assert!(finds_fault(|| {
        let presence = presence::<true>();
        let peer = {
            let presence = presence.clone();
            thread::spawn(move || {
                let at_el2 = presence.is_out_or_moved(presence.snapshot());
                let _ = presence.post(1);
                !at_el2
            })
        };
        let mut seen = presence.take_attention();
        while !presence.enter() {
            seen |= presence.take_attention();
        }
        let sgi = peer.join().unwrap();
        assert!(seen != 0 || sgi);
    }));
}
