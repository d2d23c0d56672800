//! Two looks at a number, so that a rate comes from now and not from the years since boot.

use serde::{Deserialize, Serialize};

/// One reading, and a second one taken a window later ([`Observation::window_ms`](crate::Observation::window_ms)) where there was one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Sampled<T> {
    /// The first reading.
    pub first: T,
    /// The second reading; none when the observation took only one look, or the thing was gone by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<T>,
}

impl<T> Sampled<T> {
    /// A first reading without a second.
    pub fn once(first: T) -> Self {
        Self { first, last: None }
    }

    /// The newest reading.
    pub fn latest(&self) -> &T {
        self.last.as_ref().unwrap_or(&self.first)
    }

    /// What `read` says of both readings: how far it rose between them. None without a second reading, or where the number fell
    /// (the counter was reset in between, so that neither reading tells a rate).
    pub fn rise(&self, read: impl Fn(&T) -> u64) -> Option<u64> {
        read(self.last.as_ref()?).checked_sub(read(&self.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_second_reading_loads() {
        assert_eq!(serde_json::from_str::<Sampled<u64>>(r#"{"first":3}"#).unwrap(), Sampled::once(3));
    }

    #[test]
    fn a_rise_needs_two_readings_and_no_reset() {
        let mut drops = Sampled::once(7u64);
        assert_eq!(drops.rise(|n| *n), None);
        drops.last = Some(9);
        assert_eq!((drops.rise(|n| *n), *drops.latest()), (Some(2), 9));
        drops.last = Some(0);
        assert_eq!(drops.rise(|n| *n), None);
    }
}
