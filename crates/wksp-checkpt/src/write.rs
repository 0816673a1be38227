//! Writing a checkpoint of a workspace.

use wksp_core::{Guard, Party, Tag};

use crate::content::{Content, Order};
use crate::control::Control;
use crate::digest::{self, Protection};
use crate::encode::Encoder;
use crate::error::WriteError;
use crate::layout::{Command, Footer, Header, Origin, info_to_bytes};
use crate::output::Output;
use crate::provenance::Provenance;
use crate::sink::Sink;
use crate::style::{FrameStyle, Style};
use crate::svw;

/// How a checkpoint is to be written.
#[derive(Clone, Debug)]
pub struct WriteOptions<'o> {
    /// In which format.
    pub style: Style,
    /// Only the allocations with one of these tags, or all.
    pub tags: Option<&'o [Tag]>,
    /// What to say about where it comes from.
    pub provenance: Provenance,
    /// Whether there is to be a digest; the chunks of zstd have checksums in any case.
    pub digest: bool,
    /// Threads, cancellation and progress.
    pub control: Control<'o>,
}

impl Default for WriteOptions<'_> {
    /// LZ4, all allocations, the present time and process, a digest, one thread.
    fn default() -> Self {
        Self {
            style: Style::default(),
            tags: None,
            provenance: Provenance::now(),
            digest: true,
            control: Control::default(),
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The bytes of the checkpoint.
    pub bytes: u64,
    /// The number of allocations in it.
    pub allocations: u64,
    /// Their bytes.
    pub data_bytes: u64,
    /// What protects it against damage.
    pub protection: Protection,
}

/// Writes a checkpoint of what is allocated in a workspace.
///
/// The bytes are the same for any number of threads.
/// Needs memory for a list of the allocations, and less than 8 MiB for each thread.
/// Returns when the sink has all bytes; making them durable can wait until the lock is given back.
///
/// # Concurrency
///
/// The lock keeps others from allocating and freeing, not from writing to what they have allocated.
/// Bytes that someone writes meanwhile go into the checkpoint old or new, each for itself, so an
/// allocation that is being changed may go into it half changed.
/// Whatever goes into it is what the digest is of, and what a reader gets.
/// Raw bytes go from the workspace to the sink directly if there is no digest, and through a
/// buffer of the thread otherwise.
///
/// # Errors
///
/// [`WriteError`]; the workspace is as it was, and what the sink holds is of no use.
#[doc(alias = "fd_wksp_checkpt")]
pub fn write<'s, P: Party + Sync>(
    guard: &Guard<'_, '_, P>,
    sink: impl Into<Sink<'s>>,
    options: &WriteOptions<'_>,
) -> Result<Written, WriteError> {
    let WriteOptions { style, tags, ref provenance, digest, ref control } = *options;
    style.check()?;
    provenance.check()?;
    let user_info = provenance.user_info.as_bytes();
    if style.frames().is_some() && !matches!(digest::unmark(user_info), Ok((_, None))) {
        return Err(WriteError::LooksLikeDigest);
    }
    let workspace = guard.workspace();
    let origin =
        Origin { name: workspace.name()?, seed: workspace.seed(), geometry: *workspace.geometry() };
    let frames = style.frames();
    let order = if frames.is_some() { Order::V2 } else { Order::V1 };
    let content = Content::list(guard, tags, order)?;
    let mut to = Writing { style, origin, provenance, content, data: workspace, control, digest };
    let protection = match frames {
        None => to.v1(sink.into()),
        Some(frames) => to.v2(sink.into(), Header { frames, origin }),
    }?;
    let (bytes, protection) = protection;
    let (allocations, data_bytes) = (to.content.allocation_count(), to.content.bytes());
    Ok(Written { bytes, allocations, data_bytes, protection })
}

struct Writing<'w> {
    style: Style,
    origin: Origin,
    provenance: &'w Provenance,
    content: Content,
    data: &'w dyn crate::shared::Data,
    control: &'w Control<'w>,
    digest: bool,
}

