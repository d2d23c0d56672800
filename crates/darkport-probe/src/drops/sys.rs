//! The system calls that watch a tracepoint: `unsafe` code, as in `socket/sys.rs`.
//!
//! Each function is safe to call with any arguments of its types. The kernel writes into a mapping that [`Ring`] owns; positions that it
//! tells are cut to that mapping before they are used.

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_SAMPLE_RAW: u64 = 1 << 10;
const DISABLED: u64 = 1;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
/// Where `struct perf_event_mmap_page` has `data_head`; `data_tail` follows it.
const HEAD: usize = 1024;
const TAIL: usize = 1032;

const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
/// `MOUNT_ATTR_RDONLY | NOSUID | NODEV | NOEXEC`.
const READ_ONLY: libc::c_uint = 0xf;

/// `struct perf_event_attr` in its first version, which every kernel takes (linux, `include/uapi/linux/perf_event.h`,
/// `PERF_ATTR_SIZE_VER0`).
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint_kind: u32,
    breakpoint: u64,
}

fn check(result: libc::c_long) -> io::Result<libc::c_int> {
    libc::c_int::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(io::Error::last_os_error)
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just given this descriptor to us and to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The tracepoint `id` on one processor, for all that runs there, not counting yet. It lives as long as the descriptor.
pub(super) fn open(id: u64, cpu: u32) -> io::Result<OwnedFd> {
    let cpu = libc::c_int::try_from(cpu).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    let attributes = Attributes {
        kind: PERF_TYPE_TRACEPOINT,
        size: u32::try_from(size_of::<Attributes>()).unwrap_or_default(),
        config: id,
        sample_period: 1,
        sample_type: PERF_SAMPLE_RAW,
        read_format: 0,
        flags: DISABLED,
        wakeup: 0,
        breakpoint_kind: 0,
        breakpoint: 0,
    };
    // SAFETY: `attributes` is live and as long as it says; the kernel only reads it (and writes its own size into it when it is too long,
    // which the first version never is).
    let result = unsafe { libc::syscall(libc::SYS_perf_event_open, ptr::from_ref(&attributes), -1, cpu, -1, PERF_FLAG_FD_CLOEXEC) };
    owned(result)
}

/// Has the kernel record only what fits the filter.
pub(super) fn filter(event: &OwnedFd, filter: &CStr) -> io::Result<()> {
    let request = nix::request_code_write!(b'$', 6, size_of::<*const libc::c_char>());
    // SAFETY: the pointer is to a live string that ends with a zero; the kernel copies it.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), request, filter.as_ptr()) };
    check(result.into()).map(drop)
}

/// Begins to record.
pub(super) fn enable(event: &OwnedFd) -> io::Result<()> {
    let request = nix::request_code_none!(b'$', 0);
    // SAFETY: takes no pointer.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), request, 0) };
    check(result.into()).map(drop)
}

/// The tracing file system, mounted nowhere: it goes with the descriptor. From Linux 5.2 on.
pub(super) fn detached_tracefs() -> io::Result<OwnedFd> {
    // SAFETY: the pointer is to a live string that ends with a zero; the kernel only reads it.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"tracefs".as_ptr(), FSOPEN_CLOEXEC) })?;
    let none: *const libc::c_char = ptr::null();
    // SAFETY: this command takes neither key nor value, so that both pointers have to be null.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, none, none, 0) })?;
    // SAFETY: takes no pointers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, READ_ONLY) })
}

/// The memory that the kernel records an event into.
pub(super) struct Ring {
    base: NonNull<u8>,
    page: usize,
    data: usize,
    tail: u64,
}

// SAFETY: the mapping belongs to the process, not to a thread, and `Ring` is its only user on this side.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps room for records, a power of two of pages.
    pub(super) fn map(event: &OwnedFd, pages: usize) -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let data = pages.saturating_mul(page);
        // SAFETY: a new mapping where the kernel likes, over no memory of ours.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                page.saturating_add(data),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                event.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(base.cast::<u8>()) {
            Some(base) if base.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { base, page, data, tail: 0 }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn position(&self, at: usize) -> &AtomicU64 {
        // SAFETY: `at` is one of the two positions in the first page of the mapping, which lives as long as `self`.
        let place = unsafe { self.base.as_ptr().add(at) };
        // SAFETY: the page begins at a page's boundary, so that the place is aligned; kernel and program touch it atomically only.
        unsafe { AtomicU64::from_ptr(place.cast()) }
    }

    /// Appends what was recorded since the last call, and gives the room back to the kernel.
    pub(super) fn drain(&mut self, into: &mut Vec<u8>) {
        let head = self.position(HEAD).load(Ordering::Acquire);
        let length = usize::try_from(head.wrapping_sub(self.tail)).unwrap_or(usize::MAX);
        if length <= self.data && self.data > 0 {
            let from = usize::try_from(self.tail % self.data as u64).unwrap_or_default();
            let first = length.min(self.data - from);
            for (from, length) in [(from, first), (0, length - first)] {
                // SAFETY: the data follow the first page in the mapping, and `from` is within them.
                let begin = unsafe { self.base.as_ptr().add(self.page + from) };
                // SAFETY: `from + length` is at most `data`; the kernel does not write there before the tail is moved.
                let piece = unsafe { std::slice::from_raw_parts(begin, length) };
                into.extend_from_slice(piece);
            }
        }
        self.tail = head;
        self.position(TAIL).store(head, Ordering::Release);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, and nothing points into it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.page.saturating_add(self.data)) };
    }
}
