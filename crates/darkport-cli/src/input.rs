//! Reading what the caller names, and keeping what was seen.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use darkport::model::{LoadError, Observation, bounded, printable};

/// No observation or list is near this, and nothing larger is read into memory.
const LARGEST: u64 = 512 << 20;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("failed to read {0}")]
    Read(String, #[source] io::Error),
    #[error("failed to read {0}: it is larger than 512 MiB, which no observation is")]
    TooLarge(String),
    #[error("failed to read {0}: it is not text (invalid UTF-8 after {1} bytes)")]
    NotText(String, usize),
    #[error("{0}")]
    Load(String, #[source] LoadError),
    #[error("failed to save the observation as {0}")]
    Save(String, #[source] io::Error),
}

/// `-` is standard input, as everywhere.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The whole of a file, or of standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let name = show(path);
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

/// Keeps an observation: readable by its owner only (it holds addresses and command lines), and whole or not at all.
pub(crate) fn save(path: &Path, seen: &Observation) -> Result<(), FileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::Builder::new().prefix(".darkport-").permissions(Permissions::from_mode(0o600)).tempfile_in(parent);
    let kept = written.and_then(|mut file| {
        file.write_all(seen.to_json().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    });
    kept.map(drop).map_err(|error| FileError::Save(show(path), error))
}

/// A path to `path` that stays good in another file tree, together with what it hangs on.
pub(crate) fn pinned(path: &Path) -> Result<(File, PathBuf), FileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(parent).map_err(|error| FileError::Save(show(path), error))?;
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
        std::fs::write(&path, "older").unwrap();
        let mut seen = Observation::default();
        seen.host.name = "virt1012".into();
        save(&path, &seen).unwrap();
        assert_eq!(load(&path).unwrap(), seen);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays");
    }

    #[test]
    fn a_failure_names_the_file() {
        let error = save(Path::new("/nonexistent/seen.json"), &Observation::default()).unwrap_err();
        assert_eq!(error.to_string(), "failed to save the observation as /nonexistent/seen.json");
        assert!(read(Path::new("/nonexistent/\u{1b}x")).unwrap_err().to_string().contains(r"\u{1b}"));
    }
}
