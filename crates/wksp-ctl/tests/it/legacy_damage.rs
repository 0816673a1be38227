//! Damage as `fd_wksp_ctl` shows it, and what no damage may do.

use std::fs;

use wksp_testkit::golden::available;

use crate::bench::{Bench, noise};
use crate::legacy::Legacy;
use crate::machine::near;

/// Offsets of the layout.
const PART_HEAD: usize = 88;
const PART_TAIL: usize = 92;
const OWNER: usize = 112;
const RECORDS: usize = 128;
const RECORD_BYTES: usize = 64;
const LO: usize = 0;
const HI: usize = 8;
const PREV: usize = 28;
const NEXT: usize = 32;

/// A lock word that no process can have.
const NO_PROCESS: u64 = 0x3FFF_FF00;
const NIL: u32 = u32::MAX;

/// A row of `query`.
#[derive(Clone)]
struct Row {
    lo: u64,
    hi: u64,
    tag: u64,
    index: usize,
    marks: &'static str,
}

impl Row {
    /// Where a field of its record is.
    fn at(&self, field: usize) -> usize {
        RECORDS + self.index * RECORD_BYTES + field
    }

    fn line(&self) -> String {
        let Self { lo, hi, tag, index, marks } = self;
        let bytes = hi.wrapping_sub(*lo);
        format!(
            "\tpartition [{lo:#018x},{hi:#018x}) sz {bytes:>20} tag {tag:>20} idx {index}{marks}\n"
        )
    }
}

/// A workspace with four partitions: free, used, used, free.
struct Four {
    bench: Bench,
    wksp: Legacy,
    head: String,
    rows: [Row; 4],
}

