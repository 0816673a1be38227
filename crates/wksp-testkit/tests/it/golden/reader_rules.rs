//! Every rule of the checkpoint formats, broken by hand one at a time.

use wksp_testkit::checkpoint::{Problem, ReadError};
use wksp_testkit::golden::{self, Flavour};
use wksp_testkit::image::Used;
use wksp_testkit::naive_v1;
use wksp_testkit::naive_v2::{read_by_offset, read_stream};

const MAGIC: u64 = 0xF17E_DA2C_3731_C591;

/// A v1 stream in the making, every integer in the longest form.
struct V1(Vec<u8>);

impl V1 {
    fn int(mut self, value: u64) -> Self {
        let word: u128 = 0x00F0_0000_0000_0000_000F | u128::from(value) << 4;
        self.0.extend(&word.to_le_bytes()[..9]);
        self
    }

    fn ints(self, values: &[u64]) -> Self {
        values.iter().fold(self, |stream, value| stream.int(*value))
    }

    fn buf(self, bytes: &[u8]) -> Self {
        let mut stream = self.int(bytes.len() as u64);
        stream.0.extend(bytes);
        stream
    }

    fn allocation(self, tag: u64, lo: u64, bytes: &[u8]) -> Self {
        let mut stream = self.ints(&[tag, lo, bytes.len() as u64]);
        stream.0.extend(bytes);
        stream
    }

    /// Everything in front of the allocations: two records, so data is [256, 1256).
    fn opened() -> Self {
        Self::with_strings(b"name", b"app", b"user info")
    }

    fn with_strings(name: &[u8], app: &[u8], user_info: &[u8]) -> Self {
        let stream = Self(Vec::new()).ints(&[MAGIC, 1, 7, 2, 1000]);
        let stream = stream.ints(&[u64::MAX, 1, 2, 3, 4, 5, 6, 7]).buf(name).buf(app);
        let strings: [&[u8]; 6] = [b"thread", b"", b"cpu", b"group", b"user", b"build\n"];
        strings.iter().fold(stream, |stream, string| stream.buf(string)).buf(user_info)
    }

    #[track_caller]
    fn refused(self) -> Problem {
        naive_v1::read(&self.int(0).0).unwrap_err().problem
    }
}

#[test]
fn a_v1_stream_may_use_the_longest_form_of_integers_and_any_order() {
    let stream = V1::opened().allocation(9, 1255, b"z").allocation(8, 256, b"abc").int(0);
    let read = naive_v1::read(&stream.0).unwrap();
    assert_eq!(read.metadata.wall_clock_ns, -1);
    assert_eq!((read.metadata.app_id, read.metadata.user_id), (1, 7));
    assert_eq!(read.metadata.thread, b"thread");
    assert_eq!(read.metadata.host, b"");
    assert_eq!((read.metadata.mode, read.metadata.path), (None, None));
    let found: Vec<_> = read.allocations.iter().map(|it| (it.tag, it.lo, &it.bytes[..])).collect();
    assert_eq!(found, [(8, 256, &b"abc"[..]), (9, 1255, &b"z"[..])]);
}

#[test]
fn v1_allocations_are_inside_apart_and_not_too_many() {
    let used = |lo, hi| Used { lo, hi, tag: 1 };
    let opened = V1::opened;
    assert_eq!(opened().allocation(1, 300, b"").refused(), Problem::Range(used(300, 300)));
    assert_eq!(opened().allocation(1, 255, b"ab").refused(), Problem::Range(used(255, 257)));
    assert_eq!(opened().allocation(1, 1255, b"ab").refused(), Problem::Range(used(1255, 1257)));
    let wrapping = opened().ints(&[1, 300, u64::MAX]);
    assert_eq!(wrapping.refused(), Problem::Range(used(300, u64::MAX)));
    let two = opened().allocation(1, 300, b"abc").allocation(1, 302, b"c");
    assert_eq!(two.refused(), Problem::Overlap(used(302, 303)));
    let two = opened().allocation(1, 300, b"abc").allocation(1, 299, b"cd");
    assert_eq!(two.refused(), Problem::Overlap(used(299, 301)));
    let three = opened().allocation(1, 300, b"a").allocation(1, 301, b"a").allocation(1, 302, b"a");
    assert_eq!(three.refused(), Problem::TooMany);
    assert_eq!(opened().ints(&[1, 300, 900]).refused(), Problem::UnexpectedEnd);
}

#[test]
fn v1_fields_keep_their_limits() {
    let start = |values: &[u64]| V1(Vec::new()).ints(values);
    assert_eq!(start(&[1]).refused(), Problem::Magic(1));
    assert_eq!(start(&[MAGIC, 2]).refused(), Problem::Style(2));
    assert_eq!(start(&[MAGIC, 1, 1 << 32]).refused(), Problem::Seed(1 << 32));
    for geometry in [[0, 9], [1 << 32, 9], [1, 0], [1, u64::MAX]] {
        let stream = start(&[MAGIC, 1, 0]).ints(&geometry);
        assert_eq!(stream.refused(), Problem::Geometry);
    }
    let strings = V1::with_strings;
    let read = |stream: V1| naive_v1::read(&stream.int(0).0);
    assert!(read(strings(&[b'n'; 39], &[b'a'; 39], &[b'u'; 16383])).is_ok());
    assert_eq!(strings(&[b'n'; 40], b"", b"").refused(), Problem::StringLength(40));
    assert_eq!(strings(b"n", &[b'a'; 40], b"").refused(), Problem::StringLength(40));
    assert_eq!(strings(b"n", b"", &[b'u'; 16384]).refused(), Problem::StringLength(16384));
    assert_eq!(strings(b"n", b"a\0", b"").refused(), Problem::StringNul);
    assert_eq!(strings(b"", b"", b"").refused(), Problem::Name);
    assert_eq!(strings(b"a/b", b"", b"").refused(), Problem::Name);
}

