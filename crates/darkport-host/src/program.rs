//! A program of the host's that tells what the kernel tells by no file: run for a bounded time, and read to a bounded length.

use std::io::{self, Read as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What `name` prints. It is looked for in the system's own directories only, and runs with an empty environment.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] where there is no such program; [`io::ErrorKind::TimedOut`] when it takes longer than `patience`; that it printed more than
/// `most` bytes, or how it ended when it failed.
pub(crate) fn run(name: &str, arguments: &[&str], patience: Duration, most: u64) -> io::Result<String> {
    let mut child = start(name, arguments)?;
    let output = child.stdout.take();
    // Read beside the waiting: what does not fit into the pipe would hold it up.
    let reading = thread::Builder::new().name("reading".into()).spawn(move || {
        let mut said = Vec::new();
        let read = output.map_or(Ok(0), |output| output.take(most.saturating_add(1)).read_to_end(&mut said));
        read.map(|_| said)
    })?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if begun.elapsed() > patience => {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{name} took more than {patience:?}")));
            }
            None => thread::sleep(Duration::from_millis(1)),
        }
    };
    let said = reading.join().map_err(|_| io::Error::other("the reading stopped by a fault in darkport itself"))??;
    if u64::try_from(said.len()).unwrap_or(u64::MAX) > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} printed more than {most} bytes")));
    }
    if !status.success() {
        return Err(io::Error::other(format!("{name} {} ended with {status}", arguments.join(" "))));
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn start(name: &str, arguments: &[&str]) -> io::Result<Child> {
    let mut last = io::ErrorKind::NotFound.into();
    for directory in ["/usr/sbin", "/sbin", "/usr/bin"] {
        let started = Command::new(format!("{directory}/{name}"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .env_clear()
            .spawn();
        match started {
            Err(error) if error.kind() == io::ErrorKind::NotFound => last = error,
            other => return other,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_it_prints_is_bounded_in_time_and_length() {
        assert_eq!(run("printf", &["%s", "a b"], LONG, 100).unwrap(), "a b");
        assert_eq!(run("sleep", &["10"], Duration::from_millis(20), 100).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(run("head", &["-c", "200000", "/dev/zero"], LONG, 100_000).unwrap_err().to_string().contains("more than 100000"));
        assert_eq!(run("no-such-program", &[], LONG, 100).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(run("false", &[], LONG, 100).unwrap_err().to_string().contains("ended with"));
    }
}
