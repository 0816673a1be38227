//! A process that allocates and frees, checks what it reads, and keeps a journal.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use wksp_core::{Align, AllocError, Gaddr, Guard, Name, Repair, Tag};
use wksp_shmem::{BaseDir, LockOptions, ProcessParty, SharedWorkspace};
use wksp_testkit::pattern::{check_pattern, fill_pattern};
use wksp_testkit::rng::Rng;

use crate::journal::{Entry, Journal, Live, replay};

pub(crate) const ROLE: &str = "worker";
pub(crate) const NAME: &str = "torture";

const VARIABLE_DIR: &str = "WKSP_TEST_DIR";
const VARIABLE_NUMBER: &str = "WKSP_TEST_NUMBER";
const VARIABLE_OPERATIONS: &str = "WKSP_TEST_OPERATIONS";

/// How the processes of a test wait: they all are in one pid namespace, since the test makes them.
pub(crate) fn lock_options() -> LockOptions {
    LockOptions::default().with_single_pid_namespace(true).with_patience(Duration::from_secs(60))
}

pub(crate) fn journal_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("journal-{number}"))
}

/// Starts worker `number`, which ends when its journal has `operations` operations.
pub(crate) fn start(dir: &Path, number: u64, operations: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .env(crate::ROLE, ROLE)
        .env(VARIABLE_DIR, dir)
        .env(VARIABLE_NUMBER, number.to_string())
        .env(VARIABLE_OPERATIONS, operations.to_string())
        .spawn()
        .unwrap()
}

struct Worker {
    workspace: SharedWorkspace,
    journal: Journal,
    live: Vec<(u64, Live)>,
    rng: Rng,
    next_tag: u64,
}

pub(crate) fn run() -> ExitCode {
    let number = |variable| env::var(variable).unwrap().parse::<u64>().unwrap();
    let dir = PathBuf::from(env::var_os(VARIABLE_DIR).unwrap());
    let (number, operations) = (number(VARIABLE_NUMBER), number(VARIABLE_OPERATIONS));
    let base = BaseDir::resolve(Some(&dir)).unwrap();
    let name = Name::new(NAME).unwrap();
    let workspace = SharedWorkspace::attach(&base, &name, None, lock_options()).unwrap();
    let path = journal_path(&dir, number);
    let journal = Journal::open(&path).unwrap();
    let past = replay(&path);
    let mut worker = Worker {
        workspace,
        journal,
        live: past.live.into_iter().collect(),
        rng: Rng::new(number ^ past.done.rotate_left(32)),
        // Tags tell workers apart, and each is used once.
        next_tag: past.last_tag.max(number << 40) + 1,
    };
    let mut done = past.done;
    if let Some(open) = past.open {
        worker.close(open);
        done += 1;
    }
    for _ in done..operations {
        // As many allocations as fit are alive, and each of their bytes is known.
        if worker.live.len() < 40 || (worker.live.len() < 60 && worker.rng.one_in(2)) {
            worker.alloc();
        } else {
            worker.free();
        }
    }
    ExitCode::SUCCESS
}

/// Takes the lock, and writes down whether it was a dead process's.
fn lock<'w>(workspace: &'w SharedWorkspace, journal: &mut Journal) -> Guard<'w, 'w, ProcessParty> {
    let guard = workspace.lock().unwrap();
    if let Some(Repair::TakenOver { rebuilt, .. }) = guard.repair() {
        journal.write(Entry::TookOver { rebuilt });
    }
    guard
}

impl Worker {
    fn lock(&mut self) -> Guard<'_, '_, ProcessParty> {
        lock(&self.workspace, &mut self.journal)
    }

    /// Finds out what became of an operation that the worker before was killed in.
    fn close(&mut self, open: Entry) {
        let guard = lock(&self.workspace, &mut self.journal);
        match open {
            Entry::WillAlloc { tag, bytes } => {
                let found = guard.lowest_tagged(Tag::new(tag).unwrap());
                drop(guard);
                match found {
                    Some(found) => {
                        assert_eq!(found.range.bytes(), bytes);
                        self.allocated(tag, found.range.lo(), bytes);
                    }
                    None => self.journal.write(Entry::Refused { tag }),
                }
            }
            Entry::WillFree { tag } => {
                let at = self.live.iter().position(|(live, _)| *live == tag).unwrap();
                let (_, live) = self.live.swap_remove(at);
                let gaddr = Gaddr::new(live.gaddr).unwrap();
                // The bytes may be someone else's by now, but not under this tag.
                drop(guard);
                if self.lock().tag(gaddr) == Tag::new(tag) {
                    self.check(tag, live);
                    self.lock().free(gaddr).unwrap();
                }
                self.journal.write(Entry::Freed { tag });
            }
            _ => unreachable!("only intents are left open"),
        }
    }

    fn alloc(&mut self) {
        let (tag, bytes) = (self.next_tag, 1 + self.rng.below(600));
        let align = Align::new(1 << self.rng.below(8)).unwrap();
        self.next_tag += 1;
        self.journal.write(Entry::WillAlloc { tag, bytes });
        let allocated = self.lock().alloc(align, bytes, Tag::new(tag).unwrap());
        match allocated {
            Ok(gaddr) => self.allocated(tag, gaddr, bytes),
            Err(AllocError::NoSpace { .. } | AllocError::NoRecords { .. }) => {
                self.journal.write(Entry::Refused { tag });
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn allocated(&mut self, tag: u64, gaddr: Gaddr, bytes: u64) {
        let mut contents = vec![0; bytes as usize];
        fill_pattern(tag, &mut contents);
        self.workspace.workspace().copy_in(gaddr, &contents).unwrap();
        let gaddr = gaddr.get();
        self.journal.write(Entry::Allocated { tag, gaddr, bytes });
        self.live.push((tag, Live { gaddr, bytes }));
    }

    fn free(&mut self) {
        let (tag, live) = self.live.swap_remove(self.rng.index(self.live.len()));
        self.check(tag, live);
        self.journal.write(Entry::WillFree { tag });
        let gaddr = Gaddr::new(live.gaddr + self.rng.below(live.bytes)).unwrap();
        let freed = self.lock().free(gaddr).unwrap();
        assert_eq!((freed.range.lo().get(), freed.tag.get()), (live.gaddr, tag));
        self.journal.write(Entry::Freed { tag });
    }

    fn check(&self, tag: u64, live: Live) {
        let mut contents = vec![0; live.bytes as usize];
        let gaddr = Gaddr::new(live.gaddr).unwrap();
        self.workspace.workspace().copy_out(gaddr, &mut contents).unwrap();
        check_pattern(tag, &contents).unwrap();
        let inside = Gaddr::new(live.gaddr + live.bytes - 1).unwrap();
        let found = self.workspace.workspace().tag(inside).unwrap();
        assert_eq!(found, Tag::new(tag), "of an allocation that nobody else frees");
    }
}
