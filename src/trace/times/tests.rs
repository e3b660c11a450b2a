use super::{BUCKETS, Span, Times, bucket, end};

#[test]
fn every_length_is_in_the_bucket_that_ends_at_or_behind_it() {
    let mut before = 0;
    let many = if cfg!(miri) { 500 } else { 100_000 };
    for ticks in (0..many).chain((17..37).flat_map(|power| [(1 << power) - 1, 1 << power])) {
        let at = bucket(ticks);
        assert!(at >= before, "{ticks}");
        assert!(ticks <= end(at), "{ticks} in bucket {at}, which ends at {}", end(at));
        assert!(at == 0 || ticks > end(at - 1), "{ticks} is in bucket {at}");
        assert!(end(at) - ticks <= ticks / 4, "{ticks}: the bucket ends at {}", end(at));
        before = at;
    }
    assert_eq!(bucket(u64::MAX), BUCKETS - 1);
}

#[test]
fn nothing_yet() {
    assert_eq!(Times::default().span(), Span::default());
    assert_eq!(Span::default().mean(), 0);
}

#[test]
fn a_hundred_lengths() {
    let times = Times::default();
    (1..=100).for_each(|ticks| times.add(ticks * 1000));
    let span = times.span();
    assert_eq!((span.count, span.sum, span.least, span.most), (100, 5_050_000, 1000, 100_000));
    assert_eq!(span.mean(), 50_500);
    assert!((99_000..=100_000).contains(&span.p99), "{span:?}");
    times.add(10_000_000);
    let span = times.span();
    assert_eq!(span.most, 10_000_000);
    assert!(span.p99 < 130_000, "one of 101 is not among 99 of 100: {span:?}");
    times.clear();
    assert_eq!(times.span(), Span::default());
}
