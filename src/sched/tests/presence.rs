use super::super::Presence;

#[test]
fn news_for_a_pcpu_at_el2_need_no_interrupt() {
    let presence = Presence::new();
    assert!(!presence.post(1));
    assert!(!presence.enter(), "it stays and looks");
    assert_eq!(presence.take_attention(), 1);
    assert!(presence.enter());
}

#[test]
fn news_for_a_pcpu_in_a_guest_or_asleep_need_one_interrupt() {
    let presence = Presence::new();
    for depart in [Presence::enter, Presence::sleep] {
        assert!(depart(&presence));
        assert!(presence.post(2));
        assert!(!presence.post(4), "one is on its way");
        presence.leave();
        assert_eq!(presence.take_attention(), 6);
    }
}

#[test]
fn a_waiter_waits_for_the_guest_that_it_saw_only() {
    let presence = Presence::new();
    let at_el2 = presence.snapshot();
    assert!(presence.enter());
    assert!(presence.is_out_or_moved(at_el2), "it entered after the change");
    let in_guest = presence.snapshot();
    assert!(!presence.is_out_or_moved(in_guest));
    presence.leave();
    assert!(presence.is_out_or_moved(in_guest));
    assert!(presence.enter());
    assert!(presence.is_out_or_moved(in_guest), "another stay in the guest");
    presence.leave();
    assert!(presence.sleep());
    assert!(presence.is_out_or_moved(presence.snapshot()), "asleep is not in a guest");
}
