use super::*;
use proptest::prelude::*;
use std::io::Write as _;
use std::process::{Command, Stdio};

const SMALL: Limits = Limits { total: 32 * MIB, ratio: 200, floor: MIB };

/// What the program itself makes of bytes.
fn packed(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is installed");
    let mut input = child.stdin.take().expect("it is piped");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads its input");
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

fn unpacked(bytes: &[u8], limits: Limits) -> io::Result<Vec<u8>> {
    let mut decoder = Decoder::open(bytes, limits)?;
    let mut out = Vec::new();
    decoder.read_to_end(&mut out)?;
    assert_eq!(decoder.consumed(), bytes.len() as u64, "all of the source is read");
    assert_eq!(decoder.produced(), out.len() as u64);
    Ok(out)
}

/// The sentences of an error, outermost first.
fn said(error: &io::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

const PROGRAMS: [(&str, &[&str], Format); 7] = [
    ("gzip", &["-c"], Format::Gzip),
    ("xz", &["-c0"], Format::Xz),
    ("xz", &["-c", "-9"], Format::Xz),
    ("xz", &["-c", "-0", "--block-size=1000"], Format::Xz),
    ("zstd", &["-c", "-q"], Format::Zstd),
    ("zstd", &["-cq", "--long=27"], Format::Zstd),
    ("cat", &[], Format::None),
];

#[test]
fn what_the_programs_pack_unpacks() {
    let text: Vec<u8> = (0..200_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    for (program, arguments, format) in PROGRAMS {
        let once = packed(program, arguments, &text);
        assert_eq!(Decoder::open(once.as_slice(), SMALL).unwrap().format(), format);
        assert_eq!(unpacked(&once, SMALL).unwrap(), text, "{program} {arguments:?}");
        let twice = [once.clone(), packed(program, arguments, b"and more")].concat();
        assert_eq!(unpacked(&twice, SMALL).unwrap(), [&text[..], b"and more"].concat(), "{program} twice");
    }
}

#[test]
fn streams_that_end_early_or_go_on_are_errors() {
    let text: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    for (program, arguments, format) in PROGRAMS.into_iter().filter(|p| p.2 != Format::None) {
        let whole = packed(program, arguments, &text);
        for length in [whole.len() - 1, whole.len() / 2, MAGIC_LEN] {
            let error = unpacked(&whole[..length], SMALL).expect_err("it is cut off");
            assert!(said(&error).starts_with(&format!("{format} data is damaged")), "{}", said(&error));
        }
        let more = [&whole[..], b"something else"].concat();
        assert!(unpacked(&more, SMALL).is_err(), "{program} with something behind it");
    }
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; 8 << 20];
    // Blocks of a kilobyte pack nothing to less than a hundredth.
    let packers = |p: &(_, &[&str], _)| p.2 != Format::None && p.1.len() < 3;
    for (program, arguments, _) in PROGRAMS.into_iter().filter(packers) {
        let bomb = packed(program, arguments, &zeros);
        let error = said(&unpacked(&bomb, SMALL).map(|out| out.len()).expect_err("it is a bomb"));
        assert!(error.contains("more than 200:1 is taken for a bomb"), "{error}");
        assert_eq!(unpacked(&bomb, Limits::ARCHIVE).unwrap().len(), zeros.len());
        let error = said(
            &unpacked(&bomb, Limits::ARCHIVE.with_total(MIB)).map(|out| out.len()).expect_err("it is large"),
        );
        assert_eq!(error, "it unpacks to more than 1048576 bytes, which is the limit");
    }
    assert!(unpacked(&zeros, Limits::ARCHIVE.with_total(MIB)).is_err());
}

#[test]
fn windows_and_dictionaries_beyond_the_limits_are_refused() {
    let text = [7; 1_000];
    let wide = packed("zstd", &["-c", "-q", "--ultra", "--long=28", "--no-check"], &text);
    // Its window is announced in the frame's header although so little is in it only when it is streamed.
    assert!(said(&unpacked(&wide, SMALL).expect_err("the window is too large")).contains("zstd data"));
    let deep = packed("xz", &["-c", "--lzma2=preset=0,dict=128MiB"], &text);
    assert!(said(&unpacked(&deep, SMALL).expect_err("the dictionary is too large")).contains("xz data"));
}

#[test]
fn what_the_source_complains_of_is_told_as_it_is() {
    struct Broken(Vec<u8>);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::Error::other("the network went away"));
            }
            let length = self.0.len().min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            Ok(length)
        }
    }
    let text: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    for (program, arguments, _) in PROGRAMS {
        let mut half = packed(program, arguments, &text);
        half.truncate(half.len() / 2);
        let error = Decoder::open(Broken(half), SMALL).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(said(&error), "the network went away", "{program}");
    }
}

#[test]
fn reading_ahead_changes_nothing() {
    let text: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let zst = packed("zstd", &["-c", "-q"], &text);
    let mut out = Vec::new();
    let decoder = Decoder::open(Cursor::new(zst.clone()), Limits::ARCHIVE).unwrap();
    Ahead::start(decoder).unwrap().read_to_end(&mut out).unwrap();
    assert!(out == text);

    let cut = Cursor::new(zst[..zst.len() / 2].to_vec());
    let mut ahead = Ahead::start(Decoder::open(cut, Limits::ARCHIVE).unwrap()).unwrap();
    assert!(ahead.read_to_end(&mut Vec::new()).is_err());
    assert!(ahead.read(&mut [0; 1]).is_err(), "an error is not the end");
}

#[test]
fn a_reader_that_is_dropped_early_ends_its_thread() {
    struct Endless {
        _alive: std::sync::Arc<()>,
    }
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(1);
            Ok(buffer.len())
        }
    }
    let alive = std::sync::Arc::new(());
    let mut ahead = Ahead::start(Endless { _alive: alive.clone() }).unwrap();
    ahead.read_exact(&mut [0; 10]).unwrap();
    drop(ahead);
    while std::sync::Arc::strong_count(&alive) > 1 {
        std::thread::yield_now();
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..600), format in 0..4_usize) {
        let magic: &[u8] = [&[][..], &[0x1f, 0x8b, 8], b"\xfd7zXZ\0", &[0x28, 0xb5, 0x2f, 0xfd]][format];
        let input = [magic, &bytes].concat();
        if let Ok(out) = unpacked(&input, SMALL) {
            prop_assert!(out.len() as u64 <= SMALL.total);
        }
    }
}
