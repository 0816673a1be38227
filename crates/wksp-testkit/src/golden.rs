//! The golden files: workspaces and checkpoints that the C implementation wrote, and their manifest.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};

use crate::image::{self, Listing, Used};

/// The environment variable that names the directory of the golden files.
pub const VARIABLE: &str = "WKSP_GOLDEN_DIR";

/// The environment variable that, set to anything, forbids to skip tests on golden files.
pub const REQUIRED_VARIABLE: &str = "WKSP_REQUIRE_GOLDEN";

/// Returns the directory of the golden files if [`VARIABLE`] names one.
#[must_use]
pub fn dir() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Loads the manifest from the directory that [`VARIABLE`] names.
///
/// # Panics
///
/// If the variable is unset or the manifest cannot be read: a test must not pass when its subject
/// is missing.
#[must_use]
pub fn require() -> Golden {
    let Some(dir) = dir() else {
        panic!(
            "{VARIABLE} is not set: point it at the directory with the golden files \
             (manifest.json, *.img, *.v1, *.v2, *.v3), e.g. {VARIABLE}=... cargo test"
        );
    };
    match Golden::load(&dir) {
        Ok(golden) => golden,
        Err(error) => panic!(
            "cannot load the golden files from {} ({VARIABLE}): {error}; \
             the directory must hold manifest.json and the files it names",
            dir.display()
        ),
    }
}

/// Loads the manifest, or says that the current test is skipped when [`VARIABLE`] is unset.
///
/// # Panics
///
/// As [`require`] does if the variable is set, or if [`REQUIRED_VARIABLE`] forbids to skip.
#[must_use]
pub fn available() -> Option<Golden> {
    if dir().is_none() && std::env::var_os(REQUIRED_VARIABLE).is_none() {
        crate::skip::skip(format_args!("{VARIABLE} does not name the golden files"));
        return None;
    }
    Some(require())
}

/// The manifest and the directory its files are in.
#[derive(Clone, Debug)]
pub struct Golden {
    dir: PathBuf,
    /// All cases in the manifest's order.
    pub cases: Vec<Case>,
}

/// The flavours of checkpoint files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The v1 stream.
    V1,
    /// The v2 format with raw frames.
    V2,
    /// The v2 format with LZ4 frames.
    V3,
}

impl Flavour {
    /// All flavours.
    pub const ALL: [Self; 3] = [Self::V1, Self::V2, Self::V3];

    const fn extension(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }
}

impl Golden {
    /// Reads `manifest.json` in `dir`.
    ///
    /// # Errors
    ///
    /// The manifest cannot be read or has another shape.
    pub fn load(dir: &Path) -> std::io::Result<Self> {
        let manifest = fs::read(dir.join("manifest.json"))?;
        Ok(Self { dir: dir.to_owned(), cases: serde_json::from_slice(&manifest)? })
    }

    /// Returns the case called `case`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn case(&self, case: &str) -> &Case {
        match self.cases.iter().find(|candidate| candidate.case == case) {
            Some(case) => case,
            None => panic!("the golden manifest has no case {case}"),
        }
    }

    /// Iterates over the cases at rest, which have checkpoints as well.
    pub fn at_rest(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| !case.torn)
    }

    /// Iterates over the cases whose owner was killed inside an operation.
    pub fn torn(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| case.torn)
    }

    /// Reads the live image of a case.
    ///
    /// # Panics
    ///
    /// If the file cannot be read.
    #[must_use]
    pub fn image(&self, case: &Case) -> Vec<u8> {
        self.read(case, "img")
    }

    /// Reads a checkpoint of a case at rest.
    ///
    /// # Panics
    ///
    /// If the file cannot be read.
    #[must_use]
    pub fn checkpoint(&self, case: &Case, flavour: Flavour) -> Vec<u8> {
        self.read(case, flavour.extension())
    }

    /// Returns the path of a case's file with the given extension.
    #[must_use]
    pub fn path(&self, case: &Case, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", case.case))
    }

    fn read(&self, case: &Case, extension: &str) -> Vec<u8> {
        let path = self.path(case, extension);
        match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => panic!("cannot read golden file {}: {error}", path.display()),
        }
    }
}

