//! The rules themselves, one function each.

use std::collections::BTreeMap;

use super::Finding;
use super::source::{Source, has_word};

/// The lines that a Rust file may have.
const LINES_MAX: usize = 600;

/// The files that may contain `unsafe`: one more needs a reason that reviewers agree with.
const UNSAFE_FILES: &[&str] = &[
    "crates/wksp-checkpt/src/lz4.rs",
    "crates/wksp-checkpt/src/shared.rs",
    "crates/wksp-checkpt/tests/memory.rs",
    "crates/wksp-core/src/memory.rs",
    "crates/wksp-shmem/src/death_mark.rs",
    "crates/wksp-shmem/src/incarnation.rs",
    "crates/wksp-shmem/src/lease.rs",
    "crates/wksp-shmem/src/mapping.rs",
    "crates/wksp-shmem/src/numa_calls.rs",
    "crates/wksp-shmem/tests/it/foreign.rs",
    "crates/wksp-shmem/tests/it/fork.rs",
    "crates/wksp-shmem/tests/it/handler.rs",
    "crates/wksp-shmem/tests/it/robust_mutex.rs",
    "crates/wksp-shmem/tests/numa/system_calls.rs",
    "crates/wksp-shmem/tests/processes/quiet.rs",
    "xtask/no-std-proof/src/main.rs",
    "xtask/recorder/src/lib.rs",
];

/// Names of modules that say nothing of what is in them.
const EMPTY_NAMES: [&str; 4] = ["prelude", "utils", "common", "misc"];

/// The macros of what is not finished, or was left behind when it was.
const LEFTOVERS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// The macros that print.
const PRINTERS: [&str; 4] = ["println", "eprintln", "print", "eprint"];

/// The feature that only tests and the demonstration may enable.
const CRASH_POINTS: &str = "crash-points";

/// Returns all findings of all rules.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        findings.extend(leftovers(source));
        findings.extend(unsafe_code(source));
        findings.extend(length(source));
        findings.extend(name(source));
        findings.extend(printing(source));
        findings.extend(silent_skips(source));
        findings.extend(example(source));
    }
    findings.extend(stale_list(sources));
    findings.extend(byte_tables(sources));
    findings.extend(sources.iter().filter_map(crash_points));
    findings
}

fn finding(source: &Source, line: usize, what: impl Into<String>) -> Finding {
    Finding { path: source.path.clone(), line, what: what.into() }
}

/// Whether `code` calls one of the `macros`, and which.
fn called<'a>(code: &str, macros: &[&'a str]) -> Option<&'a str> {
    macros.iter().copied().find(|name| has_word(code, name) && code.contains(&format!("{name}!")))
}

/// Nothing is left unfinished, and no test is ignored.
fn leftovers(source: &Source) -> Vec<Finding> {
    let lines = source.code().filter_map(|(line, code)| {
        let left = called(&code, &LEFTOVERS).map(|name| format!("{name}! left behind"));
        let ignored =
            code.contains("#[ignore").then(|| "an ignored test: skip it aloud".to_owned());
        Some(finding(source, line, left.or(ignored)?))
    });
    lines.collect()
}

/// `unsafe` stands in a handful of files, each of which says in a paragraph why it may.
fn unsafe_code(source: &Source) -> Vec<Finding> {
    let Some((line, _)) = source.code().find(|(_, code)| has_word(code, "unsafe")) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if !UNSAFE_FILES.contains(&source.path.as_str()) {
        findings.push(finding(source, line, "unsafe in a file that is not listed for it"));
    }
    if !source.is_test() && !source.head().contains("# Safety") {
        findings.push(finding(source, 0, "unsafe without a Safety paragraph at the top"));
    }
    let in_workspace = !source.path.starts_with("xtask/no-std-proof/");
    if in_workspace && !source.text.contains("[expect(unsafe_code, reason") {
        findings.push(finding(source, 0, "unsafe is not expected with a reason"));
    }
    findings
}

/// What is listed for `unsafe` is there and needs it.
fn stale_list(sources: &[Source]) -> Vec<Finding> {
    let needed = |path: &str| {
        sources.iter().any(|source| {
            source.path == path && source.code().any(|(_, code)| has_word(&code, "unsafe"))
        })
    };
    let stale = UNSAFE_FILES.iter().filter(|path| !needed(path));
    let what = "listed for unsafe, but has none";
    stale.map(|path| Finding { path: (*path).to_owned(), line: 0, what: what.to_owned() }).collect()
}

/// A file beyond some length is asking to be two.
fn length(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    (lines > LINES_MAX).then(|| finding(source, 0, format!("{lines} lines, {LINES_MAX} at most")))
}

/// The name of a file or module says what is in it.
fn name(source: &Source) -> Option<Finding> {
    let mut parts = source.path.trim_end_matches(".rs").split('/');
    let empty = parts.find(|part| EMPTY_NAMES.contains(part))?;
    Some(finding(source, 0, format!("{empty} is no name for anything in particular")))
}

/// A library returns what it has to say.
fn printing(source: &Source) -> Vec<Finding> {
    let library = source.path.starts_with("crates/wksp-") && source.path.contains("/src/");
    if !library || source.is_test() || source.path.starts_with("crates/wksp-ctl/") {
        return Vec::new();
    }
    let lines = source.code().filter_map(|(line, code)| {
        let printer = called(&code, &PRINTERS)?;
        Some(finding(source, line, format!("a library that prints with {printer}!")))
    });
    lines.collect()
}