impl Four {
    fn new() -> Self {
        let bench = Bench::new();
        let wksp = Legacy::wksp(&bench);
        wksp.ok(&format!("new demo 1024 normal {} 0600", near().1));
        // The first byte of the data is at no multiple of a page.
        wksp.ok("tag 5 alloc demo 4096 4096 tag 6 alloc demo 4096 100");
        let query = wksp.ok("query demo");
        let (head, _) = query.split_once("\tpartition").unwrap();
        let number = |text: &str| {
            let text = text.trim_matches(|c| "[),".contains(c));
            match text.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
                None => text.parse().unwrap(),
            }
        };
        let rows = query.lines().filter(|line| line.starts_with("\tpartition"));
        let rows: Vec<Row> = rows
            .map(|line| {
                let words: Vec<&str> =
                    line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
                Row {
                    lo: number(words[1]),
                    hi: number(words[2]),
                    tag: number(words[6]),
                    index: words[8].parse().unwrap(),
                    marks: "",
                }
            })
            .collect();
        let tags: Vec<u64> = rows.iter().map(|row| row.tag).collect();
        assert_eq!(tags, [0, 5, 6, 0]);
        let head = head.to_owned();
        let rows = rows.try_into().unwrap_or_else(|_| panic!("{query}"));
        Self { bench, wksp, head, rows }
    }

    /// What `query` has to say of these rows.
    fn expected(&self, rows: &[Row], errors: u64) -> String {
        let sum = |what: &str, is_used: bool| {
            let sizes =
                rows.iter().filter(|row| (row.tag != 0) == is_used && !row.marks.contains("size"));
            let sizes: Vec<u64> = sizes.map(|row| row.hi - row.lo).collect();
            let (bytes, largest) = (sizes.iter().sum::<u64>(), sizes.iter().max().unwrap_or(&0));
            format!(
                "\t{bytes:>20} bytes {what} ({:>20} blocks, largest {largest:>20} bytes)\n",
                sizes.len()
            )
        };
        let lines: String = rows.iter().map(Row::line).collect();
        let totals = sum("used", true) + &sum("free", false);
        format!("{}{lines}{totals}\t{errors:>20} errors detected\n", self.head)
    }

    /// Does damage, compares, and mends it.
    fn check(&self, at: usize, bytes: &[u8], rows: &[Row], errors: u64) {
        let before = fs::read(self.bench.region("demo")).unwrap();
        self.bench.patch("demo", at, bytes);
        self.wksp.says("query demo", 0, &self.expected(rows, errors));
        self.wksp.fails("verify demo");
        fs::write(self.bench.region("demo"), before).unwrap();
        self.wksp.says("query demo verify demo", 0, &self.expected(&self.rows, 0));
    }

    /// The rows with marks.
    fn marked<const N: usize>(&self, marks: [(usize, &'static str); N]) -> Vec<Row> {
        let mut rows = self.rows.to_vec();
        for (at, marks) in marks {
            rows[at].marks = marks;
        }
        rows
    }
}

#[test]
fn a_link_that_leads_elsewhere_is_marked() {
    let four = Four::new();
    let index = |at: usize| u32::try_from(four.rows[at].index).unwrap();
    for at in 0..4 {
        let wrong = if at == 0 { index(3) } else { NIL };
        let rows = four.marked([(at, ", link_err")]);
        four.check(four.rows[at].at(PREV), &wrong.to_le_bytes(), &rows, 1);
    }
    let rows = four.marked([(3, ", link_err")]);
    four.check(PART_TAIL, &index(0).to_le_bytes(), &rows, 1);
    // Behind this nobody knows what comes.
    let rows = four.marked([(1, ", link_err, adjacent_err")]);
    for wrong in [index(0), index(1), NIL, NIL - 1, 1 << 20] {
        four.check(four.rows[1].at(NEXT), &wrong.to_le_bytes(), &rows[..2], 2);
    }
    let rows = four.marked([(2, ", link_err")]);
    let skipped: Vec<Row> = [rows[0].clone(), rows[2].clone(), rows[3].clone()].to_vec();
    let mut skipped = skipped;
    skipped[1].marks = ", link_err, adjacent_err";
    four.check(four.rows[0].at(NEXT), &index(2).to_le_bytes(), &skipped, 2);
    // A list without a beginning has no rows.
    for wrong in [NIL, NIL - 1] {
        four.check(PART_HEAD, &wrong.to_le_bytes(), &[], 1);
    }
}

#[test]
fn a_gap_or_an_overlap_is_marked() {
    let four = Four::new();
    for by in [1_u64, u64::MAX] {
        let mut rows = four.marked([(2, ", adjacent_err")]);
        rows[1].hi = rows[1].hi.wrapping_add(by);
        four.check(four.rows[1].at(HI), &rows[1].hi.to_le_bytes(), &rows, 1);
    }
    let mut rows = four.marked([(0, ", adjacent_err")]);
    rows[0].lo += 1;
    four.check(four.rows[0].at(LO), &rows[0].lo.to_le_bytes(), &rows, 1);
    let mut rows = four.marked([(3, ", adjacent_err")]);
    rows[3].hi -= 1;
    four.check(four.rows[3].at(HI), &rows[3].hi.to_le_bytes(), &rows, 1);
}

#[test]
fn a_range_that_cannot_be_is_marked_and_not_counted() {
    let four = Four::new();
    for hi in [four.rows[1].lo, 0, u64::MAX] {
        let mut rows = four.marked([(1, ", size_err"), (2, ", adjacent_err")]);
        rows[1].hi = hi;
        four.check(four.rows[1].at(HI), &hi.to_le_bytes(), &rows, 2);
    }
    let mut rows = four.marked([(0, ", adjacent_err, size_err")]);
    rows[0].lo = 0;
    four.check(four.rows[0].at(LO), &0_u64.to_le_bytes(), &rows, 2);
}

#[test]
fn what_a_dead_holder_left_is_recovered_first() {
    let four = Four::new();
    four.bench.patch("demo", OWNER, &NO_PROCESS.to_le_bytes());
    four.bench.patch("demo", four.rows[1].at(NEXT), &NIL.to_le_bytes());
    // Looking at it alone changes nothing.
    four.wksp.fails("verify demo");
    for _ in 0..2 {
        let shown = four.wksp.line("query demo");
        assert_eq!(shown.code, Some(0), "{shown:?}");
        assert!(shown.text().ends_with("\t                   0 errors detected\n"), "{shown:?}");
    }
    assert_eq!(four.wksp.ok("check demo verify demo"), "");
}

#[test]
fn what_cannot_be_recovered_is_shown_and_can_be_reset() {
    let four = Four::new();
    let mut rows = four.marked([(2, ", adjacent_err")]);
    rows[2].lo -= 1;
    four.bench.patch("demo", four.rows[2].at(LO), &rows[2].lo.to_le_bytes());
    four.bench.patch("demo", OWNER, &NO_PROCESS.to_le_bytes());
    for line in [
        "check demo",
        "verify demo",
        "rebuild demo -",
        "alloc demo 1 1",
        "checkpt demo /nowhere/x 0600 0 x",
        "restore demo /nowhere/x -",
    ] {
        four.wksp.fails(line);
    }
    four.wksp.shrugs("info demo 5", "");
    four.wksp.shrugs("usage demo 5", "-\n");
    four.wksp.shrugs("tag-free demo 5", "");
    let address = format!("demo:{}", four.rows[1].lo);
    four.wksp.shrugs(&format!("tag-query {address}"), "0\n");
    four.wksp.shrugs(&format!("free {address}"), "");
    four.wksp.shrugs(&format!("memset {address} 1"), "");
    let shown = four.wksp.line("query demo");
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(
        shown.text().contains(&rows[2].line().replace(rows[2].marks, "").trim_end().to_owned())
    );
    assert_eq!(four.wksp.ok("reset demo check demo verify demo info demo 5"), "- 0\n");
}

#[test]
fn golden_images_are_listed_and_torn_ones_recovered() {
    let Some(golden) = available() else { return };
    for case in golden.at_rest().chain(golden.torn()) {
        let bench = Bench::new();
        let wksp = Legacy::wksp(&bench);
        fs::write(bench.region(&case.name), golden.image(case)).unwrap();
        let name = &case.name;
        let ran = wksp.line(&format!("query {name}"));
        assert_eq!(ran.code, Some(0), "{}: {ran:?}", case.case);
        let text = ran.text();
        assert!(
            text.ends_with("\t                   0 errors detected\n"),
            "{}: {text}",
            case.case
        );
        let allocations = case.allocations.iter().map(|one| {
            format!(
                "\tpartition [{:#018x},{:#018x}) sz {:>20} tag {:>20} ",
                one.lo,
                one.hi,
                one.hi - one.lo,
                one.tag
            )
        });
        let used = text.lines().filter(|line| {
            line.starts_with("\tpartition") && !line.contains(" tag                    0 ")
        });
        let used: Vec<&str> = used.collect();
        assert_eq!(used.len(), case.allocations.len(), "{}", case.case);
        for (line, start) in used.iter().zip(allocations) {
            assert!(line.starts_with(&start), "{}: {line}", case.case);
        }
        assert_eq!(wksp.ok(&format!("check {name} verify {name}")), "");
    }
}

#[test]
fn random_bytes_never_do_more_than_fail() {
    let golden = Four::new();
    let image = fs::read(golden.bench.region("demo")).unwrap();
    let end = golden.rows[0].at(LO).max(golden.rows[3].at(LO)) + RECORD_BYTES;
    for round in 0..24 {
        let mut damaged = image.clone();
        let random = noise(1000 + round);
        // A few bytes of header or records, all of the records, or all there is.
        match round % 3 {
            0 => {
                for pair in random.chunks(3).take(6) {
                    let at = 8 + (usize::from(pair[0]) * 256 + usize::from(pair[1])) % (end - 8);
                    damaged[at] = pair[2];
                }
            }
            1 => damaged[RECORDS..RECORDS + 900].copy_from_slice(&random[..900]),
            _ => damaged[8..900].copy_from_slice(&random[..892]),
        }
        // The lock stays free: one who is waited for is another test's.
        damaged[OWNER..OWNER + 8].fill(0xFF);
        for line in [
            "query demo",
            "usage demo 5 info demo 6 tag-query demo:70000",
            "verify demo",
            "alloc demo 1 1",
            "rebuild demo -",
            "tag-free demo 5",
            "reset demo",
        ] {
            fs::write(golden.bench.region("demo"), &damaged).unwrap();
            let ran = golden.wksp.line(line);
            assert!([Some(0), Some(1)].contains(&ran.code), "{round} {line}: {ran:?}");
            assert!(!ran.stderr.contains("panic"), "{round} {line}: {ran:?}");
        }
    }
}
