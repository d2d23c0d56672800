//! Reading what the caller names, and keeping what was seen.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use darkport::model::{LoadError, Observation, bounded, printable};
use darkport::probe::Capture;

/// No observation or list is near this, and nothing larger is read into memory.
const LARGEST: u64 = 512 << 20;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("failed to read {0}")]
    Read(String, #[source] io::Error),
    #[error("failed to read {0}: it is no regular file: use --from - and pipe it in")]
    NoFile(String),
    #[error("failed to read {0}: it is larger than 512 MiB, which no observation is")]
    TooLarge(String),
    #[error("failed to read {0}: it is not text (invalid UTF-8 after {1} bytes)")]
    NotText(String, usize),
    #[error("{0}")]
    Load(String, #[source] LoadError),
    #[error("failed to save the observation as {0}")]
    Save(String, #[source] io::Error),
    #[error("failed to save the frames as {0}")]
    SaveFrames(String, #[source] io::Error),
}

impl FileError {
    /// The reason alone, where the name is told already.
    pub(crate) fn why(&self) -> String {
        std::error::Error::source(self).map_or_else(|| self.to_string(), ToString::to_string)
    }
}

/// `-` is standard input, as everywhere.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The whole of a regular file, or of standard input for `-`: a pipe at a path would be waited for, perhaps for ever.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let name = show(path);
    if !is_stdin(path) && fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(FileError::NoFile(name));
    }
    let mut bytes = Vec::new();
    let result = if is_stdin(path) {
        io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    match result {
        Err(error) => Err(FileError::Read(name, error)),
        Ok(read) if read as u64 > LARGEST => Err(FileError::TooLarge(name)),
        Ok(_) => Ok(bytes),
    }
}

/// An observation that was saved.
pub(crate) fn load(path: &Path) -> Result<Observation, FileError> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| FileError::NotText(show(path), error.valid_up_to()))?;
    Observation::from_json(text).map_err(|error| FileError::Load(show(path), error))
}

/// Keeps an observation: readable by its owner only (it holds addresses and command lines), and whole or not at all. What is there and
/// is no regular file stays what it is: a pipe or a device is written into, and a link keeps leading to what is replaced.
pub(crate) fn save(path: &Path, seen: &Observation) -> Result<(), FileError> {
    write(path, seen.to_json().as_bytes()).map_err(|error| FileError::Save(show(path), error))
}

/// Keeps the frames of the probes as a pcapng file, in the same manner.
pub(crate) fn save_frames(path: &Path, frames: &Capture) -> Result<(), FileError> {
    write(path, &frames.to_pcapng()).map_err(|error| FileError::SaveFrames(show(path), error))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match target(path)? {
        Target::Stream => stream(path, bytes),
        Target::File(path) => replace(&path, bytes),
    }
}

/// Where the bytes go.
enum Target {
    /// A regular file, or none yet, at this path, which is no link.
    File(PathBuf),
    /// A pipe or a character device.
    Stream,
}

fn target(path: &Path) -> io::Result<Target> {
    // The kernel follows links first: where it forbids that (fs.protected_symlinks), they are not followed here either.
    match fs::metadata(path) {
        Ok(found) => {
            let kind = found.file_type();
            if kind.is_fifo() || kind.is_char_device() {
                return Ok(Target::Stream);
            }
            if kind.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if !kind.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a disk or a socket, and would be destroyed"));
            }
        }
        // A link may lead to a file that is still to be made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // The kernel follows 40 links at most (path_resolution(7)), which it has just done.
    let mut path = path.to_owned();
    for _ in 0..40 {
        let Ok(link) = fs::read_link(&path) else { break };
        path = folder(&path).join(link);
    }
    Ok(Target::File(path))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".darkport-").permissions(Permissions::from_mode(0o600)).tempfile_in(folder(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn stream(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A pipe that nobody reads is an error (ENXIO, fifo(7)), where opening it plainly would wait for ever.
    let _reader_is_there = OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    OpenOptions::new().write(true).open(path)?.write_all(bytes)
}

/// The directory of a path.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A path to `path` that stays good in another file tree, together with what it hangs on.
pub(crate) fn pinned(path: &Path) -> Result<(File, PathBuf), FileError> {
    // A link would lead elsewhere in the other tree.
    let path = &match target(path).map_err(|error| FileError::Save(show(path), error))? {
        Target::File(path) => path,
        Target::Stream => path.to_owned(),
    };
    let folder = File::open(folder(path)).map_err(|error| FileError::Save(show(path), error))?;
    let held = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let name = path.file_name().ok_or_else(|| FileError::Save(show(path), io::ErrorKind::IsADirectory.into()))?;
    Ok((folder, held.join(name)))
}

/// A path as it may be shown.
pub(crate) fn show(path: &Path) -> String {
    if is_stdin(path) { "standard input".into() } else { bounded(&printable(&PathBuf::from(path).to_string_lossy()), 200) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_private_whole_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.json");
        fs::write(&path, "older").unwrap();
        let mut seen = Observation::default();
        seen.host.name = "virt1012".into();
        save(&path, &seen).unwrap();
        assert_eq!(load(&path).unwrap(), seen);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays");
    }

    #[test]
    fn what_is_no_regular_file_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let seen = Observation::default();
        let is_link = |name: &str| fs::symlink_metadata(at(name)).unwrap().is_symlink();

        fs::write(at("file"), "older").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::os::unix::fs::symlink(at("link"), at("link-to-link")).unwrap();
        save(&at("link-to-link"), &seen).unwrap();
        assert!(is_link("link") && is_link("link-to-link"));
        assert_eq!(load(&at("file")).unwrap(), seen);
        std::os::unix::fs::symlink("new", at("dangling")).unwrap();
        save(&at("dangling"), &seen).unwrap();
        assert!(is_link("dangling") && fs::symlink_metadata(at("new")).unwrap().is_file());
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        assert!(save(&at("loop"), &seen).is_err() && is_link("loop"));

        assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        assert!(matches!(save(&at("fifo"), &seen), Err(FileError::Save(..))), "nobody reads it");
        let path = at("fifo");
        let reader = std::thread::spawn(move || fs::read(path).unwrap());
        let begun = std::time::Instant::now();
        while save(&at("fifo"), &seen).is_err() {
            assert!(begun.elapsed().as_secs() < 10, "the reader has come");
            std::thread::yield_now();
        }
        assert_eq!(reader.join().unwrap(), seen.to_json().as_bytes());
        assert!(fs::symlink_metadata(at("fifo")).unwrap().file_type().is_fifo());

        save(Path::new("/dev/null"), &seen).unwrap();
        assert!(fs::symlink_metadata("/dev/null").unwrap().file_type().is_char_device());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for kept in [at("socket"), folder.path().to_owned()] {
            assert!(save(&kept, &seen).is_err(), "{}", kept.display());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().flatten().filter(|entry| entry.file_name() != "new").count(), 7);
    }

    #[test]
    fn frames_are_kept_as_privately() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frames.pcapng");
        save_frames(&path, &Capture::default()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap()[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
        let error = save_frames(Path::new("/nonexistent/frames"), &Capture::default()).unwrap_err();
        assert_eq!(error.to_string(), "failed to save the frames as /nonexistent/frames");
    }

    #[test]
    fn a_failure_names_the_file() {
        let error = save(Path::new("/nonexistent/seen.json"), &Observation::default()).unwrap_err();
        assert_eq!(error.to_string(), "failed to save the observation as /nonexistent/seen.json");
        assert!(read(Path::new("/nonexistent/\u{1b}x")).unwrap_err().to_string().contains(r"\u{1b}"));
    }
}
