//! The checkpoint as it grows: units encoded by several threads, put one behind the other.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crc32fast::Hasher;

use crate::content::{Content, Run, Unit, Units};
use crate::control::{Control, Meter};
use crate::encode::Encoder;
use crate::error::WriteError;
use crate::shared::{Data, SharedBytes};
use crate::sink::Sink;
use crate::style::Style;

/// How many units each thread may be ahead of the sink.
const AHEAD: usize = 3;

/// Where the checkpoint goes, and how far it has come.
pub(crate) struct Output<'s> {
    sink: Sink<'s>,
    offset: u64,
    /// The digest of everything before `offset`, unless none is wanted.
    hasher: Option<Hasher>,
}

impl<'s> Output<'s> {
    pub(crate) fn new(sink: Sink<'s>, digest: bool) -> Self {
        Self { sink, offset: 0, hasher: digest.then(Hasher::new) }
    }

    /// Where the next byte goes.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The digest of everything so far.
    pub(crate) fn digest(&self) -> Option<u32> {
        self.hasher.clone().map(Hasher::finalize)
    }

    /// Puts bytes behind the last ones.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let offset = self.offset;
        let done = match &mut self.sink {
            Sink::Append(sink) => sink.append(bytes),
            Sink::WriteAt(sink) => sink.write_at(offset, bytes),
        };
        done.map_err(|source| WriteError::Sink { offset, source })?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.offset = offset.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Puts other bytes where some have been put already.
    pub(crate) fn patch(&mut self, offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        match &self.sink {
            Sink::Append(_) => Ok(()),
            Sink::WriteAt(sink) => {
                sink.write_at(offset, bytes).map_err(|source| WriteError::Sink { offset, source })
            }
        }
    }

    /// Puts all units of the content, and returns where the frames of the groups begin.
    pub(crate) fn put_content(
        &mut self,
        content: &Content,
        data: &dyn Data,
        style: Style,
        control: &Control<'_>,
    ) -> Result<Vec<u64>, WriteError> {
        // Without a digest nobody looks at raw bytes but the sink. With one, they go through a
        // buffer: someone may change them between the digest and the write.
        let digest = self.hasher.is_some();
        let direct = !digest && matches!(style, Style::V1 | Style::Raw);
        let turns = Mutex::new(Turns {
            units: content.units(Encoder::unit_bytes(style)),
            fetched: 0,
            placed: 0,
            ready: BTreeMap::new(),
            spare: Vec::new(),
            to: Some(match &mut self.sink {
                Sink::Append(sink) => To::Append(&mut **sink),
                Sink::WriteAt(sink) => To::WriteAt(*sink),
            }),
            frames: Vec::new(),
            offset: &mut self.offset,
            hasher: &mut self.hasher,
            error: None,
        });
        let threads = control.threads.get();
        let pipeline = Pipeline {
            content,
            data,
            style,
            digest,
            direct,
            control,
            ahead: threads.saturating_mul(AHEAD),
            meter: Meter::new(*control, content.bytes()),
            turns,
            moved: Condvar::new(),
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                // A thread that cannot be had is done without.
                if thread::Builder::new().spawn_scoped(scope, || pipeline.work()).is_err() {
                    break;
                }
            }
            pipeline.work();
        });
        let turns = pipeline.turns.into_inner().unwrap_or_else(PoisonError::into_inner);
        match turns.error {
            Some(error) => Err(error),
            None => Ok(turns.frames),
        }
    }
}

/// A unit that waits for the ones before it.
struct Encoded {
    unit: Unit,
    /// Its bytes, unless they go from the workspace to the sink directly.
    bytes: Option<Vec<u8>>,
    hasher: Option<Hasher>,
}

impl Encoded {
    fn len(&self) -> u64 {
        self.bytes.as_ref().map_or(self.unit.bytes, Vec::len) as u64
    }
}

/// Has the other threads end when one panics, instead of waiting for it.
struct Ending<'p, 'o, 'c>(&'p Pipeline<'o, 'c>);

impl Drop for Ending<'_, '_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().error.get_or_insert(WriteError::Cancelled);
            self.0.moved.notify_all();
        }
    }
}

/// What the threads share: whose turn it is.
struct Turns<'o, 'c> {
    units: Units<'c>,
    fetched: usize,
    placed: usize,
    ready: BTreeMap<usize, Encoded>,
    spare: Vec<Vec<u8>>,
    /// Where to write; nowhere while a thread is appending, since no other one may then.
    to: Option<To<'o>>,
    frames: Vec<u64>,
    offset: &'o mut u64,
    hasher: &'o mut Option<Hasher>,
    error: Option<WriteError>,
}

struct Pipeline<'o, 'c> {
    content: &'c Content,
    data: &'c dyn Data,
    style: Style,
    digest: bool,
    direct: bool,
    control: &'c Control<'c>,
    ahead: usize,
    meter: Meter<'c>,
    turns: Mutex<Turns<'o, 'c>>,
    moved: Condvar,
}

