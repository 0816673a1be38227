//! Reading forwards, from a place in a source or from a stream.

use std::io::{self, Read};

use crc32fast::Hasher;

use crate::error::{Problem, ReadError};
use crate::sink::Append;
use crate::source::ReadAt;

/// How many bytes are read first, and how many at most unless more are asked for at once.
const FIRST_BYTES: usize = 4096;
const MOST_BYTES: usize = 262_144;

/// Bytes from front to back.
pub(crate) trait Input {
    /// The offset of the next byte.
    fn position(&self) -> u64;

    /// The next `bytes` bytes, which the caller has bounded.
    fn take(&mut self, bytes: usize) -> Result<&[u8], ReadError>;

    /// Passes over bytes.
    fn skip(&mut self, bytes: u64) -> Result<(), ReadError>;

    /// What is left, up to `most` bytes of it.
    fn rest(&mut self, most: usize) -> Result<&[u8], ReadError>;
}

/// The next `N` bytes.
pub(crate) fn array<const N: usize>(input: &mut dyn Input) -> Result<[u8; N], ReadError> {
    let offset = input.position();
    input.take(N)?.first_chunk().copied().ok_or(ReadError::Truncated { offset })
}

/// A buffer of which the bytes `lo .. hi` are yet to be taken.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    lo: usize,
    hi: usize,
}

impl Buffer {
    const fn len(&self) -> usize {
        self.hi.saturating_sub(self.lo)
    }

    /// Moves what is left to the front, and makes the buffer hold `bytes` at least.
    fn make_room(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.bytes.copy_within(self.lo..self.hi, 0);
        (self.lo, self.hi) = (0, self.len());
        let more = bytes.saturating_sub(self.bytes.len());
        self.bytes.try_reserve_exact(more).map_err(|_| ReadError::Memory { bytes: more })?;
        self.bytes.resize(bytes.max(self.bytes.len()), 0);
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> &[u8] {
        let lo = self.lo;
        self.lo = lo.saturating_add(bytes).min(self.hi);
        self.bytes.get(lo..self.lo).unwrap_or_default()
    }
}

/// A stretch of a source.
pub(crate) struct At<'s> {
    source: &'s dyn ReadAt,
    /// Behind the last byte of the buffer.
    offset: u64,
    end: u64,
    /// Where, before `end`, something begins that what is read now must not reach into.
    next: Option<u64>,
    buffer: Buffer,
    /// How many bytes to read next: few behind a jump, more and more while going on.
    step: usize,
    hashed: Option<Hashed>,
}

/// The hash of what has been taken.
#[derive(Default)]
struct Hashed {
    hasher: Hasher,
    /// Up to where in the buffer.
    hi: usize,
}

impl<'s> At<'s> {
    /// Begins at `offset`, and ends at `end`, which is not behind the end of the source.
    pub(crate) fn new(source: &'s dyn ReadAt, offset: u64, end: u64) -> Self {
        let buffer = Buffer::default();
        Self { source, offset, end, next: None, buffer, step: FIRST_BYTES, hashed: None }
    }

    /// Hashes everything that is taken from here on, which must be done without a jump.
    pub(crate) fn hash(&mut self) {
        self.hashed = Some(Hashed { hasher: Hasher::new(), hi: self.buffer.lo });
    }

    /// The hash of what has been taken since [`hash`](Self::hash).
    pub(crate) fn into_hasher(mut self) -> Option<Hasher> {
        self.hash_taken();
        self.hashed.map(|hashed| hashed.hasher)
    }

    /// Hashes what has been taken from the buffer.
    ///
    /// In large steps, since many of those in which it is taken are of three bytes.
    fn hash_taken(&mut self) {
        if let Some(Hashed { hasher, hi }) = &mut self.hashed {
            hasher.update(self.buffer.bytes.get(*hi..self.buffer.lo).unwrap_or_default());
            *hi = self.buffer.lo;
        }
    }

