//! `checkpt-query` of `fd_wksp_ctl`: what a checkpoint says of itself.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use wksp_checkpt::{Format, FrameStyle, Preview, Provenance};
use wksp_core::MAGIC;

use super::number::unsigned;
use super::run::{Run, file};
use crate::failure::Failure;
use crate::moment;
use crate::process::printable;
use crate::source::SourceName;

/// What stands for all that cannot be read.
const INVALID: &str = "\tinvalid or unsupported\n";

/// Shows a checkpoint, the more of it the larger the second number is.
pub(super) fn preview(run: &mut Run<'_>, [path, level]: [OsString; 2]) -> Result<(), Failure> {
    // As a C program stores it in an int.
    let [a, b, c, d, ..] = unsigned(level.as_bytes()).to_le_bytes();
    let level = i32::from_le_bytes([a, b, c, d]);
    run.print(format_args!("checkpt "))?;
    run.print_bytes(path.as_bytes())?;
    run.print(format_args!(" (verbose {level})\n"))?;
    let path = file(path);
    let from = SourceName::new(path.clone());
    let preview = from.open().and_then(|mut source| source.preview());
    let Some(preview) = run.logged(preview) else {
        return run.print(format_args!("{INVALID}"));
    };
    if level >= 0 {
        origin(run, &preview)?;
    }
    if level >= 1 {
        provenance(run, &preview)?;
    }
    if level >= 2 {
        texts(run, &preview)?;
    }
    if level >= 3 && preview.format == Format::V1 {
        content(run, path, level)?;
    }
    Ok(())
}

fn line(run: &mut Run<'_>, name: &str, value: impl fmt::Display) -> Result<(), Failure> {
    run.print(format_args!("\t{name:<22}{:>20}\n", value.to_string()))
}

fn origin(run: &mut Run<'_>, preview: &Preview) -> Result<(), Failure> {
    let style = match preview.format {
        Format::V1 => 1,
        _ => 2,
    };
    line(run, "style", style)?;
    line(run, "name", preview.name)?;
    line(run, "seed", preview.seed)?;
    line(run, "part_max", preview.geometry.part_max())?;
    line(run, "data_max", preview.geometry.data_max())
}

fn provenance(run: &mut Run<'_>, preview: &Preview) -> Result<(), Failure> {
    let Provenance { wall_clock_ns, .. } = preview.provenance;
    line(run, "magic", format_args!("{MAGIC:#018x}"))?;
    let since_1970 = Duration::from_nanos(u64::try_from(wall_clock_ns).unwrap_or_default());
    let date = moment::utc(UNIX_EPOCH.checked_add(since_1970).unwrap_or(UNIX_EPOCH));
    line(run, "wallclock", format_args!("{wall_clock_ns:>20} ({date})"))?;
    let Provenance { app, thread, host, cpu, group, user, .. } = &preview.provenance;
    let Provenance { app_id, thread_id, host_id, cpu_id, group_id, user_id, tid, .. } =
        preview.provenance;
    for (title, id, name) in [
        ("app", app_id, app),
        ("thread", thread_id, thread),
        ("host", host_id, host),
        ("cpu", cpu_id, cpu),
        ("group", group_id, group),
        ("user", user_id, user),
    ] {
        line(run, title, format_args!("{id:>20} ({})", printable(&name.to_string())))?;
    }
    line(run, "tid", tid)?;
    match preview.format {
        Format::V2(frames) => line(run, "frame_style_compressed", frame_style(frames)),
        _ => Ok(()),
    }
}

/// The number of a frame style in a file.
const fn frame_style(frames: FrameStyle) -> u32 {
    match frames {
        FrameStyle::Raw => 1,
        FrameStyle::Lz4 => 2,
        // Zstd is the only other one.
        _ => 3,
    }
}

fn texts(run: &mut Run<'_>, preview: &Preview) -> Result<(), Failure> {
    let Provenance { mode, path, build_info, user_info, .. } = &preview.provenance;
    if preview.format != Format::V1 {
        line(run, "mode", format_args!("{mode:04o}"))?;
        line(run, "path", printable(&path.to_string()))?;
    }
    for (title, text) in [("binfo", build_info), ("uinfo", user_info)] {
        run.print(format_args!("\t{title}\n"))?;
        for text in text.to_string().lines() {
            run.print(format_args!("\t\t{}\n", printable(text)))?;
        }
    }
    Ok(())
}

/// What is allocated in a v1 checkpoint, which has to be read to its end for that.
fn content(run: &mut Run<'_>, path: PathBuf, level: i32) -> Result<(), Failure> {
    let from = SourceName::new(path);
    let Some(mut source) = run.logged(from.open()) else {
        return run.print(format_args!("{INVALID}"));
    };
    let Some(checkpoint) = run.logged(source.checkpoint(u64::MAX)) else {
        return run.print(format_args!("{INVALID}"));
    };
    let allocations = checkpoint.allocations();
    line(run, "blocks", allocations.len())?;
    line(run, "bytes", checkpoint.data_bytes())?;
    if level < 4 {
        return Ok(());
    }
    for allocation in allocations {
        let (lo, hi) = (allocation.range.lo().get(), allocation.range.hi().get());
        run.print(format_args!(
            "\tpartition [{lo:#018x},{hi:#018x}) sz {:20} tag {:20}\n",
            allocation.range.bytes(),
            allocation.tag
        ))?;
    }
    Ok(())
}
