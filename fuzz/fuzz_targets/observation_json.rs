//! A saved observation from anywhere: it loads or is refused, it is diagnosed without a panic, and what was loaded is what is saved again.
#![no_main]

use darkport_model::{Observation, Status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(seen) = Observation::from_json(text) else { return };
    let diagnosis = darkport_diagnose::diagnose(&seen);
    assert!(diagnosis.status != Status::Healthy || diagnosis.causes.is_empty(), "healthy with a cause");
    let saved = seen.to_json();
    let Ok(again) = Observation::from_json(&saved) else { panic!("what was saved does not load: {saved}") };
    assert_eq!(again.to_json(), saved, "saving is not stable");
});
