//! A fixture is one text: `==> PATH` above each file's content, `==> PATH/` for an empty directory, `==> PATH -> TARGET` for a link.

use std::path::{Path, PathBuf};

use darkport_host::HostReader;

/// An unpacked tree, gone when dropped.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    /// Unpacks a fixture.
    pub(crate) fn unpack(fixture: &str) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for part in fixture.split("\n==> ").skip(1) {
            let (head, content) = part.split_once('\n').unwrap_or((part, ""));
            if let Some((link, target)) = head.split_once(" -> ") {
                std::os::unix::fs::symlink(target, tree.room_for(link)).unwrap();
            } else if head.ends_with('/') {
                std::fs::create_dir_all(tree.path(head)).unwrap();
            } else {
                tree.write(head, &format!("{}\n", content.trim_end_matches('\n')));
            }
        }
        tree
    }

    /// Writes one file; `\0` stands for a NUL, and a command line has no line end.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let content = content.replace("\\0", "\0");
        let content = if path.ends_with("cmdline") { content.trim_end_matches('\n') } else { &content };
        std::fs::write(self.room_for(path), content).unwrap();
    }

    /// Removes a file or a directory.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }

    /// Where something lies.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(path)
    }

    /// A reader of it.
    pub(crate) fn reader(&self) -> HostReader {
        HostReader::new().proc(self.path("proc")).sys(self.path("sys"))
    }

    fn room_for(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
}
