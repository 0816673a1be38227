//! `cargo xtask vm`: the tests that need several nodes and pages of all sizes, in virtual machines
//! that have them.

mod archive;
mod host;
mod image;
mod machine;
mod packages;
mod programs;
mod verdict;

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::{listen, run_attended};
use crate::tally::Tally;
use crate::{repository, tools};
use machine::{MACHINES, Machine};
use verdict::Verdict;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Start this machine only; may be given more than once [default: all, one after the other]
    #[arg(long = "machine", value_name = "NAME", value_parser = machine_names())]
    machines: Vec<String>,
    /// List the machines and stop
    #[arg(long)]
    list: bool,
    /// Run a shell in the machine rather than the tests; Control-A X ends both
    #[arg(long)]
    shell: bool,
    /// How long a machine may take
    #[arg(long, value_name = "N", default_value_t = SECONDS_MAX)]
    seconds: u64,
    /// Only say what this machine lacks, and fail, rather than install it
    #[arg(long)]
    no_install: bool,
    /// What the test programs are given, such as the name of a test
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// How long a machine may take unless something else is asked for.
const SECONDS_MAX: u64 = 420;

/// What is said before the reason.
const NOT_HERE: &str = "there can be no virtual machines here";

fn machine_names() -> Vec<&'static str> {
    MACHINES.iter().map(|machine| machine.name).collect()
}

/// Runs the tests in the machines asked for, all of them if none is named; or a shell in one.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for machine in MACHINES {
            println!("{:8}  {}", machine.name, machine.does);
        }
        return Ok(());
    }
    let wanted = |machine: &&Machine| {
        options.machines.is_empty() || options.machines.iter().any(|name| name == machine.name)
    };
    let machines: Vec<&Machine> = MACHINES.iter().filter(wanted).collect();
    tools::ensure(options.no_install)?;
    let place = Place::take()?;
    let parts = Parts::obtain(&place, options.no_install).context(NOT_HERE)?;
    let guest = Guest::prepare(&place, parts, &options.arguments)?;
    if options.shell {
        let machine = machines.first().context("there is no such machine")?;
        return guest.attend(machine);
    }
    let tally = guest.test_in(&machines, options.seconds)?;
    if tally.fault.is_some() {
        bail!("not all is well in the virtual machines");
    }
    Ok(())
}

/// Runs the tests in all machines, or says why there are none here.
pub(crate) fn check(no_install: bool) -> Result<Tally> {
    let place = Place::take()?;
    match Parts::obtain(&place, no_install) {
        Ok(parts) => {
            let guest = Guest::prepare(&place, parts, &[])?;
            guest.test_in(&MACHINES.iter().collect::<Vec<_>>(), SECONDS_MAX)
        }
        Err(error) => {
            Ok(Tally { skipped: vec![format!("{NOT_HERE}: {error:#}")], ..Tally::default() })
        }
    }
}

/// The directory of what is kept, and of the machine that runs: one at a time, for the memory's sake.
struct Place {
    directory: PathBuf,
    _lock: File,
}

impl Place {
    /// Waits until nobody else is there.
    fn take() -> Result<Self> {
        let directory = repository::target().join("vm");
        let failed = || format!("cannot have {} for oneself", directory.display());
        fs::create_dir_all(&directory).with_context(failed)?;
        let lock = File::create(directory.join("lock")).with_context(failed)?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            println!("Waiting for another one who uses {}.", directory.display());
        }
        lock.lock().with_context(failed)?;
        Ok(Self { directory, _lock: lock })
    }
}

/// What comes from elsewhere.
struct Parts {
    kernel: PathBuf,
    busybox: PathBuf,
}

impl Parts {
    /// Gets what is not there yet, and fails if it is not to be had, or of no use on this machine.
    fn obtain(place: &Place, no_install: bool) -> Result<Self> {
        host::check()?;
        tools::ensure_qemu(no_install)?;
        let kernel = packages::kernel(&place.directory, no_install)?;
        let busybox = packages::busybox(&place.directory, no_install)?;
        Ok(Self { kernel, busybox })
    }
}

/// What is started in all machines alike.
struct Guest {
    kernel: PathBuf,
    image: PathBuf,
}

impl Guest {
    /// Builds the programs, and the file system that they are in.
    fn prepare(place: &Place, parts: Parts, arguments: &[String]) -> Result<Self> {
        let Parts { kernel, busybox } = parts;
        let image = place.directory.join("image.cpio");
        let bytes = image::image(&busybox, &programs::build()?, arguments)?;
        fs::write(&image, bytes).with_context(|| format!("cannot write {}", image.display()))?;
        Ok(Self { kernel, image })
    }

    /// Runs the tests in one machine after the other, and adds up what became of them.
    fn test_in(&self, machines: &[&Machine], seconds_max: u64) -> Result<Tally> {
        let mut all = Tally::default();
        for machine in machines {
            println!("\nThe machine {}: {}.", machine.name, machine.does);
            let start = Instant::now();
            let tally = self.test(machine, seconds_max)?;
            let Tally { passed, failed, skipped, fault } = &tally;
            let (seconds, skipped) = (start.elapsed().as_secs_f64(), skipped.len());
            println!(
                "The machine {} after {seconds:.1} seconds: \
                 {passed} passed, {failed} failed, {skipped} skipped.",
                machine.name
            );
            if let Some(fault) = fault {
                println!("error: {fault}");
            }
            all.add(tally);
        }
        Ok(all)
    }

    fn test(&self, machine: &Machine, seconds_max: u64) -> Result<Tally> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let token = format!("wksp-vm-{:x}", now.as_nanos());
        let settings = [("WKSP_REQUIRE_NUMA", "1"), ("WKSP_VM_TOKEN", &token)];
        let mut command = limited(&seconds_max.to_string());
        command.arg(tools::QEMU).args(["-serial", "stdio"]).args(self.boot(machine, &settings));
        let mut verdict = Verdict::new(machine, &token);
        let status = listen(&mut command, |said| {
            println!("{said}");
            verdict.observe(said);
        })?;
        Ok(verdict.conclude(status, seconds_max))
    }

    /// Runs a shell in a machine, for a person.
    fn attend(&self, machine: &Machine) -> Result<()> {
        let mut command = Command::new(tools::QEMU);
        let settings = [("WKSP_REQUIRE_NUMA", "1"), ("WKSP_VM_SHELL", "1")];
        command.args(["-serial", "mon:stdio"]).args(self.boot(machine, &settings));
        run_attended(&mut command)
    }

    fn boot(&self, machine: &Machine, settings: &[(&str, &str)]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            machine.arguments().into_iter().map(OsString::from).collect();
        arguments.extend(["-kernel".into(), self.kernel.clone().into()]);
        arguments.extend(["-initrd".into(), self.image.clone().into()]);
        arguments.extend(["-append".into(), machine.kernel_line(settings).into()]);
        arguments
    }
}

/// Returns a command that runs what is added to it, but no longer than that.
fn limited(seconds_max: &str) -> Command {
    // Not this program: a machine that nobody listens to any more would run on for ever.
    let mut command = Command::new("timeout");
    command.args(["--foreground", "--kill-after=10", seconds_max]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_ended_and_heard_until_then() {
        let mut heard = Vec::new();
        let mut command = limited("0.2");
        command.args(["sh", "-c", r"printf 'one\r\ntwo'; exec tail -f /dev/null"]);
        let status = listen(&mut command, |line| heard.push(line.to_owned())).unwrap();
        assert_eq!(status.code(), Some(verdict::TIMED_OUT));
        assert_eq!(heard, ["one", "two"]);
    }
}