    /// Goes to a frame at `offset`, behind which another one begins at `next`.
    ///
    /// So no byte is read for two frames, and what all frames together cost is bounded by the bytes
    /// of the source.
    pub(crate) fn seek_frame(&mut self, offset: u64, next: u64) {
        self.seek(offset);
        self.next = Some(next).filter(|&next| next < self.end);
    }

    /// Fails unless there are `bytes` bytes more.
    fn check(&self, bytes: u64) -> Result<(), ReadError> {
        let end = self.next.unwrap_or(self.end);
        match self.position().checked_add(bytes) {
            Some(position) if position <= end => Ok(()),
            _ => Err(self.next.map_or(ReadError::Truncated { offset: end }, |next| {
                Problem::FrameOverlap.at(next)
            })),
        }
    }

    /// Goes to another place, which costs nothing if it is in the buffer.
    pub(crate) fn seek(&mut self, offset: u64) {
        let ahead = offset.checked_sub(self.position()).and_then(|by| usize::try_from(by).ok());
        match ahead.filter(|&by| by <= self.buffer.len()) {
            Some(by) => {
                self.buffer.take(by);
            }
            None => {
                (self.buffer.lo, self.buffer.hi) = (0, 0);
                self.offset = offset;
                self.step = FIRST_BYTES;
            }
        }
    }

    fn fill(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.hash_taken();
        self.buffer.make_room(bytes.max(self.step))?;
        if let Some(hashed) = &mut self.hashed {
            hashed.hi = self.buffer.lo;
        }
        let Buffer { bytes: buffer, hi, .. } = &mut self.buffer;
        let room = buffer.get_mut(*hi..).unwrap_or_default();
        let left = self.end.saturating_sub(self.offset);
        let most = room.len().min(bytes.saturating_sub(*hi).max(self.step));
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(most);
        self.step = self.step.saturating_mul(2).min(MOST_BYTES);
        let offset = self.offset;
        self.source.read_at(offset, room.get_mut(..count).unwrap_or_default()).map_err(
            |source| at_end(offset, source, |offset, source| ReadError::Source { offset, source }),
        )?;
        *hi = hi.saturating_add(count);
        self.offset = offset.saturating_add(count as u64);
        Ok(())
    }
}

/// The error of a source that ended, or another one.
fn at_end(offset: u64, error: io::Error, other: impl Fn(u64, io::Error) -> ReadError) -> ReadError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Truncated { offset },
        _ => other(offset, error),
    }
}

impl Input for At<'_> {
    fn position(&self) -> u64 {
        self.offset.saturating_sub(self.buffer.len() as u64)
    }

    fn take(&mut self, bytes: usize) -> Result<&[u8], ReadError> {
        self.check(bytes as u64)?;
        if self.buffer.len() < bytes {
            self.fill(bytes)?;
        }
        Ok(self.buffer.take(bytes))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), ReadError> {
        self.check(bytes)?;
        self.seek(self.position().saturating_add(bytes));
        Ok(())
    }

    fn rest(&mut self, most: usize) -> Result<&[u8], ReadError> {
        let left = usize::try_from(self.end.saturating_sub(self.position())).unwrap_or(usize::MAX);
        self.take(left.min(most))
    }
}

/// A stream, of which a copy may be kept.
pub(crate) struct Stream<'s> {
    stream: &'s mut dyn Read,
    spool: Option<&'s mut dyn Append>,
    /// The offset of the first byte in the buffer, taken or not.
    offset: u64,
    buffer: Buffer,
}

impl<'s> Stream<'s> {
    pub(crate) fn new(stream: &'s mut dyn Read, spool: Option<&'s mut dyn Append>) -> Self {
        Self { stream, spool, offset: 0, buffer: Buffer::default() }
    }

