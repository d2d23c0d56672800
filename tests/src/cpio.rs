//! Writes the `newc` archive that the kernel unpacks as its first file system
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// An archive being written.
pub(crate) struct Cpio<W> {
    out: W,
    inode: u32,
}

impl<W: Write> Cpio<W> {
    /// Starts an archive.
    pub(crate) fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    fn entry(&mut self, name: &[u8], mode: u32, data: &[u8], device: (u32, u32)) -> io::Result<()> {
        self.inode += 1;
        let size = u32::try_from(data.len()).map_err(|_| io::Error::other("a file of 4 GiB or more"))?;
        let name_size = u32::try_from(name.len() + 1).map_err(|_| io::Error::other("a name too long"))?;
        self.out.write_all(b"070701")?;
        for field in [self.inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0] {
            write!(self.out, "{field:08X}")?;
        }
        self.out.write_all(name)?;
        self.out.write_all(b"\0")?;
        self.pad(110 + name.len() + 1)?;
        self.out.write_all(data)?;
        self.pad(data.len())
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        let pad = written.wrapping_neg() & 3;
        self.out.write_all(b"\0\0\0".get(..pad).unwrap_or_default())
    }

    /// Adds a directory.
    pub(crate) fn dir(&mut self, name: &str) -> io::Result<()> {
        self.entry(name.as_bytes(), 0o40755, b"", (0, 0))
    }

    /// Adds a regular file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, data: &[u8]) -> io::Result<()> {
        self.entry(name.as_bytes(), 0o100_000 | mode, data, (0, 0))
    }

    /// Adds a character device.
    pub(crate) fn char_device(&mut self, name: &str, mode: u32, device: (u32, u32)) -> io::Result<()> {
        self.entry(name.as_bytes(), 0o20000 | mode, b"", device)
    }

    /// Adds a whole tree, sorted, so that the same tree gives the same archive.
    pub(crate) fn tree(&mut self, root: &Path) -> io::Result<()> {
        self.subtree(root, root)
    }

    fn subtree(&mut self, root: &Path, dir: &Path) -> io::Result<()> {
        let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes().to_vec();
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                let target = fs::read_link(&path)?;
                self.entry(&name, 0o120_777, target.as_os_str().as_bytes(), (0, 0))?;
            } else if kind.is_dir() {
                self.entry(&name, 0o40755, b"", (0, 0))?;
                self.subtree(root, &path)?;
            } else if kind.is_file() {
                use std::os::unix::fs::PermissionsExt;
                let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
                let mode = if executable { 0o100_755 } else { 0o100_644 };
                self.entry(&name, mode, &fs::read(&path)?, (0, 0))?;
            }
        }
        Ok(())
    }

    /// Writes the trailer and hands the output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.entry(b"TRAILER!!!", 0, b"", (0, 0))?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_padding_follow_newc() {
        let mut cpio = Cpio::new(Vec::new());
        cpio.entry(b"a", 0o40755, b"", (0, 0)).unwrap();
        cpio.file("a/b", 0o644, b"hello").unwrap();
        let bytes = cpio.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.starts_with(b"0707010000000100"));
        // 110 bytes of header, "a\0", no padding needed: 112.
        assert_eq!(&bytes[112..118], b"070701");
        // mode of the file, third field of its header.
        assert_eq!(&bytes[112 + 14..112 + 22], b"000081A4");
    }
}
