//! Another process: this program once more, which does one thing and says what came of it.

use std::env;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use wksp_core::Name;
use wksp_shmem::{Access, BaseDir, Joined, PageSize, Region};

use crate::scene::Scene;
use crate::{forbidden, joining, whereabouts};

const PART: &str = "WKSP_NUMA_TEST_PART";
const BASE: &str = "WKSP_NUMA_TEST_BASE";
const NAME: &str = "WKSP_NUMA_TEST_NAME";
const PAGES: &str = "WKSP_NUMA_TEST_PAGES";
const MARK: &str = "@@@";
/// A user who may do nothing that not everybody may.
pub(crate) const NOBODY: u32 = 65_534;

/// What another process is told.
pub(crate) struct Told {
    pub(crate) part: String,
    pub(crate) base: BaseDir,
    pub(crate) name: Name,
    pub(crate) page_size: PageSize,
}

impl Told {
    pub(crate) fn open(&self, access: Access) -> Region {
        Region::open(&self.base, &self.name, Some(self.page_size), access).unwrap()
    }

    pub(crate) fn join(&self) -> Joined {
        Joined::join(self.open(Access::ReadWrite)).unwrap()
    }
}

/// What another process says that plays a part on the region `text`; `None` if it could not be
/// started as the user that it was to be.
pub(crate) fn hear(scene: &Scene, text: &str, part: &str, uid: Option<u32>) -> Option<String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "partner::plays_its_part", "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .env(BASE, scene.root())
        .env(NAME, text)
        .env(PAGES, scene.page_size.to_string());
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if uid.is_some() => {
            wksp_testkit::skip::skip(format!("another user may not run this program: {error}"));
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    Some(said(&output))
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().filter_map(|line| line.split_once(MARK));
    let said = lines.next().map(|(_, said)| said.to_owned());
    said.unwrap_or_else(|| panic!("the other process said nothing: {text} {errors}"))
}

/// Not a test: the other processes.
#[test]
fn plays_its_part() {
    let Ok(part) = env::var(PART) else { return };
    let told = Told {
        part,
        base: BaseDir::resolve(Some(Path::new(&env::var(BASE).unwrap()))).unwrap(),
        name: Name::new(&env::var(NAME).unwrap()).unwrap(),
        page_size: env::var(PAGES).unwrap().parse().unwrap(),
    };
    let (kind, _) = told.part.split_once(' ').unwrap_or((&told.part, ""));
    let said = match kind {
        "locate" => {
            let nodes = whereabouts::nodes_of(&told.join());
            nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
        }
        "place" => forbidden::place(&told),
        "read" => joining::read(&told),
        "lock" => joining::lock(&told),
        _ => panic!("there is no part {:?}", told.part),
    };
    println!("{MARK}{said}");
    std::io::stdout().flush().unwrap();
}
