use super::*;

fn answer(bits: u64, width: u64) -> [u64; 4] {
    Trng::new([7; 32]).answer(bits, width)
}

#[test]
fn so_many_bits_as_were_asked_for_may_be_set() {
    for each in [32, 64] {
        for bits in (1..=3 * each).step_by(if cfg!(miri) { 29 } else { 1 }) {
            let mut trng = Trng::new([1; 32]);
            // Any bit is set sooner or later.
            let seen = (0..if cfg!(miri) { 30 } else { 200 })
                .map(|_| trng.answer(bits, each))
                .reduce(|a, b| core::array::from_fn(|n| a[n] | b[n]));
            let Some([x0, x1, x2, x3]) = seen else { panic!() };
            let ones = |count: u64| if count == 0 { 0 } else { u64::MAX >> (64 - count) };
            let part = |from: u64| ones(bits.saturating_sub(from).min(each));
            assert_eq!([x0, x3, x2, x1], [0, part(0), part(each), part(2 * each)], "{bits}");
        }
    }
}

#[test]
fn too_many_bits_and_none_are_refused() {
    for (bits, width) in [(0, 32), (97, 32), (0, 64), (193, 64)] {
        assert_eq!(answer(bits, width), [code::INVALID_PARAMETERS, 0, 0, 0]);
    }
    assert_eq!(answer(u64::MAX, 64)[0], code::INVALID_PARAMETERS);
}

#[test]
fn streams_differ_and_a_stream_does_not_repeat() {
    let mut one = Trng::new([1; 32]);
    let mut fork = one.fork();
    let mut numbers = std::collections::BTreeSet::<u64>::new();
    for _ in 0..if cfg!(miri) { 5 } else { 100 } {
        numbers.extend(&one.answer(192, 64)[1..]);
        numbers.extend(&fork.answer(192, 64)[1..]);
    }
    assert_eq!(numbers.len(), if cfg!(miri) { 30 } else { 600 });
    assert_ne!(Trng::new([2; 32]).answer(64, 64), Trng::new([1; 32]).answer(64, 64));
}

/// RFC 8439, A.1, test vector 1: the key stream of the key 0, nonce 0.
#[test]
fn it_is_chacha20() {
    let mut bytes = [0; 8];
    Trng::new([0; 32]).fill(&mut bytes);
    assert_eq!(bytes, [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
}
