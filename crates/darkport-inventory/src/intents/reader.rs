//! Finds the configuration files and reads them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use darkport_model::{Gap, GapReason, Inventory, Source};

use super::{Configuration, parse_interfaces, parse_networkd, parse_nova_conf};
use crate::bounds::MAX_FILES;
use crate::files;

/// How deep files may ask for further files.
const MAX_DEPTH: usize = 8;

/// Fills in what all configuration files below `root` want.
pub(crate) fn read(root: &Path, into: &mut Inventory, gaps: &mut Vec<Gap>) {
    let mut all = nova(root, gaps);
    ifupdown(root, &mut all, gaps);
    networkd(root, &mut all, gaps);
    gaps.extend(all.errors.iter().map(|error| error.to_gap(Source::Intents)));
    into.isolated = all.isolated_bridges();
    into.intents = all.into_intents();
}

fn nova(root: &Path, gaps: &mut Vec<Gap>) -> Configuration {
    // Both are given to nova-compute by Debian's and Ubuntu's packages, in this order.
    let paths = ["etc/nova/nova.conf", "etc/nova/nova-compute.conf"].map(|path| root.join(path));
    let read = paths.iter().filter_map(|path| Some((path.to_string_lossy().into_owned(), content(path, gaps)?)));
    let files: Vec<(String, Vec<u8>)> = read.collect();
    parse_nova_conf(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))
}

fn ifupdown(root: &Path, all: &mut Configuration, gaps: &mut Vec<Gap>) {
    let mut seen = HashSet::new();
    let mut level = vec![root.join("etc/network/interfaces")];
    for _ in 0..MAX_DEPTH {
        let mut deeper = Vec::new();
        for path in std::mem::take(&mut level) {
            if seen.len() >= MAX_FILES || !seen.insert(path.clone()) {
                continue;
            }
            let Some(bytes) = content(&path, gaps) else { continue };
            let mut read = parse_interfaces(&path.to_string_lossy(), &bytes);
            for source in std::mem::take(&mut read.sources) {
                deeper.extend(expand(root, &path, &source, gaps));
            }
            all.join(read);
        }
        level = deeper;
    }
    if let Some(path) = level.first() {
        let why = format!("asked for by files {MAX_DEPTH} deep: not read");
        gaps.push(Gap::new(Source::Intents, path.to_string_lossy(), GapReason::TooLarge, why));
    }
}

/// The files that a `source` line names.
fn expand(root: &Path, by: &Path, source: &str, gaps: &mut Vec<Gap>) -> Vec<PathBuf> {
    let path = match source.strip_prefix('/') {
        Some(absolute) => root.join(absolute),
        None => by.parent().unwrap_or(root).join(source),
    };
    let has_pattern = |part: &str| part.contains(['*', '?', '[']);
    let (Some(dir), Some(last)) = (path.parent(), path.file_name().and_then(|last| last.to_str())) else { return Vec::new() };
    if has_pattern(&dir.to_string_lossy()) || last.contains('[') {
        gaps.push(Gap::new(Source::Intents, path.to_string_lossy(), GapReason::Failed, "a pattern of a kind that is not followed"));
        return Vec::new();
    }
    if !has_pattern(last) {
        return vec![path];
    }
    let found = files::list(dir, &[""], Source::Intents, gaps).unwrap_or_default();
    let matching = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| matches(last, name));
    found.into_iter().filter(matching).filter(|path| path.is_file()).collect()
}

/// Whether a name fits a pattern of `*` and `?`, as glob(7) has it: a leading dot must be written out.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = name.get(in_name) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                at += 1;
                in_name += 1;
            }
            _ => match star {
                // The last star takes one character more.
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    in_name = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|left| *left == '*')
}

fn networkd(root: &Path, all: &mut Configuration, gaps: &mut Vec<Gap>) {
    // A file hides those of the same name in the directories behind (systemd.network(5)).
    let mut chosen: BTreeMap<String, PathBuf> = BTreeMap::new();
    for dir in ["etc/systemd/network", "run/systemd/network", "usr/lib/systemd/network", "lib/systemd/network"] {
        for path in files::list(&root.join(dir), &[".network", ".netdev"], Source::Intents, gaps).unwrap_or_default() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            chosen.entry(name).or_insert(path);
        }
    }
    for path in chosen.into_values().filter(|path| !is_masked(path)) {
        if let Some(bytes) = content(&path, gaps) {
            all.join(parse_networkd(&path.to_string_lossy(), &bytes));
        }
    }
}

/// A link to /dev/null says that there is no such file.
fn is_masked(path: &Path) -> bool {
    std::fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

fn content(path: &Path, gaps: &mut Vec<Gap>) -> Option<Vec<u8>> {
    files::read(path, Source::Intents).unwrap_or_else(|gap| {
        gaps.push(gap);
        None
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_the_shells() {
        assert!(matches("*", "br0") && matches("*.cfg", "a.b.cfg") && matches("e?h*", "eth1") && matches("a*b*c", "a1b2bc"));
        assert!(!matches("*", ".hidden") && !matches("*.cfg", "a.cfgx") && !matches("?", "") && !matches("a*b", "ac"));
    }
}
