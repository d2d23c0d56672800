//! How much is read of what others wrote. Everything here is far beyond what a host has, and keeps an observation finite.

/// Characters kept of a name, a cell, a value.
pub(crate) const MAX_TEXT: usize = 4096;
/// Characters of bad input shown in an error.
pub(crate) const MAX_FOUND: usize = 64;
/// Bytes of one XML or configuration file.
pub(crate) const MAX_FILE: usize = 8 << 20;
/// Files of one directory.
pub(crate) const MAX_FILES: usize = 10_000;
/// Elements, texts and comments of one XML file.
pub(crate) const MAX_XML_NODES: u32 = 1 << 20;
/// Bytes of one control plane list.
pub(crate) const MAX_CLAIMS: usize = 64 << 20;
/// Rows of one control plane list.
pub(crate) const MAX_ROWS: usize = 200_000;
/// Errors after which the rest of a file is not read: it is not what it was taken for.
pub(crate) const MAX_ERRORS: usize = 100;
/// Network interfaces of one instance; QEMU and libvirt end well below.
pub(crate) const MAX_NICS: usize = 256;
/// Descriptors of one process that are looked through for a tap.
pub(crate) const MAX_DESCRIPTORS: usize = 4096;

/// `text` without the white space around it and within the bound.
pub(crate) fn text(text: &str) -> String {
    darkport_model::bounded(text.trim(), MAX_TEXT)
}
