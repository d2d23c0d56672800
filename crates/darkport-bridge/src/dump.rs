//! Dumps that are tried again while they come out torn, and told as gaps when they fail.

use std::io;
use std::time::Instant;

use darkport_model::{Gap, GapReason, Source};
use nix::libc::{EACCES, EAFNOSUPPORT, ENODEV, EOPNOTSUPP, EPERM};

use crate::decode::Tables;
use crate::request::Request;
use crate::socket::{Ended, Failure, Socket};

pub(crate) struct Dumper {
    pub(crate) socket: Socket,
    /// How often a torn dump is read anew.
    pub(crate) retries: u32,
}

impl Dumper {
    /// Reads a dump. None when it failed; what is missing or not to be relied on goes to `gaps`.
    pub(crate) fn read(&mut self, source: Source, what: &str, request: &Request, until: Instant, gaps: &mut Vec<Gap>) -> Option<Tables> {
        let begun = Instant::now();
        let mut tries = 0;
        let (tables, ended) = loop {
            let mut tables = Tables::default();
            let ended = self.socket.dump(request, until, |message| match message {
                Ok(message) => tables.take(&message),
                Err(error) => tables.undecodable(error),
            });
            match ended {
                Ok(Ended::Torn) if tries < self.retries => tries += 1,
                Ok(ended) => break (tables, ended),
                Err(failure) => {
                    gaps.push(failure.gap(source, what));
                    return None;
                }
            }
        };
        tracing::debug!(what, tries, ?ended, elapsed = ?begun.elapsed(), "netlink dump");
        gaps.extend(tables.gaps(source, what));
        if ended == Ended::Torn {
            let why = format!("it changed while it was read, {} times in a row, so it may not hold together", tries + 1);
            gaps.push(Gap::new(source, what, GapReason::Torn, why));
        }
        Some(tables)
    }
}

impl Failure {
    /// This failure as a fact.
    pub(crate) fn gap(&self, source: Source, what: &str) -> Gap {
        match self {
            Self::Deadline => Gap::new(source, what, GapReason::Deadline, "the deadline came first"),
            Self::Socket(error) => Gap::new(source, what, reason(error), format!("the netlink socket failed: {error}")),
            Self::Refused { error, why: None } => Gap::new(source, what, reason(error), error.to_string()),
            Self::Refused { error, why: Some(why) } => Gap::new(source, what, reason(error), format!("{error} ({why})")),
        }
    }
}

fn reason(error: &io::Error) -> GapReason {
    match error.raw_os_error() {
        Some(EPERM | EACCES) => GapReason::Permission,
        // ENODEV: the bridge that was asked about is gone by now.
        Some(EOPNOTSUPP | EAFNOSUPPORT | ENODEV) => GapReason::Absent,
        _ => GapReason::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_more_rights_would_mend() {
        let refused = |errno| Failure::Refused { error: io::Error::from_raw_os_error(errno), why: None }.gap(Source::Fdb, "br0").reason;
        assert_eq!(refused(EPERM), GapReason::Permission);
        assert_eq!(refused(EOPNOTSUPP), GapReason::Absent);
        assert_eq!(refused(22), GapReason::Failed);
    }
}
