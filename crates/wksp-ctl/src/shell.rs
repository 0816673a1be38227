//! Commands that somebody can type, as remedies have them.

use std::path::Path;

use nix::unistd::geteuid;

use crate::base_path::OF_THE_MACHINE;

/// A word as a shell takes it for what it is.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A path as a shell takes it; what is no text in it is replaced.
pub(crate) fn path(path: &Path) -> String {
    word(&path.display().to_string())
}

/// A command that root has to give.
pub(crate) fn as_root(command: &str) -> String {
    if geteuid().is_root() { command.to_owned() } else { format!("sudo {command}") }
}

/// A command of this tool for a machine that is set up with that base directory.
///
/// It is always named where it is another one than usual, since root may have another environment.
pub(crate) fn tool(base: &Path, command: &str) -> String {
    if base == Path::new(OF_THE_MACHINE) {
        return format!("wksp-ctl {command}");
    }
    format!("wksp-ctl --base {} {command}", path(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_what_they_are() {
        assert_eq!(word("/mnt/.fd"), "/mnt/.fd");
        assert_eq!(word(""), "''");
        assert_eq!(word("a b"), "'a b'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word("$(x)"), "'$(x)'");
    }

    #[test]
    fn an_unusual_base_is_named() {
        assert_eq!(tool(Path::new("/mnt/.fd"), "host init"), "wksp-ctl host init");
        assert_eq!(tool(Path::new("/a b"), "host init"), "wksp-ctl --base '/a b' host init");
    }
}