/// A golden v2 file of one group with ten allocations.
struct V2(Vec<u8>);

const INFO: usize = 80;
const GROUP: usize = 295;
const APPENDIX: usize = 7829;
const VOLUMES: usize = 7869;
const FOOTER: usize = 7893;

impl V2 {
    fn new(flavour: Flavour) -> Self {
        let golden = golden::require();
        Self(golden.checkpoint(golden.case("small"), flavour))
    }

    fn with(mut self, at: usize, word: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&word.to_le_bytes());
        self
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn refused(&self) -> [Problem; 2] {
        let problem = |error: ReadError| error.problem;
        [problem(read_by_offset(&self.0).unwrap_err()), problem(read_stream(&self.0).unwrap_err())]
    }

    #[track_caller]
    fn refused_as(&self, expected: &Problem) {
        assert_eq!(self.refused().each_ref(), [expected, expected]);
    }
}

#[test]
fn v2_allocations_are_inside_apart_and_not_too_many() {
    let raw = || V2::new(Flavour::V2);
    let (tag, lo, hi) = (raw().word(GROUP), raw().word(GROUP + 8), raw().word(GROUP + 16));
    let range = |lo, hi| Problem::Range(Used { lo, hi, tag });
    raw().with(GROUP + 8, lo - 1).refused_as(&range(lo - 1, hi));
    raw().with(GROUP + 8, hi).refused_as(&range(hi, hi));
    raw().with(GROUP + 16, 1 << 40).refused_as(&range(lo, 1 << 40));
    let second = Used { lo: hi - 1, hi: raw().word(GROUP + 40), tag: raw().word(GROUP + 24) };
    raw().with(GROUP + 32, hi - 1).refused_as(&Problem::Overlap(second));
    let few = raw().with(64, 3).with(FOOTER + 48, 3);
    few.refused_as(&Problem::TooMany);
    let stray = raw().with(GROUP + 24, 0).with(GROUP + 32, 1).with(GROUP + 40, 2);
    stray.refused_as(&Problem::Command([0, 1, 2]));
}

#[test]
fn v2_appendix_and_volumes_agree_with_the_frames() {
    let raw = || V2::new(Flavour::V2);
    raw().with(APPENDIX + 32, 9).refused_as(&Problem::Appendix);
    let count = raw().with(APPENDIX + 8, 1025);
    count.refused_as(&Problem::TooManyGroups(1025));
    let previous = raw().with(APPENDIX + 16, APPENDIX as u64);
    assert_eq!(previous.refused(), [Problem::Offset(APPENDIX as u64), Problem::Appendix]);
    let offset = raw().with(APPENDIX + 24, 1 << 60);
    assert_eq!(offset.refused(), [Problem::Offset(1 << 60), Problem::Appendix]);
    let last = raw().with(VOLUMES + 16, GROUP as u64);
    let stray = Problem::Command([0, u64::MAX, GROUP as u64]);
    let [by_offset, stream] = last.refused();
    assert!(matches!(by_offset, Problem::Command(_)));
    assert_eq!(stream, stray);
    let none = raw().with(VOLUMES + 16, 0);
    assert_eq!(none.refused()[0], Problem::Footer("volume_count"));
}

#[test]
fn v2_strings_keep_their_limits() {
    let raw = || V2::new(Flavour::V2);
    let sizes = INFO + 72;
    for (string, limit) in [40, 40, 40, 40, 40, 40, 4096, 16384, 16384].into_iter().enumerate() {
        for size in [0, limit + 1, u64::MAX] {
            let broken = raw().with(sizes + 8 * string, size);
            broken.refused_as(&Problem::StringLength(size));
        }
    }
    let mut file = raw();
    file.0[INFO + 144 + 2] = 0;
    file.refused_as(&Problem::StringNul);
    let mut file = raw();
    file.0[INFO + 144 + 5] = b'x';
    file.refused_as(&Problem::StringNul);
}

#[test]
fn chunks_keep_their_limits() {
    // 144 bytes of info: 144 + 144 / 255 + 19 - 3 is the most a compressed chunk may have.
    for (size, legal) in [(0, false), (160, true), (161, false), (0x00FF_FFFF, false)] {
        let mut file = V2::new(Flavour::V3);
        file.0[INFO..INFO + 3].copy_from_slice(&u32::to_le_bytes(size)[..3]);
        for problem in file.refused() {
            assert_eq!(problem != Problem::ChunkSize(size as usize), legal, "{problem:?}");
        }
    }
}