/// A test that cannot run says so where it is seen: what it prints, the harness holds back.
fn silent_skips(source: &Source) -> Vec<Finding> {
    if source.path.starts_with("xtask/") || source.path.starts_with("crates/wksp-testkit/src/") {
        return Vec::new();
    }
    let in_golden_module = source.path.contains("/golden/") || source.path.ends_with("/golden.rs");
    let lines = (1..).zip(source.text.lines()).filter_map(|(line, text)| {
        let what = if text.contains("golden::require(") && !in_golden_module {
            "fails without golden files: use golden::available, or stand in a module golden"
        } else if text.contains("\"SKIPPED") {
            "a skip that nobody sees: use wksp_testkit::skip"
        } else {
            return None;
        };
        Some(finding(source, line, what))
    });
    lines.collect()
}

/// The documentation of each library opens with an example.
fn example(source: &Source) -> Option<Finding> {
    let library = source.path.starts_with("crates/") && source.path.ends_with("/src/lib.rs");
    let lacking = library && !source.head().contains("//! ```");
    lacking.then(|| finding(source, 0, "a library without an example at the top"))
}

/// A byte table stands once.
fn byte_tables(sources: &[Source]) -> Vec<Finding> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.path.ends_with(".md")) {
        for (line, text) in (1..).zip(source.text.lines()) {
            let Some(row) = field_row(text) else { continue };
            let home = seen.entry(row).or_insert(&source.path);
            if *home != source.path {
                let what = format!("a row of a byte table that has its home in {home}");
                findings.push(finding(source, line, what));
            }
        }
    }
    findings
}

/// Offset, size and name of a field, if a line of Markdown is its row in a byte table.
fn field_row(line: &str) -> Option<String> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let (offset, size, name) = (cells.next()?, cells.next()?, cells.next()?);
    let (offset, size): (u64, u64) = (offset.parse().ok()?, size.parse().ok()?);
    Some(format!("{offset} {size} {}", name.trim_matches('`')))
}

/// No crate that ships asks for the hooks of the crash tests.
fn crash_points(source: &Source) -> Option<Finding> {
    if !source.path.ends_with("Cargo.toml") || source.path.starts_with("xtask/") {
        return None;
    }
    let mut section = "";
    for (number, line) in (1..).zip(source.text.lines()) {
        if line.starts_with('[') {
            section = line;
        }
        // A comment may speak of it, a feature of the same name pass it on, and tests enable it.
        let enables = line.split('#').next().is_some_and(|line| line.contains(CRASH_POINTS))
            && !line.starts_with(CRASH_POINTS);
        if enables && !section.contains("dev-dependencies") {
            return Some(finding(source, number, "crash points in a crate that ships"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(path.to_owned(), text.to_owned())
    }

    /// The findings in one file, without those about files that are not there.
    fn findings(path: &str, text: &str) -> Vec<String> {
        let findings = check(&[source(path, text)]);
        let here = findings.into_iter().filter(|finding| finding.path == path);
        here.map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn clean_files_have_no_findings() {
        let lib = "//! A library.\n//! ```\n//! ```\nfn f() {} // todo!()\n";
        assert_eq!(findings("crates/wksp-x/src/lib.rs", lib), [""; 0]);
    }

    #[test]
    fn each_rule_finds_its_breach() {
        for (path, text, expected) in [
            ("crates/a/src/a.rs", "fn f() { todo!() }", "1: todo! left behind"),
            ("crates/a/src/a.rs", "\n#[ignore]\n", "2: an ignored test"),
            ("crates/a/src/a.rs", "unsafe fn f() {}", "1: unsafe in a file"),
            ("crates/wksp-core/src/memory.rs", "unsafe fn f() {}", "0: unsafe without"),
            ("crates/a/src/a.rs", &"\n".repeat(601), "0: 601 lines"),
            ("crates/a/tests/common/mod.rs", "", "0: common is no name"),
            ("crates/wksp-core/src/a.rs", "println!(\"\");", "1: a library that prints"),
            ("crates/a/tests/a.rs", "golden::require();", "1: fails without"),
            ("crates/a/tests/a.rs", "println!(\"SKIPPED: b\");", "1: a skip that nobody"),
            ("crates/a/src/lib.rs", "//! A.", "0: a library without an example"),
            ("crates/a/Cargo.toml", "[dependencies]\nb = \"crash-points\"", "2: crash points"),
        ] {
            let found = findings(path, text);
            assert!(found.iter().any(|found| found.starts_with(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn tests_may_have_crash_points() {
        let text = "[features]\ncrash-points = [\"b/crash-points\"]\n[dev-dependencies]\nb = \"crash-points\"";
        assert_eq!(findings("crates/a/Cargo.toml", text), [""; 0]);
    }

    #[test]
    fn a_byte_table_has_one_home() {
        let table = "| 0 | 8 | magic | 1 |\n";
        let twice = [source("docs/a.md", table), source("docs/b.md", "| 00 | 8 | `magic` | 2 |")];
        assert_eq!(byte_tables(&twice).len(), 1);
        assert_eq!(byte_tables(&twice[..1]), []);
    }

    #[test]
    fn a_file_that_is_listed_for_unsafe_needs_it() {
        assert_eq!(stale_list(&[]).len(), UNSAFE_FILES.len());
    }
}
