//! Records what a program allocates and frees, loaded into it by `LD_PRELOAD`.
//!
//! It stands in for the allocation functions of the GNU C library, calls what they are other names
//! for, and appends 24 bytes for each call to the file `$WKSP_RECORD.PID`: the address, the bytes
//! asked for or 0 if it was freed, and the alignment, as three little-endian words.
//! Each record is one `write`, so threads do not mix theirs, and a process that is killed loses none.
//!
//! # Safety
//!
//! 1. The functions that stand in have the names and signatures of the C standard and of POSIX, and
//!    their callers keep to those; what they pass on is what they were given.
//! 2. The functions called are those of the GNU C library, which exports them for this.
//! 3. Nothing here allocates, so no call comes back here: the name of the file is put together on the
//!    stack.
#![expect(unsafe_code, reason = "the allocation functions of C; see the paragraph above")]

use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_char, c_int, c_void, size_t};

// SAFETY: obligation 2; the signatures are those of the functions that these are other names of.
unsafe extern "C" {
    fn __libc_malloc(bytes: size_t) -> *mut c_void;
    fn __libc_calloc(count: size_t, bytes: size_t) -> *mut c_void;
    fn __libc_realloc(old: *mut c_void, bytes: size_t) -> *mut c_void;
    fn __libc_memalign(align: size_t, bytes: size_t) -> *mut c_void;
    fn __libc_free(old: *mut c_void);
}

/// The alignment that the GNU C library gives unasked, on 64-bit machines.
const ALIGN: size_t = 16;
/// Not opened yet.
const UNKNOWN: c_int = -1;
/// There is nowhere to write to.
const NOWHERE: c_int = -2;
/// The descriptor of the file.
static FILE: AtomicI32 = AtomicI32::new(UNKNOWN);

/// Stands in for `malloc`.
///
/// # Safety
///
/// That of `malloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(bytes: size_t) -> *mut c_void {
    // SAFETY: obligations 1 and 2.
    let new = unsafe { __libc_malloc(bytes) };
    allocated(new, bytes, ALIGN);
    new
}

/// Stands in for `calloc`.
///
/// # Safety
///
/// That of `calloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(count: size_t, bytes: size_t) -> *mut c_void {
    // SAFETY: obligations 1 and 2.
    let new = unsafe { __libc_calloc(count, bytes) };
    allocated(new, count.saturating_mul(bytes), ALIGN);
    new
}

/// Stands in for `realloc`.
///
/// # Safety
///
/// That of `realloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(old: *mut c_void, bytes: size_t) -> *mut c_void {
    // SAFETY: obligations 1 and 2.
    let new = unsafe { __libc_realloc(old, bytes) };
    if !new.is_null() || bytes == 0 {
        freed(old);
    }
    allocated(new, bytes, ALIGN);
    new
}

/// Stands in for `posix_memalign`.
///
/// # Safety
///
/// That of `posix_memalign`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    to: *mut *mut c_void,
    align: size_t,
    bytes: size_t,
) -> c_int {
    // SAFETY: obligations 1 and 2.
    let new = unsafe { __libc_memalign(align, bytes) };
    if new.is_null() {
        return libc::ENOMEM;
    }
    allocated(new, bytes, align);
    // SAFETY: obligation 1: there is room for the address.
    unsafe { to.write(new) };
    0
}

/// Stands in for `aligned_alloc`.
///
/// # Safety
///
/// That of `aligned_alloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aligned_alloc(align: size_t, bytes: size_t) -> *mut c_void {
    // SAFETY: obligations 1 and 2.
    let new = unsafe { __libc_memalign(align, bytes) };
    allocated(new, bytes, align);
    new
}

/// Stands in for `free`.
///
/// # Safety
///
/// That of `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(old: *mut c_void) {
    freed(old);
    // SAFETY: obligations 1 and 2.
    unsafe { __libc_free(old) };
}

fn allocated(at: *mut c_void, bytes: size_t, align: size_t) {
    if !at.is_null() {
        // What has no bytes has an address as well.
        append([at.addr() as u64, bytes.max(1) as u64, align as u64]);
    }
}

fn freed(at: *mut c_void) {
    if !at.is_null() {
        append([at.addr() as u64, 0, 0]);
    }
}

fn append(record: [u64; 3]) {
    let record = record.map(u64::to_le_bytes);
    let file = match FILE.load(Ordering::Relaxed) {
        UNKNOWN => open(),
        file => file,
    };
    if file >= 0 {
        // SAFETY: the record is as long as it says. If it cannot be written, it is missing.
        let _ = unsafe { libc::write(file, record.as_ptr().cast(), size_of_val(&record)) };
    }
}

/// Opens the file of this process, once.
fn open() -> c_int {
    let mut path = [0_u8; 4096];
    let file = match name(&mut path) {
        // SAFETY: the name ends with a zero.
        Some(()) => unsafe {
            libc::open(
                path.as_ptr().cast::<c_char>(),
                libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC,
                0o600,
            )
        },
        None => NOWHERE,
    };
    let file = if file < 0 { NOWHERE } else { file };
    // Of two threads that open it at the same time both may write to their own descriptor.
    FILE.store(file, Ordering::Relaxed);
    file
}

/// Puts the name of the file together, `None` if there is none or it is too long.
fn name(path: &mut [u8; 4096]) -> Option<()> {
    // SAFETY: the name of the variable ends with a zero. What is found is read at once; a program
    // that changes its environment in another thread meanwhile breaks the rules of C by itself.
    let prefix = unsafe { libc::getenv(c"WKSP_RECORD".as_ptr()) };
    if prefix.is_null() {
        return None;
    }
    // SAFETY: the value of a variable ends with a zero.
    let prefix = unsafe { std::ffi::CStr::from_ptr(prefix) }.to_bytes();
    let mut digits = [0_u8; 10];
    let mut pid = std::process::id();
    let mut first = digits.len();
    while pid > 0 {
        first = first.checked_sub(1)?;
        *digits.get_mut(first)? = b'0'.checked_add(u8::try_from(pid % 10).ok()?)?;
        pid /= 10;
    }
    let bytes = prefix.iter().chain(b".").chain(digits.get(first..)?);
    let mut room = path.iter_mut();
    for byte in bytes {
        *room.next()? = *byte;
    }
    // The rest is zeros.
    room.next().map(drop)
}