/// One workspace of the manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Name of the case and stem of its files.
    pub case: String,
    /// Name of the workspace.
    pub name: String,
    /// Seed of the heap priorities.
    pub seed: u32,
    /// Number of partition records.
    pub part_max: u64,
    /// Bytes in the data region.
    pub data_max: u64,
    /// First byte of the data region.
    pub gaddr_lo: u64,
    /// One past the last byte of the data region.
    pub gaddr_hi: u64,
    /// The lock word in the image.
    #[serde(deserialize_with = "hexadecimal")]
    pub owner: u64,
    /// Whether the owner was killed inside an operation.
    pub torn: bool,
    /// All allocations in address order.
    pub allocations: Vec<Allocation>,
}

/// One allocation of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    /// Never 0.
    #[serde(deserialize_with = "decimal")]
    pub tag: u64,
    /// First byte, as an offset from the header.
    pub lo: u64,
    /// One past the last byte.
    pub hi: u64,
    /// CRC-32 of the bytes.
    pub crc32: u32,
}

impl Allocation {
    /// Returns range and tag alone.
    #[must_use]
    pub const fn used(&self) -> Used {
        Used { lo: self.lo, hi: self.hi, tag: self.tag }
    }

    /// Describes allocated bytes the way the manifest does.
    #[must_use]
    pub fn of(used: Used, bytes: &[u8]) -> Self {
        Self { tag: used.tag, lo: used.lo, hi: used.hi, crc32: crc32fast::hash(bytes) }
    }
}

fn decimal<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}

fn hexadecimal<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    u64::from_str_radix(&String::deserialize(from)?, 16).map_err(de::Error::custom)
}

impl Case {
    /// Compares static fields, ranges, tags and contents of an image with the manifest.
    ///
    /// The lock word is not compared, so a recovered torn image can be compared as well.
    ///
    /// # Errors
    ///
    /// Every difference, at least one.
    pub fn compare(&self, listing: &Listing<'_>) -> Result<(), Differences> {
        let mut differences = Differences::default();
        differences.field("name", &self.name, &listing.name);
        differences.field("seed", &self.seed, &listing.seed);
        differences.field("part_max", &self.part_max, &listing.part_max);
        differences.field("data_max", &self.data_max, &listing.data_max);
        differences.field("gaddr_lo", &self.gaddr_lo, &listing.gaddr_lo);
        differences.field("gaddr_hi", &self.gaddr_hi, &listing.gaddr_hi);
        let used = listing.used();
        let found = used.iter().filter_map(|used| {
            listing.bytes(used.lo, used.hi).map(|bytes| Allocation::of(*used, bytes))
        });
        differences.allocations(&self.allocations, found);
        differences.into_result()
    }

    /// Compares used ranges, as [`image::truth`] lists them, and their bytes in `image`.
    ///
    /// # Errors
    ///
    /// Every difference, at least one.
    pub fn compare_used(&self, used: &[Used], image: &[u8]) -> Result<(), Differences> {
        let found = used.iter().filter_map(|used| {
            image::bytes(image, used.lo, used.hi).map(|bytes| Allocation::of(*used, bytes))
        });
        self.compare_allocations(found)
    }

    /// Compares allocations from anywhere with the manifest.
    ///
    /// # Errors
    ///
    /// Every difference, at least one.
    pub fn compare_allocations(
        &self,
        found: impl IntoIterator<Item = Allocation>,
    ) -> Result<(), Differences> {
        let mut differences = Differences::default();
        differences.allocations(&self.allocations, found);
        differences.into_result()
    }
}

/// What differs from the manifest, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences(pub Vec<String>);

impl Differences {
    fn field<T: PartialEq + fmt::Debug>(&mut self, field: &str, expected: &T, found: &T) {
        if expected != found {
            self.0.push(format!("{field}: expected {expected:?}, found {found:?}"));
        }
    }

    fn allocations(
        &mut self,
        expected: &[Allocation],
        found: impl IntoIterator<Item = Allocation>,
    ) {
        let found: Vec<Allocation> = found.into_iter().collect();
        for allocation in expected {
            let same_start = |other: &&Allocation| other.lo == allocation.lo;
            match found.iter().find(same_start) {
                None => self.0.push(format!("missing {allocation}")),
                Some(other) if other != allocation => {
                    self.0.push(format!("expected {allocation}, found {other}"));
                }
                Some(_) => {}
            }
        }
        for extra in &found {
            if !expected.iter().any(|allocation| allocation.lo == extra.lo) {
                self.0.push(format!("unexpected {extra}"));
            }
        }
        if self.0.is_empty() && found != expected {
            self.0.push("allocations are repeated or out of address order".to_owned());
        }
    }

    fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tag, lo, hi, crc32 } = self;
        write!(f, "[{lo}, {hi}) tag {tag} crc {crc32:08x}")
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Differences {}
