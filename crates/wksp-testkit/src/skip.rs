//! Skipping a test for want of something the machine lacks, in a way that cannot go unnoticed.

use std::fmt::Display;
use std::io::Write;
use std::thread;

/// What a line about a skipped test begins with; `cargo xtask ci` counts such lines.
pub const PREFIX: &str = "SKIPPED: ";

/// Says on standard output that the current test is skipped, and why.
///
/// The line is printed even though the test passes: the test harness holds back what `println!`
/// prints, but not this.
///
/// # Panics
///
/// If standard output cannot be written to, since the skip would then go unnoticed.
///
/// # Examples
///
/// ```
/// if cfg!(not(target_os = "linux")) {
///     wksp_testkit::skip::skip("needs Linux");
///     return;
/// }
/// ```
pub fn skip(reason: impl Display) {
    let current = thread::current();
    let test = current.name().unwrap_or("a test");
    // The harness may be in the middle of a line. One write, so that no other line gets between.
    let line = format!("\n{PREFIX}{test}: {reason}\n");
    if let Err(error) = std::io::stdout().write_all(line.as_bytes()) {
        panic!("cannot say that {test} is skipped: {error}");
    }
}