    /// Keeps what has been taken from the buffer.
    pub(crate) fn keep(&mut self) -> Result<(), ReadError> {
        let taken = self.buffer.bytes.get(..self.buffer.lo).unwrap_or_default();
        if let Some(spool) = &mut self.spool {
            let offset = self.offset;
            spool.append(taken).map_err(|source| ReadError::Spool { offset, source })?;
        }
        self.offset = self.offset.saturating_add(taken.len() as u64);
        self.buffer.bytes.copy_within(self.buffer.lo..self.buffer.hi, 0);
        (self.buffer.lo, self.buffer.hi) = (0, self.buffer.len());
        Ok(())
    }

    /// Reads until the buffer has `bytes` bytes or the stream ends.
    fn fill(&mut self, bytes: usize) -> Result<(), ReadError> {
        if self.buffer.len() < bytes {
            self.keep()?;
            self.buffer.make_room(bytes.max(MOST_BYTES))?;
        }
        while self.buffer.len() < bytes {
            let offset = self.offset.saturating_add(self.buffer.hi as u64);
            let room = self.buffer.bytes.get_mut(self.buffer.hi..).unwrap_or_default();
            match self.stream.read(room) {
                Ok(0) => break,
                Ok(count) => self.buffer.hi = self.buffer.hi.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ReadError::Source { offset, source }),
            }
        }
        Ok(())
    }
}

