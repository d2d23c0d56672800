//! The observer on the kernel that runs the test: it only looks.
#![allow(clippy::disallowed_methods, reason = "the test measures time and makes a pipe")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use darkport::model::{GapReason, Source};
use darkport::{Namespace, ObserveError, Observer, Reader};

#[test]
fn two_looks_a_window_apart() {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&steps);
    let begun = Instant::now();
    let window = Duration::from_millis(300);
    let seen = Observer::new().window(window).on_progress(move |step| told.lock().unwrap().push(step.to_owned())).observe().unwrap();
    assert!(begun.elapsed() >= window);
    let measured = Duration::from_millis(seen.window_ms.unwrap());
    assert!(measured >= window && measured < begun.elapsed(), "{measured:?}");
    let lo = seen.link_named("lo").unwrap();
    assert!(lo.counters.last.is_some(), "the second look reached the counters");
    assert!(!seen.host.kernel.is_empty());
    assert_eq!(seen.darkport, env!("CARGO_PKG_VERSION"));
    assert_eq!(steps.lock().unwrap().len(), 8, "{steps:?}");
}

#[test]
fn without_a_window_there_is_one_look() {
    let seen = Observer::new().window(Duration::ZERO).observe().unwrap();
    assert_eq!(seen.window_ms, None);
    assert!(seen.links.iter().all(|link| link.counters.last.is_none()));
}

#[test]
fn what_is_not_asked_for_is_a_gap() {
    let seen = Observer::new().readers(&[Reader::Host]).window(Duration::ZERO).observe().unwrap();
    assert!(seen.links.is_empty());
    for source in [Source::Links, Source::Fdb, Source::Instances, Source::Claims] {
        assert!(seen.gaps_in(source).any(|gap| gap.reason == GapReason::NotAsked), "{source:?}");
    }
    assert!(seen.gaps_in(Source::Sysctls).all(|gap| gap.reason != GapReason::NotAsked));
}

#[test]
fn a_reading_that_hangs_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("list");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let begun = Instant::now();
    // Nobody writes into the pipe, so that opening it never returns.
    let seen = Observer::new().claims_file(&pipe).deadline(Duration::from_secs(3)).observe().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(seen.link_named("lo").is_some(), "what was read before is kept");
    for source in [Source::Claims, Source::Links, Source::Host] {
        assert!(seen.gaps_in(source).any(|gap| gap.reason == GapReason::Deadline), "{source:?}: {:?}", seen.gaps);
    }
    assert_eq!(seen.window_ms, None, "there was no second look");
}

#[test]
fn a_window_longer_than_the_deadline_is_cut_short() {
    let begun = Instant::now();
    let seen = Observer::new().window(Duration::from_secs(60)).deadline(Duration::from_secs(4)).observe().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(seen.window_ms.is_some_and(|ms| ms < 4000), "the second look came in time: {:?}", seen.window_ms);
}

#[test]
fn a_namespace_that_is_not_there_is_an_error() {
    let error = Observer::new().namespace(Namespace::Path("/nonexistent/netns".into())).observe().unwrap_err();
    assert!(matches!(error, ObserveError::Namespace { .. }));
    assert_eq!(error.to_string(), "failed to enter the network namespace /nonexistent/netns");
}
