//! Bounded reading of files and directories: what cannot be read becomes a gap.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use darkport_model::{Gap, GapReason, Source};

use crate::bounds::{MAX_FILE, MAX_FILES};

/// The bytes of a file, or the gap that it leaves; none when there is no such file.
pub(crate) fn read(path: &Path, source: Source) -> Result<Option<Vec<u8>>, Gap> {
    let what = path.to_string_lossy();
    let failed = |error: &io::Error| Gap::from_io(source, what.clone(), error);
    match fs::metadata(path) {
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(failed(&error)),
        // Opening a pipe that somebody left among the files would wait for its writer.
        Ok(found) if !found.is_file() => {
            return Err(Gap::new(source, what.clone(), GapReason::Malformed, "found something that is no file, expected a file"));
        }
        Ok(_) => {}
    }
    match read_at_most(path, MAX_FILE) {
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failed(&error)),
        Ok(bytes) if bytes.len() > MAX_FILE => {
            Err(Gap::new(source, what.clone(), GapReason::TooLarge, format!("larger than {} MiB: not read", MAX_FILE >> 20)))
        }
        Ok(bytes) => Ok(Some(bytes)),
    }
}

/// Whether a path is surely not there (any more).
pub(crate) fn is_gone(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| is_absent(&error))
}

/// At most `max` bytes of a file, and one more when it has more.
pub(crate) fn read_at_most(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The files of a directory whose names end in one of `endings`, sorted; none when there is no such directory.
pub(crate) fn list(dir: &Path, endings: &[&str], source: Source, gaps: &mut Vec<Gap>) -> Option<Vec<PathBuf>> {
    let what = dir.to_string_lossy();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return None,
        Err(error) => {
            gaps.push(Gap::from_io(source, what, &error));
            return None;
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => {
                let path = entry.path();
                let wanted = endings.iter().any(|ending| entry.file_name().as_encoded_bytes().ends_with(ending.as_bytes()));
                if wanted && files.len() < MAX_FILES {
                    files.push(path);
                } else if wanted {
                    gaps.push(Gap::new(source, what, GapReason::TooLarge, format!("more than {MAX_FILES} files: the rest was not read")));
                    break;
                }
            }
            Err(error) => {
                gaps.push(Gap::from_io(source, what, &error));
                break;
            }
        }
    }
    files.sort();
    Some(files)
}

/// Whether it is not there; a parent that is no directory holds no file either.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Puts the many gaps that one missing right leaves in a directory together into one.
pub(crate) fn fold(gaps: Vec<Gap>, into: &mut Vec<Gap>) {
    let mut kept: Vec<(Gap, usize)> = Vec::new();
    for gap in gaps {
        let alike = |other: &&mut (Gap, usize)| {
            other.0.source == gap.source
                && other.0.reason == GapReason::Permission
                && gap.reason == GapReason::Permission
                && parent(&other.0.what) == parent(&gap.what)
        };
        match kept.iter_mut().find(alike) {
            Some((_, more)) => *more += 1,
            None => kept.push((gap, 0)),
        }
    }
    into.extend(kept.into_iter().map(|(mut gap, more)| {
        if more > 0 {
            gap.what = format!("{} and {more} more there", gap.what);
        }
        gap
    }));
}

/// The directory of a path; of `/proc/812/fdinfo` and the like `/proc`, since each process has its own.
fn parent(what: &str) -> &str {
    match what.strip_suffix("/fdinfo").and_then(|process| process.rsplit_once('/')) {
        Some((proc, _)) => proc,
        None => what.rsplit_once('/').map_or("", |(dir, _)| dir),
    }
}
