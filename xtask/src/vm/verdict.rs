//! What became of a machine, by what it said until it ended.

use std::process::ExitStatus;

use super::machine::Machine;
use super::programs::{TEST_PROGRAMS, TestProgram};
use crate::tally::Tally;

/// The exit status of `timeout` when it has ended what it ran.
pub(super) const TIMED_OUT: i32 = 124;

/// What a machine has said so far, and what it still has to say.
///
/// It must describe its nodes as they were ordered, and tell of each program how it ended.
/// A line of the latter sort begins with a token that is another one each time, so that nothing but
/// the first process has it to say.
#[derive(Debug)]
pub(super) struct Verdict {
    machine: &'static str,
    token: String,
    tally: Tally,
    /// The lines about nodes that have not been seen.
    undescribed: Vec<String>,
    /// The programs that have not ended.
    unended: Vec<String>,
}

impl Verdict {
    /// Expects what `machine` has to say, and `token` before the end of each program.
    pub(super) fn new(machine: &Machine, token: &str) -> Self {
        Self {
            machine: machine.name,
            token: token.to_owned(),
            tally: Tally::default(),
            undescribed: machine.self_description(),
            unended: TEST_PROGRAMS.iter().map(TestProgram::key).collect(),
        }
    }

    /// Takes one line into account.
    pub(super) fn observe(&mut self, line: &str) {
        self.undescribed.retain(|expected| !line.starts_with(expected));
        let said = line.strip_prefix(&self.token).and_then(|said| said.strip_prefix(' '));
        let said = said.and_then(|said| said.split_once(" ended with "));
        let Some((name, status)) = said else {
            self.tally.observe(line);
            return;
        };
        self.unended.retain(|program| *program != name);
        if status != "0" {
            let machine = self.machine;
            self.tally.blame(format!("{name} ended with {status} in the machine {machine}"));
        }
    }

    /// Returns the tally of all tests, at fault unless all went as it should until QEMU ended.
    pub(super) fn conclude(mut self, status: ExitStatus, seconds_max: u64) -> Tally {
        let Self { machine, .. } = self;
        self.tally.settle();
        let skipped = self.tally.skipped.iter();
        self.tally.skipped = skipped.map(|reason| format!("{machine}: {reason}")).collect();
        let how = match status.code() {
            Some(0) => "died".to_owned(),
            Some(TIMED_OUT) => format!("was not done after {seconds_max} seconds"),
            _ => format!("died with QEMU, which ended with {status}"),
        };
        // What a program fails with may be the consequence of something worse.
        let fault = self.tally.fault.take();
        if !self.unended.is_empty() {
            let unended = self.unended.join(", ");
            self.tally.blame(format!("the machine {machine} {how}, without an end of {unended}"));
        } else if !status.success() {
            self.tally.blame(format!("the machine {machine} {how}, though all programs had ended"));
        }
        if let Some(expected) = self.undescribed.first() {
            self.tally.blame(format!("the machine {machine} has not said: {expected}"));
        }
        if let Some(fault) = fault {
            self.tally.blame(fault);
        }
        if self.tally.is_empty() {
            self.tally.blame(format!("the machine {machine} ran no test"));
        }
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::super::machine::MACHINES;
    use super::*;

    /// What a machine says in which all is well.
    fn well(machine: &Machine) -> Vec<String> {
        let nodes = machine.self_description().into_iter();
        let mut lines: Vec<String> = nodes.map(|line| format!("{line} 700 MiB free")).collect();
        for program in TEST_PROGRAMS {
            lines.push("test result: ok. 2 passed; 0 failed; 0 ignored".to_owned());
            lines.push(format!("token {} ended with 0", program.key()));
        }
        lines
    }

    /// What is made of it when the machine ends with an exit status.
    fn concluded(lines: &[String], status: i32) -> Tally {
        let mut verdict = Verdict::new(&MACHINES[0], "token");
        lines.iter().for_each(|line| verdict.observe(line));
        verdict.conclude(ExitStatus::from_raw(status << 8), 300)
    }

    #[test]
    fn nothing_is_at_fault_if_all_was_said() {
        let tally = concluded(&well(&MACHINES[0]), 0);
        let passed = 2 * u64::try_from(TEST_PROGRAMS.len()).unwrap();
        assert_eq!(tally, Tally { passed, ..Tally::default() });
    }

    #[test]
    fn every_missing_line_is_at_fault() {
        let all = well(&MACHINES[0]);
        for at in 0..all.len() {
            let mut lines = all.clone();
            let missing = lines.remove(at);
            if !missing.starts_with("test result") || TEST_PROGRAMS.len() == 1 {
                assert!(concluded(&lines, 0).fault.is_some(), "without {missing}");
            }
        }
        let died = concluded(&[], 0).fault.unwrap();
        assert!(died.contains("died"), "{died}");
    }

    #[test]
    fn a_program_that_fails_or_pretends_is_at_fault() {
        let mut lines = well(&MACHINES[0]);
        let last = lines.pop().unwrap();
        let with =
            |line: &str| concluded(&[lines.clone(), vec![line.to_owned()]].concat(), 0).fault;
        let failed = with(&last.replace("with 0", "with 101")).unwrap();
        assert!(failed.contains("ended with 101"), "{failed}");
        let pretended = with(&last.replace("token", "tokem")).unwrap();
        assert!(pretended.contains("died"), "{pretended}");
        assert_eq!(with(&last), None);
    }

    #[test]
    fn a_machine_that_takes_too_long_or_dies_late_is_at_fault() {
        let lines = well(&MACHINES[0]);
        let slow = concluded(&lines[..3], TIMED_OUT).fault.unwrap();
        assert!(slow.contains("300 seconds"), "{slow}");
        let late = concluded(&lines, 1).fault.unwrap();
        assert!(late.contains("though all programs had ended"), "{late}");
    }

    #[test]
    fn what_is_skipped_says_in_which_machine() {
        let mut lines = well(&MACHINES[0]);
        lines.push("SKIPPED: x: no pages".to_owned());
        assert_eq!(concluded(&lines, 0).skipped, ["two: x: no pages"]);
    }
}
