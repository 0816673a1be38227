//! What the demonstration and the processes that load files say to each other, one line each.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};
use wksp_core::Gaddr;

use crate::directory::Stored;

/// What a loader is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Load the file of that number.
    Load(usize),
    /// Begin to load the file of that number, and stop for good inside the allocation.
    Freeze(usize),
}

/// What a loader says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It has attached the workspace.
    Attached,
    /// It is about to take the lock, to load a file.
    Asking,
    /// It got the lock from a dead process, and had to rebuild the index or not.
    Recovered { pid: u32, rebuilt: bool },
    /// It has loaded the file of that number.
    Loaded { file: usize, stored: Stored },
    /// It has stopped behind a store to the index, of about so many that an allocation makes.
    Frozen { store: u64, of: u64 },
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(file) => write!(f, "load {file}"),
            Self::Freeze(file) => write!(f, "freeze {file}"),
        }
    }
}

impl FromStr for Order {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        match line.split_once(' ').with_context(|| format!("{line:?} is no order"))? {
            ("load", file) => Ok(Self::Load(file.parse()?)),
            ("freeze", file) => Ok(Self::Freeze(file.parse()?)),
            _ => bail!("{line:?} is no order"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attached => write!(f, "attached"),
            Self::Asking => write!(f, "asking"),
            Self::Recovered { pid, rebuilt } => write!(f, "recovered {pid} {rebuilt}"),
            Self::Loaded { file, stored: Stored { gaddr, bytes, crc32 } } => {
                write!(f, "loaded {file} {} {bytes} {crc32}", gaddr.map_or(0, Gaddr::get))
            }
            Self::Frozen { store, of } => write!(f, "frozen {store} {of}"),
        }
    }
}

impl FromStr for Report {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        Ok(match words.as_slice() {
            ["attached"] => Self::Attached,
            ["asking"] => Self::Asking,
            ["recovered", pid, rebuilt] => {
                Self::Recovered { pid: pid.parse()?, rebuilt: rebuilt.parse()? }
            }
            ["loaded", file, gaddr, bytes, crc32] => Self::Loaded {
                file: file.parse()?,
                stored: Stored {
                    gaddr: Gaddr::new(gaddr.parse()?),
                    bytes: bytes.parse()?,
                    crc32: crc32.parse()?,
                },
            },
            ["frozen", store, of] => Self::Frozen { store: store.parse()?, of: of.parse()? },
            _ => bail!("{line:?} is no report"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_said_is_understood() {
        for order in [Order::Load(3), Order::Freeze(0)] {
            assert_eq!(order.to_string().parse::<Order>().unwrap(), order);
        }
        let stored = Stored { gaddr: Gaddr::new(4096), bytes: 7, crc32: 0xab };
        for report in [
            Report::Attached,
            Report::Asking,
            Report::Recovered { pid: 7, rebuilt: true },
            Report::Loaded { file: 1, stored },
            Report::Loaded { file: 1, stored: Stored { gaddr: None, ..stored } },
            Report::Frozen { store: 3, of: 9 },
        ] {
            assert_eq!(report.to_string().parse::<Report>().unwrap(), report);
        }
        assert!("loaded 1".parse::<Report>().is_err());
        assert!("stop".parse::<Order>().is_err());
    }
}
