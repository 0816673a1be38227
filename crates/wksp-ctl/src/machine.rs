//! The machine that a command is about: this one, or one that is made up.

use wksp_shmem::{HwlocTopology, Topology};

use crate::failure::{self, Failure};

/// The most processors that a made-up machine may have: hwloc needs seconds for so many, and takes
/// hours for a hundred times that.
const WIDTH_MAX: u64 = 4096;
/// The largest number that a processor or node may be given, since hwloc keeps a bit for each below.
const INDEX_MAX: u64 = 65_535;

/// The machine as it was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct MachineArgs {
    /// Take a made-up machine instead of this one, as hwloc describes one: "numa:2 core:4 pu:2".
    #[arg(long, value_name = "DESC")]
    synthetic: Option<String>,
}

/// A machine; this one is looked at only when somebody asks.
#[derive(Debug)]
pub(crate) enum Machine {
    This,
    MadeUp { description: String, topology: Box<HwlocTopology> },
}

impl MachineArgs {
    pub(crate) fn plan(self) -> Result<Machine, Failure> {
        let Some(description) = self.synthetic else { return Ok(Machine::This) };
        check(&description)?;
        let topology =
            HwlocTopology::synthetic(&description).map_err(|error| failure::topology(&error))?;
        Ok(Machine::MadeUp { description, topology: Box::new(topology) })
    }
}

impl Machine {
    /// What it is made of.
    pub(crate) fn topology(&self) -> Result<&HwlocTopology, Failure> {
        match self {
            Self::This => this(),
            Self::MadeUp { topology, .. } => Ok(topology),
        }
    }

    /// Its description, `None` for this one.
    pub(crate) fn description(&self) -> Option<&str> {
        match self {
            Self::This => None,
            Self::MadeUp { description, .. } => Some(description),
        }
    }

    /// What people call it.
    pub(crate) fn title(&self) -> Result<&'static str, Failure> {
        Ok(match self {
            Self::This if self.topology()?.is_this_machine() => "this machine",
            Self::This => "the machine that the environment has hwloc believe in",
            Self::MadeUp { .. } => "a made-up machine",
        })
    }
}

/// What this machine is made of.
pub(crate) fn this() -> Result<&'static HwlocTopology, Failure> {
    HwlocTopology::this_machine().map_err(|error| failure::topology(&error))
}

/// Refuses what hwloc would go on building for hours, or take all memory for.
fn check(description: &str) -> Result<(), Failure> {
    let refused = |what: String, remedy: String| {
        let shown: String = description.chars().take(64).collect();
        Err(Failure::usage(format_args!("--synthetic {shown:?} {what}"), remedy))
    };
    let (mut width, mut beside, mut rest) = (1_u64, 0_u64, description);
    let mut is_name = false;
    while let Some(c) = rest.chars().next() {
        let mut used = c.len_utf8();
        match c {
            '(' => {
                let end = rest.find(')').unwrap_or(rest.len());
                let attributes = rest.get(..end).unwrap_or(rest);
                if let Some(index) = index_beyond(attributes) {
                    return refused(
                        format!("gives something the number {index}"),
                        format!("use numbers up to {INDEX_MAX}"),
                    );
                }
                used = end.max(1);
            }
            // A node of memory beside the others.
            '[' => beside = beside.saturating_add(1),
            // The rest of a name such as l3, or a number.
            '0'..='9' => {
                let digits = digits(rest);
                used = digits.len();
                let is_hexadecimal =
                    rest.get(used..).is_some_and(|rest| rest.starts_with(['x', 'X']));
                if !is_name {
                    let count = if is_hexadecimal { u64::MAX } else { number(digits) };
                    width = width.saturating_mul(count.max(1));
                }
            }
            _ => {}
        }
        is_name = c.is_ascii_alphabetic() || (is_name && c.is_ascii_digit());
        rest = rest.get(used..).unwrap_or_default();
    }
    if width.saturating_mul(beside.max(1)) > WIDTH_MAX {
        return refused(
            "has too many parts to be worked out".to_owned(),
            format!("describe a machine of at most {WIDTH_MAX} CPUs, in decimal numbers"),
        );
    }
    Ok(())
}

/// The first number of an attribute `indexes` that is too large.
fn index_beyond(attributes: &str) -> Option<u64> {
    let (_, indexes) = attributes.split_once("indexes")?;
    let numbers = indexes.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    numbers.map(number).find(|number| *number > INDEX_MAX)
}

fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

/// The number that digits are, the largest of all if it is larger.
fn number(digits: &str) -> u64 {
    digits.parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_that_there_could_be_are_built() {
        for description in [
            "numa:2 core:4 pu:2",
            "4 2 2",
            "pack:2 l3:2 l2:4 l1:1 core:1 pu:2",
            "numa:2(memory=1099511627776) pu:2",
            "pack:2 [numa] [numa(memory=1TB)] pu:2",
            "numa:2(indexes=1,0) pu:2(indexes=0,2,1,3)",
            "numa:16 core:128 pu:2",
        ] {
            assert!(check(description).is_ok(), "{description}");
            assert!(HwlocTopology::synthetic(description).is_ok(), "{description}");
        }
    }

    #[test]
    fn machines_that_would_take_hours_are_refused() {
        for description in [
            "numa:1 pu:100000",
            "numa:+1 pu:+100000",
            "numa: 1 pu: 100000",
            "numa:0x10000 pu:1",
            "100000 1",
            "numa:65536 pu:65536",
            "pu:99999999999999999999999",
            "numa:2(indexes=0,4294967295) pu:1",
            "numa:2(memory=8 indexes=0,99999999999999999999999) pu:1",
            &format!("pack:2048 {} pu:1", "[numa] ".repeat(3)),
        ] {
            let failure = check(description).unwrap_err();
            assert_eq!(failure.kind, crate::failure::Kind::Usage, "{description}");
            assert!(failure.cause.len() < 200, "{failure:?}");
        }
    }

    #[test]
    fn any_text_is_looked_at_without_harm() {
        for description in ["", "(", ")", "((((", "[", "\u{662}:\u{661}(\u{fffd}", "9\u{e9}(", "x("]
        {
            let _ = check(description);
        }
    }
}
