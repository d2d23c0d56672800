//! Standard output and standard error.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

use darkport::model::{ExitCode, bounded, printable};

/// Prints `text`; colours go to terminals only, and not where `NO_COLOR` is set. A reader that went away (`| head -1`) has what it
/// wanted: that is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Says on standard error what failed, why, and what to do next; the exit code is that of no answer.
pub(crate) fn fail(program: &str, error: &dyn Error, next: &str) -> ExitCode {
    let mut text = format!("{program}: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    let mut text = bounded(&printable(&text), 1000);
    if !next.is_empty() {
        let _ = write!(text, "\n{next}");
    }
    // Without standard error there is nobody left to tell.
    let _ = writeln!(anstream::stderr(), "{text}");
    ExitCode::Unknown
}

/// One line on standard error that tells what goes on, where a person watches and it takes a while.
pub(crate) struct Progress {
    begun: Instant,
    slow: bool,
    watched: bool,
    shown: bool,
}

impl Progress {
    /// `slow`: this will take over a second, as far as is known from the start.
    pub(crate) fn new(slow: bool) -> Self {
        Self { begun: Instant::now(), slow, watched: io::stderr().is_terminal(), shown: false }
    }

    pub(crate) fn step(&mut self, what: &str) {
        if self.watched && (self.slow || self.begun.elapsed().as_secs() >= 1) {
            self.shown = true;
            let _ = write!(io::stderr(), "\r\x1b[Kdarkport: {} …", bounded(&printable(what), 60));
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
