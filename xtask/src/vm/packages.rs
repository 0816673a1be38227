//! The kernel and the shell of the machines: out of packages of Debian, which are unpacked but not
//! installed, and kept from then on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{output_of, run};
use crate::{repository, tools};

/// A file of a package.
struct Part {
    /// What it is called once it is here.
    name: &'static str,
    /// The name of the package in Debian's present lists, `None` if they are not there or too old.
    package: fn() -> Option<String>,
    /// The directory that it is in, whatever that is in.
    directory: &'static str,
    /// What its name begins with.
    prefix: &'static str,
}

/// The kernel; another one comes with each update of Debian.
const KERNEL: Part =
    Part { name: "vmlinuz", package: kernel_package, directory: "boot", prefix: "vmlinuz-" };

/// A shell and all that it calls, in one program that needs no library.
const BUSYBOX: Part = Part {
    name: "busybox",
    package: || Some("busybox-static".to_owned()),
    directory: "bin",
    prefix: "busybox",
};

/// The packages that do nothing but depend on the current kernel, the smaller one first.
const KERNEL_PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-amd64"];

/// Returns the kernel, which is taken from Debian if it is not in `cache`.
pub(super) fn kernel(cache: &Path, no_install: bool) -> Result<PathBuf> {
    KERNEL.get(cache, no_install)
}

/// Returns the shell, which is taken from Debian if it is not in `cache`.
pub(super) fn busybox(cache: &Path, no_install: bool) -> Result<PathBuf> {
    BUSYBOX.get(cache, no_install)
}

impl Part {
    fn get(&self, cache: &Path, no_install: bool) -> Result<PathBuf> {
        let kept = cache.join(self.name);
        if kept.is_file() {
            return Ok(kept);
        }
        if let Err(error) = self.fetch(&kept) {
            if no_install {
                return Err(
                    error.context("with --no-install the lists of packages stay as they are")
                );
            }
            // There may be no lists, or such as name what is no longer to be had.
            println!("{error:#}; once more with new lists of packages");
            tools::update_package_lists()?;
            self.fetch(&kept)?;
        }
        Ok(kept)
    }

    /// Downloads and unpacks the package beside `kept`, and moves the file there when it is whole.
    fn fetch(&self, kept: &Path) -> Result<()> {
        let Self { name, directory, prefix, .. } = self;
        let package = (self.package)();
        let package = package.with_context(|| format!("Debian's lists have no {name}"))?;
        let work = kept.with_extension("partial");
        if work.exists() {
            fs::remove_dir_all(&work)
                .with_context(|| format!("cannot empty {}", work.display()))?;
        }
        fs::create_dir(&work).with_context(|| format!("cannot create {}", work.display()))?;
        run(Command::new("apt-get").args(["download", &package]).current_dir(&work))?;
        let files = repository::files(&work)?;
        let archive = files.first().with_context(|| format!("{package} was not downloaded"))?;
        run(Command::new("dpkg").arg("-x").arg(archive).arg(work.join("unpacked")))?;
        let wanted = repository::files(&work.join("unpacked"))?.into_iter().find(|file| {
            let of = |path: Option<&Path>| path.and_then(Path::file_name).map(|n| n.to_owned());
            let name = of(Some(file)).is_some_and(|n| n.to_string_lossy().starts_with(prefix));
            name && of(file.parent()).is_some_and(|parent| parent == *directory)
        });
        let wanted = wanted.with_context(|| format!("there is no {name} in {package}"))?;
        fs::rename(&wanted, kept).with_context(|| format!("cannot keep {}", wanted.display()))?;
        fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))
    }
}

fn kernel_package() -> Option<String> {
    let depends = |package: &&str| {
        output_of(Command::new("apt-cache").args(["depends", package]).env("LC_ALL", "C"))
    };
    KERNEL_PACKAGES.iter().filter_map(depends).find_map(|list| versioned(&list))
}

/// Returns the kernel that a package depends on, by what `apt-cache depends` prints of it.
fn versioned(list: &str) -> Option<String> {
    let depends = list.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    depends.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_what_the_package_of_no_version_depends_on() {
        let list = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n";
        assert_eq!(versioned(list).as_deref(), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(versioned("linux-image-amd64\n  Depends: linux-base\n"), None);
        assert_eq!(versioned(""), None);
    }

    #[test]
    fn what_is_in_the_cache_is_not_fetched_again() {
        let cache = std::env::temp_dir().join(format!("wksp-xtask-cache-{}", std::process::id()));
        fs::create_dir(&cache).unwrap();
        let part = Part { package: || None, ..KERNEL };
        let error = part.get(&cache, true).unwrap_err();
        assert!(format!("{error:#}").contains("no vmlinuz"), "{error:#}");
        fs::write(cache.join("vmlinuz"), "a kernel").unwrap();
        assert_eq!(part.get(&cache, true).unwrap(), cache.join("vmlinuz"));
        fs::remove_dir_all(&cache).unwrap();
    }
}
