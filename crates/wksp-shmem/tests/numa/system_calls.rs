//! System calls that neither the standard library nor nix has, for tests.
//!
//! # Safety
//!
//! Every pointer that is handed to the kernel leads to memory of this module's own that outlives the
//! call and has as many elements as the call is told. Addresses whose page is asked for are numbers:
//! the kernel looks at its own tables, and at no bytes there.
#![expect(unsafe_code, reason = "system calls that have no safe form; see above")]

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::null;

use libc::{c_int, c_long, c_ulong, c_void};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// As of numaif.h: the answer is a node, and it is about an address.
const MPOL_F_NODE: c_ulong = 1;
const MPOL_F_ADDR: c_ulong = 2;
/// Enough bits for all nodes that any kernel has.
const SET_WORDS: usize = 64;

/// What decides where the calling thread's new pages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ThreadPolicy {
    pub(crate) mode: c_int,
    pub(crate) nodes: Vec<c_ulong>,
}

impl ThreadPolicy {
    pub(crate) fn new(mode: c_int, node: Option<u32>) -> Self {
        let mut nodes = vec![0; SET_WORDS];
        if let Some(node) = node {
            nodes[node as usize / 64] |= 1 << (node % 64);
        }
        Self { mode, nodes }
    }

    /// That of the calling thread.
    pub(crate) fn current() -> io::Result<Self> {
        let mut mode: c_int = 0;
        let mut nodes = vec![0; SET_WORDS];
        // SAFETY: both arrays outlive the call, and the set has as many bits as it says.
        let said = unsafe {
            libc::syscall(
                libc::SYS_get_mempolicy,
                &raw mut mode,
                nodes.as_mut_ptr(),
                SET_WORDS * 64,
                null::<c_void>(),
                0 as c_ulong,
            )
        };
        checked(said).map(|()| Self { mode, nodes })
    }

    /// Makes it that of the calling thread.
    pub(crate) fn set(&self) -> io::Result<()> {
        let is_empty = self.nodes.iter().all(|word| *word == 0);
        let nodes = if is_empty { null() } else { self.nodes.as_ptr() };
        let bits = if is_empty { 0 } else { SET_WORDS * 64 };
        // SAFETY: the set outlives the call and has as many bits as it says.
        checked(unsafe {
            libc::syscall(libc::SYS_set_mempolicy, c_long::from(self.mode), nodes, bits)
        })
    }
}

/// The node of the page at an address, one page at a time.
pub(crate) fn node_of(address: usize) -> io::Result<u32> {
    let mut node: c_int = -1;
    // SAFETY: the kernel writes one number, which outlives the call, and no set.
    let said = unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            &raw mut node,
            null::<c_ulong>(),
            0 as c_ulong,
            address,
            MPOL_F_NODE | MPOL_F_ADDR,
        )
    };
    checked(said)?;
    u32::try_from(node).map_err(io::Error::other)
}

/// Asks the kernel to put pages out to swap space; they keep what is in them.
pub(crate) fn page_out(address: usize, bytes: usize) -> io::Result<()> {
    // SAFETY: there is no pointer, and no byte that anyone can read changes.
    checked(unsafe {
        libc::syscall(libc::SYS_madvise, address, bytes, c_long::from(libc::MADV_PAGEOUT))
    })
}

/// Makes system calls of this process fail: those that are named, and `madvise` with that advice.
pub(crate) fn forbid(calls: &[c_long], errno: c_int, advice: Option<c_int>) {
    let number = |call: c_long| u32::try_from(call).unwrap();
    let refusal = libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap();
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let jump = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let mut filter = vec![instruction(load, 0, 0, 0)];
    for call in calls {
        filter.push(instruction(jump, 0, 1, number(*call)));
        filter.push(instruction(answer, 0, 0, refusal));
    }
    if let Some(advice) = advice {
        filter.push(instruction(jump, 0, 3, number(libc::SYS_madvise)));
        // The third argument, as of seccomp_data.
        filter.push(instruction(load, 0, 0, 32));
        filter.push(instruction(jump, 0, 1, u32::try_from(advice).unwrap()));
        let unknown = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EINVAL).unwrap();
        filter.push(instruction(answer, 0, 0, unknown));
    }
    filter.push(instruction(answer, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: takes numbers only.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(set, 0);
    // SAFETY: the program outlives the call, which copies it. All threads are to obey it.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

fn instruction(code: u32, if_true: u8, if_false: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: if_true, jf: if_false, k: operand }
}

/// Pages that a file of a hugetlbfs was promised and does not have: mapped, and never touched.
pub(crate) struct Promise {
    address: std::ptr::NonNull<c_void>,
    bytes: NonZeroUsize,
}

impl Promise {
    pub(crate) fn new(file: &File, bytes: NonZeroUsize) -> io::Result<Self> {
        let rw = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory at a place of the kernel's choice overlaps nothing.
        let address = unsafe { mmap(None, bytes, rw, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self { address, bytes })
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // SAFETY: nobody was ever given the address.
        unsafe { munmap(self.address, self.bytes.get()) }.unwrap();
    }
}

fn checked(said: c_long) -> io::Result<()> {
    if said == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
