//! Where a checkpoint comes from: the texts and numbers that its writer puts into it.

use std::fmt;
use std::time::SystemTime;

use crate::error::WriteError;

/// The longest user info and build info in bytes.
pub(crate) const INFO_MAX: usize = 16383;
/// The longest path in bytes.
pub(crate) const PATH_MAX: usize = 4095;
/// The longest of the other texts in bytes.
pub(crate) const TEXT_MAX: usize = 39;

/// A text in a checkpoint: bytes without a 0 among them, mostly UTF-8.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text(Vec<u8>);

impl Text {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

/// Who wrote a checkpoint, when, where, and with which words.
///
/// Nothing here is needed to read one; existing tools show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The permission bits of the file; not part of v1.
    pub mode: u64,
    /// Nanoseconds since 1970.
    pub wall_clock_ns: i64,
    /// The number of the application.
    pub app_id: u64,
    /// The number of the thread in the application.
    pub thread_id: u64,
    /// The number of the host.
    pub host_id: u64,
    /// The number of the processor.
    pub cpu_id: u64,
    /// The id of the process.
    pub group_id: u64,
    /// The id of the thread.
    pub tid: u64,
    /// The id of the user.
    pub user_id: u64,
    /// The application, 39 bytes at most, as are the next five.
    pub app: Text,
    /// The thread.
    pub thread: Text,
    /// The host.
    pub host: Text,
    /// The processor.
    pub cpu: Text,
    /// The group of threads.
    pub group: Text,
    /// The user.
    pub user: Text,
    /// The file that was written, 4095 bytes at most; not part of v1.
    pub path: Text,
    /// The program that wrote it, 16383 bytes at most.
    pub build_info: Text,
    /// What the user has to say, 16383 bytes at most, or less where the digest takes some.
    pub user_info: Text,
}

impl Provenance {
    /// A provenance that says the time, the process and this library, with file mode 0600.
    #[must_use]
    pub fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let nanoseconds = since_1970.map(|since| i64::try_from(since.as_nanos()).ok());
        Self {
            mode: 0o600,
            wall_clock_ns: nanoseconds.ok().flatten().unwrap_or_default(),
            group_id: u64::from(std::process::id()),
            build_info: concat!("wksp-checkpt ", env!("CARGO_PKG_VERSION")).into(),
            ..Self::default()
        }
    }

    /// The numbers in the order of the formats, `mode` not among them.
    pub(crate) const fn numbers(&self) -> [u64; 8] {
        let Self { app_id, thread_id, host_id, cpu_id, group_id, tid, user_id, .. } = *self;
        let wall_clock = self.wall_clock_ns.cast_unsigned();
        [wall_clock, app_id, thread_id, host_id, cpu_id, group_id, tid, user_id]
    }

    pub(crate) const fn set_numbers(&mut self, numbers: [u64; 8]) {
        let [wall_clock, app_id, thread_id, host_id, cpu_id, group_id, tid, user_id] = numbers;
        self.wall_clock_ns = wall_clock.cast_signed();
        self.app_id = app_id;
        self.thread_id = thread_id;
        self.host_id = host_id;
        self.cpu_id = cpu_id;
        self.group_id = group_id;
        self.tid = tid;
        self.user_id = user_id;
    }

    /// The texts in the order of v2, with their names and the most bytes that each may have.
    pub(crate) fn texts(&self) -> [(&'static str, &Text, usize); 9] {
        [
            ("the application", &self.app, TEXT_MAX),
            ("the thread", &self.thread, TEXT_MAX),
            ("the host", &self.host, TEXT_MAX),
            ("the processor", &self.cpu, TEXT_MAX),
            ("the group", &self.group, TEXT_MAX),
            ("the user", &self.user, TEXT_MAX),
            ("the path", &self.path, PATH_MAX),
            ("the build info", &self.build_info, INFO_MAX),
            ("the user info", &self.user_info, INFO_MAX),
        ]
    }

    /// The texts to be read, in the order of v2, with the most bytes that each may have.
    pub(crate) fn texts_mut(&mut self) -> [(&mut Text, usize); 9] {
        [
            (&mut self.app, TEXT_MAX),
            (&mut self.thread, TEXT_MAX),
            (&mut self.host, TEXT_MAX),
            (&mut self.cpu, TEXT_MAX),
            (&mut self.group, TEXT_MAX),
            (&mut self.user, TEXT_MAX),
            (&mut self.path, PATH_MAX),
            (&mut self.build_info, INFO_MAX),
            (&mut self.user_info, INFO_MAX),
        ]
    }

    /// Checks that the formats can hold the texts.
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        for (field, text, max) in self.texts() {
            let bytes = text.as_bytes().len();
            if bytes > max {
                return Err(WriteError::TooLong { field, bytes, max });
            }
            if text.as_bytes().contains(&0) {
                return Err(WriteError::HasNul { field });
            }
        }
        Ok(())
    }
}