impl Writing<'_> {
    fn v1(&mut self, sink: Sink<'_>) -> Result<(u64, Protection), WriteError> {
        let mut output = Output::new(sink, self.digest);
        output.put(&v1_head(&self.origin, self.provenance))?;
        output.put_content(&self.content, self.data, self.style, self.control)?;
        let mut end = Vec::new();
        svw::encode(0, &mut end);
        output.put(&end)?;
        let Some(digest) = output.digest() else {
            return Ok((output.offset(), Protection::None));
        };
        output.put(&digest::trailer(digest))?;
        Ok((output.offset(), Protection::Digest(digest)))
    }

    fn v2(&mut self, sink: Sink<'_>, header: Header) -> Result<(u64, Protection), WriteError> {
        // A file gets its digest into the user info, which can be patched unless it is compressed;
        // a stream and what is compressed get it into volumes.
        let is_marked =
            self.digest && matches!(sink, Sink::WriteAt(_)) && header.frames != FrameStyle::Zstd;
        let mut encoder = Encoder::new(self.style)?;
        let mut output = Output::new(sink, self.digest);
        output.put(&header.to_bytes())?;
        let mut provenance = self.provenance.clone();
        if is_marked {
            provenance.user_info = digest::mark(provenance.user_info.as_bytes()).into();
        }
        let (numbers, texts) = info_to_bytes(&provenance);
        output.put(&encoder.frame(&[&numbers, &texts], is_marked)?)?;
        let digits_at = output.offset().saturating_sub(digest::DIGITS_BEFORE_END);

        let offsets = output.put_content(&self.content, self.data, self.style, self.control)?;
        let mut footer = Footer {
            allocation_count: self.content.allocation_count(),
            group_count: offsets.len() as u64,
            volume_count: 1,
            volumes_offset: 0,
            checkpoint_bytes: 0,
        };
        let counts = self.content.group_counts();
        let mut last_appendix = put_appendix(&mut output, &mut encoder, &offsets, counts, 0)?;
        let stream_digest = output.digest().filter(|_| !is_marked);
        for bit in stream_digest.into_iter().flat_map(digest::volume_bits) {
            let group = bit.then_some(output.offset());
            if bit {
                output.put(&encoder.frame(&[&Command::Data.to_bytes()], false)?)?;
                footer.group_count = footer.group_count.saturating_add(1);
            }
            let none = group.iter().map(|_| 0);
            last_appendix =
                put_appendix(&mut output, &mut encoder, group.as_slice(), none, last_appendix)?;
            footer.volume_count = footer.volume_count.saturating_add(1);
        }
        if is_marked {
            // Says in another place that there is a mark, so that no single damage takes the mark
            // away and is not noticed.
            let none = std::iter::empty();
            last_appendix = put_appendix(&mut output, &mut encoder, &[], none, last_appendix)?;
            footer.volume_count = footer.volume_count.saturating_add(1);
        }
        footer.volumes_offset = output.offset();
        let volumes = Command::Volumes { last_appendix }.to_bytes();
        output.put(&encoder.frame(&[&volumes], false)?)?;
        footer.checkpoint_bytes =
            output.offset().saturating_add(crate::layout::FOOTER_BYTES as u64);
        output.put(&footer.to_bytes(header))?;

        let protection = match (header.frames, stream_digest.or_else(|| output.digest())) {
            (FrameStyle::Zstd, None) => Protection::Chunks,
            (_, None) => Protection::None,
            (_, Some(digest)) => {
                if is_marked {
                    output.patch(digits_at, &digest::digits(digest))?;
                }
                Protection::Digest(digest)
            }
        };
        Ok((footer.checkpoint_bytes, protection))
    }
}

/// Puts the appendix of a volume, and returns where it begins.
fn put_appendix(
    output: &mut Output<'_>,
    encoder: &mut Encoder,
    offsets: &[u64],
    counts: impl Iterator<Item = u64>,
    previous: u64,
) -> Result<u64, WriteError> {
    let at = output.offset();
    let command = Command::Appendix { group_count: offsets.len() as u64, previous };
    let offsets: Vec<u8> = offsets.iter().copied().flat_map(u64::to_le_bytes).collect();
    let counts: Vec<u8> = counts.flat_map(u64::to_le_bytes).collect();
    output.put(&encoder.frame(&[&command.to_bytes(), &offsets, &counts], false)?)?;
    Ok(at)
}

/// Everything of v1 before the first allocation.
fn v1_head(origin: &Origin, provenance: &Provenance) -> Vec<u8> {
    const STYLE: u64 = 1;
    let mut head = Vec::new();
    let geometry = &origin.geometry;
    let numbers = [
        wksp_core::MAGIC,
        STYLE,
        u64::from(origin.seed),
        u64::from(geometry.part_max()),
        geometry.data_max(),
    ];
    for number in numbers.into_iter().chain(provenance.numbers()) {
        svw::encode(number, &mut head);
    }
    let [app, thread, host, cpu, group, user, _, build_info, user_info] =
        provenance.texts().map(|(_, text, _)| text.as_bytes());
    let name = origin.name.as_str().as_bytes();
    for text in [name, app, thread, host, cpu, group, user, build_info, user_info] {
        svw::encode(text.len() as u64, &mut head);
        head.extend_from_slice(text);
    }
    head
}