impl Input for Stream<'_> {
    fn position(&self) -> u64 {
        self.offset.saturating_add(self.buffer.lo as u64)
    }

    fn take(&mut self, bytes: usize) -> Result<&[u8], ReadError> {
        self.fill(bytes)?;
        if self.buffer.len() < bytes {
            let offset = self.offset.saturating_add(self.buffer.hi as u64);
            return Err(ReadError::Truncated { offset });
        }
        Ok(self.buffer.take(bytes))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), ReadError> {
        let mut left = bytes;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(MOST_BYTES);
            self.take(count)?;
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }

    fn rest(&mut self, most: usize) -> Result<&[u8], ReadError> {
        self.fill(most)?;
        let count = self.buffer.len().min(most);
        Ok(self.buffer.take(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Says that it has `0` bytes, and keeps what was read of them.
    struct Said(u64, Mutex<Vec<(u64, usize)>>);

    impl ReadAt for Said {
        fn bytes(&self) -> io::Result<u64> {
            Ok(self.0)
        }

        fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
            self.1.lock().unwrap().push((offset, to.len()));
            let has = offset.checked_add(to.len() as u64).is_some_and(|end| end <= self.0);
            if has { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
    }

    #[test]
    fn what_is_in_the_buffer_is_not_read_again() {
        let source = Said(100_000, Mutex::default());
        let mut at = At::new(&source, 0, 100_000);
        let mut taken = 0;
        // Exactly what was read first, then more than is read next, then what is left.
        for bytes in [4096, 1, 8191, 50_000, 37_712] {
            assert_eq!(at.take(bytes).unwrap().len(), bytes);
            taken += bytes as u64;
            assert_eq!(at.position(), taken);
        }
        assert!(matches!(at.take(1), Err(ReadError::Truncated { offset: 100_000 })));
        let read = source.1.into_inner().unwrap();
        assert_eq!(read, [(0, 4096), (4096, 8192), (12_288, 50_000), (62_288, 37_712)]);
    }

    #[test]
    fn reading_on_takes_larger_and_larger_steps_up_to_a_bound() {
        let source = Said(1 << 30, Mutex::default());
        let mut at = At::new(&source, 7, 1 << 30);
        for _ in 0..2_000 {
            at.take(1000).unwrap();
        }
        let read = source.1.into_inner().unwrap();
        let steps: Vec<_> = read.iter().map(|(_, bytes)| *bytes >> 10).collect();
        assert!(steps.starts_with(&[4, 7, 15]) && steps.ends_with(&[255]), "{steps:?}");
        assert!(steps.is_sorted() && steps.len() < 15, "{steps:?}");
    }

    #[test]
    fn a_frame_ends_where_the_next_one_or_the_source_does() {
        let source = Said(100, Mutex::default());
        let mut at = At::new(&source, 0, 100);
        at.seek_frame(10, 20);
        assert_eq!(at.take(10).unwrap().len(), 10);
        let overlap = |found| match found {
            Err(ReadError::Malformed { offset, problem: Problem::FrameOverlap }) => Some(offset),
            _ => None,
        };
        assert_eq!(overlap(at.skip(1)), Some(20));
        at.seek_frame(90, 100);
        assert!(matches!(at.take(11), Err(ReadError::Truncated { offset: 100 })));
        assert_eq!(at.take(10).unwrap().len(), 10);
        at.seek_frame(90, 99);
        assert_eq!(overlap(at.skip(10)), Some(99));
    }

    #[test]
    fn a_source_that_is_shorter_than_it_said_is_cut_off() {
        let source = Said(100, Mutex::default());
        let mut at = At::new(&source, 50, 101);
        assert!(matches!(at.take(10), Err(ReadError::Truncated { offset: 50 })));
        let other = at_end(3, io::ErrorKind::TimedOut.into(), |offset, source| ReadError::Source {
            offset,
            source,
        });
        assert!(matches!(other, ReadError::Source { offset: 3, .. }));
    }

    /// Gives one byte at a time, and is interrupted before each; fails at the end.
    struct Slow(u8);

    impl Read for Slow {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(1);
            match (self.0, to.first_mut()) {
                (9.., _) => Err(io::ErrorKind::TimedOut.into()),
                (_, Some(to)) if self.0.is_multiple_of(2) => {
                    *to = self.0;
                    Ok(1)
                }
                _ => Err(io::ErrorKind::Interrupted.into()),
            }
        }
    }

    #[test]
    fn a_stream_goes_on_behind_an_interruption_and_ends_with_an_error() {
        let mut slow = Slow(0);
        assert_eq!(Stream::new(&mut slow, None).take(3).unwrap(), [2, 4, 6]);
        assert_eq!(slow.0, 6, "whoever writes it may wait for an answer before it goes on");
        slow = Slow(0);
        let mut stream = Stream::new(&mut slow, None);
        stream.take(3).unwrap();
        let failed = stream.take(2);
        assert!(matches!(failed, Err(ReadError::Source { offset: 4, .. })), "{failed:?}");
    }

    #[test]
    fn the_rest_of_a_stream_is_all_that_comes_up_to_a_bound() {
        for (most, expected) in [(3, &b"cde"[..]), (6, b"cdefgh"), (100, b"cdefgh")] {
            // The second part comes later.
            let mut parts = (&b"abcde"[..]).chain(&b"fgh"[..]);
            let mut stream = Stream::new(&mut parts, None);
            assert_eq!(stream.take(2).unwrap(), b"ab");
            assert_eq!(stream.rest(most).unwrap(), expected);
            assert_eq!(stream.position(), 2 + expected.len() as u64);
        }
    }

    #[test]
    fn a_stream_is_passed_over_by_exactly_as_many_bytes() {
        let bytes: Vec<u8> = (0..600_000_u32).map(|at| (at % 251) as u8).collect();
        for skipped in [0, 1, MOST_BYTES, MOST_BYTES + 1, 599_999] {
            let (mut from, mut spool) = (&bytes[..], Vec::new());
            let mut stream = Stream::new(&mut from, Some(&mut spool));
            stream.skip(skipped as u64).unwrap();
            assert_eq!(stream.position(), skipped as u64);
            assert_eq!(stream.take(1).unwrap(), [bytes[skipped]]);
            stream.keep().unwrap();
            assert_eq!(spool, bytes[..=skipped]);
        }
        let mut from = &bytes[..];
        let cut_off = Stream::new(&mut from, None).skip(600_001);
        assert!(matches!(cut_off, Err(ReadError::Truncated { offset: 600_000 })), "{cut_off:?}");
    }
}
