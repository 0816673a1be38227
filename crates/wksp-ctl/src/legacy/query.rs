//! `query` of `fd_wksp_ctl`: everything in a workspace, damage too.

use std::ffi::OsString;

use wksp_core::{MAGIC, Tag};

use super::listing::{Listing, Row, Sum};
use super::run::{Run, name};
use crate::failure::{Failure, Kind};

/// Lists header, partitions and totals.
pub(super) fn query(run: &mut Run<'_>, [word]: [OsString; 1]) -> Result<(), Failure> {
    let name = name(&word)?;
    let shared = run.attach(&name)?;
    // What a dead holder left is recovered, as by every command; if it cannot be, it is shown.
    match run.locked(&shared, |_| Ok(())) {
        Err(failure) if failure.kind == Kind::Corrupt => run.log(&failure),
        recovered => recovered?,
    }
    let listing = run.patiently(&shared, || Ok(Listing::new(&run.session.salvage(&shared)?)))?;
    let workspace = shared.workspace();
    let geometry = workspace.geometry();
    let (lo, hi) = (geometry.data().lo().get(), geometry.data().hi().get());
    run.print(format_args!(
        "wksp {name}\n\
         \tmagic     {MAGIC:#018x}\n\
         \tseed      {}\n\
         \tpart_max  {}\n\
         \tdata_max  {}\n\
         \tgaddr     [{lo:#018x},{hi:#018x})\n",
        workspace.seed(),
        geometry.part_max(),
        geometry.data_max()
    ))?;
    for row in &listing.rows {
        write_row(run, row)?;
    }
    write_sum(run, "used", &listing.used)?;
    write_sum(run, "free", &listing.free)?;
    run.print(format_args!("\t{:20} errors detected\n", listing.error_count))
}

fn write_row(run: &mut Run<'_>, row: &Row) -> Result<(), Failure> {
    let listed = &row.listed;
    let mark = |is_wrong: bool, mark: &'static str| if is_wrong { mark } else { "" };
    run.print(format_args!(
        "\tpartition [{:#018x},{:#018x}) sz {:20} tag {:20} idx {}{}{}{}\n",
        listed.lo,
        listed.hi,
        row.bytes(),
        listed.tag.map_or(0, Tag::get),
        listed.index,
        mark(row.has_link_error, ", link_err"),
        mark(row.has_adjacency_error, ", adjacent_err"),
        mark(row.has_size_error, ", size_err")
    ))
}

fn write_sum(run: &mut Run<'_>, what: &str, sum: &Sum) -> Result<(), Failure> {
    let Sum { count, bytes, largest_bytes } = sum;
    run.print(format_args!(
        "\t{bytes:20} bytes {what} ({count:20} blocks, largest {largest_bytes:20} bytes)\n"
    ))
}
