use super::*;

#[test]
fn a_seed_and_a_number_make_one_stream() {
    let (one, same, other) =
        (Stream::new(1, 7, true), Stream::new(1, 7, true), Stream::new(1, 8, true));
    assert_eq!((one.words(), one.start), (same.words(), same.start));
    assert_ne!(one.words(), other.words());
    assert_ne!(one.words(), Stream::new(2, 7, true).words());
}

#[test]
fn every_class_comes_and_no_stream_is_cut_often() {
    let mut slots = [0; CLASSES.len()];
    let mut full = 0;
    for number in 0..500 {
        let stream = Stream::new(1, number, true);
        slots.iter_mut().zip(stream.slots).for_each(|(sum, count)| *sum += count);
        full += u32::from(stream.words().len() == MAX_WORDS);
        assert!(stream.words().len() > 16);
    }
    assert!(slots.iter().all(|&count| count > 50), "{slots:?}");
    assert_eq!(full, 0);
}

#[test]
fn tame_streams_write_no_register_that_loses_control() {
    // MSR of VBAR_EL1, TTBR0_EL1, TTBR1_EL1, TCR_EL1, MAIR_EL1.
    let losing = [0xd518_c000, 0xd518_2000, 0xd518_2020, 0xd518_2040, 0xd518_a200];
    let writes = |stream: &Stream| stream.words().iter().any(|word| losing.contains(&(word & !31)));
    let streams: Vec<Stream> = (0..20_000).map(|number| Stream::new(3, number, true)).collect();
    let tame = |stream: &&Stream| !stream.wild;
    assert_eq!(streams.iter().filter(tame).filter(|stream| writes(stream)).count(), 0);
    assert!(streams.iter().filter(|stream| stream.wild && writes(stream)).count() > 0);
}

#[test]
fn constants_are_what_they_say() {
    let mut stream = Stream::new(1, 1, true);
    for value in [0, 1, !0, 0xffff, 1 << 63, 0x1234_0000_5678_0000, !0xffff, 0xffff_ffff] {
        stream.length = 0;
        stream.set(3, value);
        // As the CPU does it.
        let mut register = 0;
        for word in stream.words() {
            let (at, part) = (16 * (word >> 21 & 3), u64::from(word >> 5 & 0xffff));
            register = match word >> 23 {
                0x1a5 => part << at,
                0x125 => !(part << at),
                _ => register & !(0xffff << at) | part << at,
            };
        }
        assert_eq!(register, value);
    }
}
