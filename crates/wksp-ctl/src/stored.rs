//! What a checkpoint says of itself, for JSON and people.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use wksp_checkpt::{Format, FrameStyle, Preview, Protection, Provenance};

use crate::moment;
use crate::process::printable;
use crate::session::Session;
use crate::size::Bytes;

/// What users call a format.
pub(crate) const fn format_name(format: Format) -> &'static str {
    match format {
        Format::V1 => "v1",
        Format::V2(FrameStyle::Raw) => "v2",
        Format::V2(FrameStyle::Lz4) => "v3",
        Format::V2(FrameStyle::Zstd) => "zstd",
        _ => "unknown",
    }
}

/// What protects a checkpoint against damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ProtectionReport {
    /// `digest`, `checksums` or `none`.
    kind: &'static str,
    /// The digest: a CRC-32 in hexadecimal.
    digest: Option<String>,
}

impl ProtectionReport {
    pub(crate) fn new(protection: Protection) -> Self {
        match protection {
            Protection::Digest(digest) => {
                Self { kind: "digest", digest: Some(format!("{digest:08x}")) }
            }
            Protection::Chunks => Self { kind: "checksums", digest: None },
            _ => Self { kind: "none", digest: None },
        }
    }
}

impl fmt::Display for ProtectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.digest, self.kind) {
            (Some(digest), _) => write!(f, "crc32 {digest}"),
            (None, "checksums") => f.write_str("checksums in all chunks"),
            (None, _) => f.write_str("none"),
        }
    }
}

/// Whether a checkpoint that was read as a whole is known to be what was written.
pub(crate) const fn state(is_protected: bool) -> &'static str {
    if is_protected { "verified" } else { "unverified" }
}

/// Says so if it is not known.
pub(crate) fn notice_unverified(session: &Session<'_>, source: &str, is_protected: bool) {
    if !is_protected {
        let text = format!("{source}: unverified: the file carries no digest");
        session.notice("unverified", &text);
    }
}

/// The front of a checkpoint.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PreviewReport {
    format: &'static str,
    /// The workspace that it was taken of.
    origin: OriginReport,
    provenance: ProvenanceReport,
}

#[derive(Clone, Debug, Serialize)]
struct OriginReport {
    name: String,
    seed: u32,
    part_max: u32,
    data_max: u64,
    gaddr_lo: u64,
    gaddr_hi: u64,
}

#[derive(Clone, Debug, Serialize)]
struct ProvenanceReport {
    /// In UTC.
    written: String,
    mode: String,
    app: String,
    app_id: u64,
    thread: String,
    thread_id: u64,
    host: String,
    host_id: u64,
    cpu: String,
    cpu_id: u64,
    group: String,
    group_id: u64,
    tid: u64,
    user: String,
    user_id: u64,
    path: String,
    build_info: String,
    user_info: String,
}

impl PreviewReport {
    pub(crate) fn new(preview: &Preview) -> Self {
        let geometry = &preview.geometry;
        Self {
            format: format_name(preview.format),
            origin: OriginReport {
                name: preview.name.to_string(),
                seed: preview.seed,
                part_max: geometry.part_max(),
                data_max: geometry.data_max(),
                gaddr_lo: geometry.data().lo().get(),
                gaddr_hi: geometry.data().hi().get(),
            },
            provenance: ProvenanceReport::new(&preview.provenance),
        }
    }
}

impl ProvenanceReport {
    fn new(provenance: &Provenance) -> Self {
        let since_1970 = u64::try_from(provenance.wall_clock_ns).unwrap_or_default();
        let text = ToString::to_string;
        Self {
            written: moment::utc(
                UNIX_EPOCH.checked_add(Duration::from_nanos(since_1970)).unwrap_or(UNIX_EPOCH),
            ),
            mode: format!("{:04o}", provenance.mode),
            app: text(&provenance.app),
            app_id: provenance.app_id,
            thread: text(&provenance.thread),
            thread_id: provenance.thread_id,
            host: text(&provenance.host),
            host_id: provenance.host_id,
            cpu: text(&provenance.cpu),
            cpu_id: provenance.cpu_id,
            group: text(&provenance.group),
            group_id: provenance.group_id,
            tid: provenance.tid,
            user: text(&provenance.user),
            user_id: provenance.user_id,
            path: text(&provenance.path),
            build_info: text(&provenance.build_info),
            user_info: text(&provenance.user_info),
        }
    }
}

impl fmt::Display for PreviewReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, origin, provenance } = self;
        let mut line = |title: &str, text: &dyn fmt::Display| writeln!(f, "  {title:<9}{text}");
        line("format", format)?;
        line("of", &format_args!("workspace {}, seed {}", origin.name, origin.seed))?;
        let data = Bytes(origin.data_max);
        line("data", &format_args!("{data} at [{}, {})", origin.gaddr_lo, origin.gaddr_hi))?;
        line("records", &origin.part_max)?;
        let ProvenanceReport { written, group_id, user_id, .. } = provenance;
        line("written", &format_args!("{written} by process {group_id} of user {user_id}"))?;
        for (title, text) in [
            ("by", &provenance.app),
            ("on", &provenance.host),
            ("build", &provenance.build_info),
            ("file", &provenance.path),
            ("info", &provenance.user_info),
        ] {
            if !text.is_empty() {
                line(title, &printable(text))?;
            }
        }
        Ok(())
    }
}