impl<'o, 'c> Pipeline<'o, 'c> {
    fn lock(&self) -> MutexGuard<'_, Turns<'o, 'c>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let _ending = Ending(self);
        if let Err(error) = self.encode_and_place() {
            self.lock().error.get_or_insert(error);
            self.moved.notify_all();
        }
    }

    fn encode_and_place(&self) -> Result<(), WriteError> {
        let mut encoder = Encoder::new(self.style)?;
        while let Some((turn, unit, spare)) = self.fetch() {
            if self.control.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
            let encoded = self.encode(&mut encoder, unit, spare)?;
            self.place(turn, encoded)?;
        }
        Ok(())
    }

    /// The next unit to be encoded, once there is room for it; `None` behind the last.
    fn fetch(&self) -> Option<(usize, Unit, Vec<u8>)> {
        let mut turns = self.lock();
        while turns.error.is_none() && turns.fetched.saturating_sub(turns.placed) >= self.ahead {
            turns = self.moved.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
        if turns.error.is_some() {
            return None;
        }
        let unit = turns.units.next()?;
        let turn = turns.fetched;
        turns.fetched = turn.saturating_add(1);
        Some((turn, unit, turns.spare.pop().unwrap_or_default()))
    }

    fn encode(
        &self,
        encoder: &mut Encoder,
        unit: Unit,
        mut bytes: Vec<u8>,
    ) -> Result<Encoded, WriteError> {
        if self.direct {
            return Ok(Encoded { unit, bytes: None, hasher: None });
        }
        bytes.clear();
        encoder.unit(self.data, self.content.runs(unit), unit.bytes, &mut bytes)?;
        let hasher = self.digest.then(|| {
            let mut hasher = Hasher::new();
            hasher.update(&bytes);
            hasher
        });
        Ok(Encoded { unit, bytes: Some(bytes), hasher })
    }

    /// Queues a unit, and writes all whose turn it is.
    fn place(&self, turn: usize, encoded: Encoded) -> Result<(), WriteError> {
        let mut turns = self.lock();
        turns.ready.insert(turn, encoded);
        while turns.error.is_none() {
            let next = turns.placed;
            let Some(mut to) = turns.to.take() else { break };
            let Some(encoded) = turns.ready.remove(&next) else {
                turns.to = Some(to);
                break;
            };
            let offset = *turns.offset;
            *turns.offset = offset.saturating_add(encoded.len());
            if let (Some(all), Some(hasher)) = (&mut *turns.hasher, &encoded.hasher) {
                all.combine(hasher);
            }
            if encoded.unit.is_first() {
                turns.frames.push(offset);
            }
            turns.placed = next.saturating_add(1);
            // Others may write at other places meanwhile, but not append.
            turns.to = to.shared();
            drop(turns);
            let done = self.write(&encoded, offset, &mut to);
            turns = self.lock();
            turns.to = Some(to);
            if let Some(bytes) = encoded.bytes {
                turns.spare.push(bytes);
            }
            self.moved.notify_all();
            done?;
            self.meter.add(encoded.unit.data_bytes);
        }
        Ok(())
    }

    fn write(&self, encoded: &Encoded, offset: u64, to: &mut To<'_>) -> Result<(), WriteError> {
        let mut at = offset;
        let mut put = |piece: Piece<'_>| {
            let done = match (&mut *to, piece) {
                (To::Append(sink), Piece::Bytes(bytes)) => sink.append(bytes),
                (To::Append(sink), Piece::Shared(bytes)) => sink.append_shared(bytes),
                (To::WriteAt(sink), Piece::Bytes(bytes)) => sink.write_at(at, bytes),
                (To::WriteAt(sink), Piece::Shared(bytes)) => sink.write_shared_at(at, bytes),
            };
            done.map_err(|source| WriteError::Sink { offset: at, source })?;
            at = at.saturating_add(piece.len() as u64);
            Ok(())
        };
        if let Some(bytes) = &encoded.bytes {
            return put(Piece::Bytes(bytes));
        }
        // Descriptions between the data are few bytes each, so they are gathered.
        let mut gathered: Vec<u8> = Vec::new();
        for run in self.content.runs(encoded.unit) {
            match run {
                Run::Inline(inline) => gathered.extend_from_slice(inline.as_bytes()),
                Run::Data(lo, bytes) => {
                    if !gathered.is_empty() {
                        put(Piece::Bytes(&gathered))?;
                        gathered.clear();
                    }
                    let shared = SharedBytes::new(self.data, lo, bytes);
                    put(Piece::Shared(shared.ok_or(WriteError::Compressor)?))?;
                }
            }
        }
        if gathered.is_empty() { Ok(()) } else { put(Piece::Bytes(&gathered)) }
    }
}

/// Where a unit is written.
enum To<'a> {
    Append(&'a mut (dyn crate::sink::Append + Send)),
    WriteAt(&'a dyn crate::sink::WriteAt),
}

impl To<'_> {
    /// The same place for another thread, if it can be written to by several.
    fn shared(&self) -> Option<Self> {
        match self {
            Self::Append(_) => None,
            Self::WriteAt(sink) => Some(Self::WriteAt(*sink)),
        }
    }
}

/// Bytes of a unit that lie together.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Bytes(&'a [u8]),
    Shared(SharedBytes<'a>),
}

impl Piece<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}
