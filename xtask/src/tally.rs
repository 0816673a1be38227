//! Counting tests by what the test harness prints.

/// What the test harness said, all test binaries together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed; before [`settle`](Self::settle) also those that skipped themselves.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that were not run, each with the reason.
    pub(crate) skipped: Vec<String>,
    /// Why the run as a whole failed, if it did.
    pub(crate) fault: Option<String>,
}

/// What a line about a skipped test begins with, as the test kit prints it.
const SKIPPED: &str = "SKIPPED: ";

impl Tally {
    /// Takes one line into account.
    pub(crate) fn observe(&mut self, line: &str) {
        if let Some(summary) = line.strip_prefix("test result: ") {
            self.passed = self.passed.saturating_add(number_before(summary, " passed"));
            self.failed = self.failed.saturating_add(number_before(summary, " failed"));
        } else if let Some(at) = line.find(SKIPPED) {
            self.skipped.extend(line.get(at.saturating_add(SKIPPED.len())..).map(str::to_owned));
        }
    }

    /// Adds what another one has counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped.extend(other.skipped);
        if let Some(fault) = other.fault {
            self.blame(fault);
        }
    }

    /// Says that the run failed, if nothing has said so before.
    pub(crate) fn blame(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    /// Takes the tests that skipped themselves out of those that passed, once all is observed.
    pub(crate) fn settle(&mut self) {
        let skipped = u64::try_from(self.skipped.len()).unwrap_or(u64::MAX);
        self.passed = self.passed.saturating_sub(skipped);
    }

    /// Whether there was no test at all.
    pub(crate) const fn is_empty(&self) -> bool {
        self.passed == 0 && self.failed == 0 && self.skipped.is_empty()
    }
}

/// The number that stands before `unit` in a summary of the harness, 0 if there is none.
fn number_before(summary: &str, unit: &str) -> u64 {
    let Some((before, _)) = summary.split_once(unit) else { return 0 };
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_add_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            tally.observe(line);
        }
        assert_eq!((tally.passed, tally.failed), (13, 2));
        assert_eq!(tally.skipped, [""; 0]);
    }

    #[test]
    fn the_first_of_several_faults_is_kept() {
        let tally = |passed, fault: Option<&str>| Tally {
            passed,
            failed: 1,
            skipped: vec!["x: why".into()],
            fault: fault.map(str::to_owned),
        };
        let mut sum = tally(1, None);
        sum.add(tally(2, Some("first")));
        sum.add(tally(3, Some("second")));
        assert_eq!((sum.passed, sum.failed, sum.skipped.len()), (6, 3, 3));
        assert_eq!(sum.fault.as_deref(), Some("first"));
    }

    #[test]
    fn a_test_that_skipped_itself_has_not_passed() {
        let mut tally = Tally::default();
        tally.observe("test x ... SKIPPED: x: no huge pages here");
        tally.observe("test result: ok. 2 passed; 0 failed; 0 ignored");
        tally.settle();
        assert_eq!(tally.skipped, ["x: no huge pages here"]);
        assert_eq!(tally.passed, 1);
    }
}
