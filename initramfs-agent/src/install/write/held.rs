//! The bytes of a disk image that come onto the disk last: partition tables and what firmware runs. Without
//! them nothing finds the image, whatever else of it is there.

use crate::install::image_disk::lay;
use crate::install::state::{Folder, Held as Note, StateError};

/// Bytes at the image's beginning: MBR, GPT and what GRUB puts between them and the first partition.
const HEAD: u64 = 1_024 * 1_024;
/// Bytes at its end: the backup GPT is 33 blocks of 512 bytes, or 5 of 4,096.
const TAIL: u64 = 24 * 1_024;
const BLOCK: u64 = super::super::direct::ALIGNMENT;
const HEAD_FILE: &str = "held-head";
const TAIL_FILE: &str = "held-tail";
/// How a GPT begins, and where with either size of blocks.
const GPT: &[u8] = b"EFI PART";
const GPT_PLACES: [usize; 2] = [512, 4_096];

/// What is held back of one image.
#[derive(Debug)]
pub(super) struct Held {
    /// Size of the image.
    size: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Held {
    /// Nothing yet: zeros, as for all that an image does not say.
    pub(super) fn new(size: u64) -> Self {
        let head = vec![0; usize::try_from(size.min(HEAD)).unwrap_or_default()];
        Self { size, head, tail: Vec::new() }
    }

    /// What was held back of an image of this size before; none where it is not there any more.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub(super) fn load(folder: &Folder, size: u64) -> Result<Option<Self>, StateError> {
        let Some(head) = folder.bytes(HEAD_FILE)? else { return Ok(None) };
        let tail = folder.bytes(TAIL_FILE)?.unwrap_or_default();
        let held = Self { size, head, tail };
        let is_whole = |bytes: &[u8], length: u64| u64::try_from(bytes.len()).ok() == Some(length);
        let fits = is_whole(&held.head, size.min(HEAD))
            && (held.tail.is_empty() || is_whole(&held.tail, size.saturating_sub(held.tail_begin())));
        Ok(fits.then_some(held))
    }

    /// Keeps it for `boot`, and says where what belongs.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub(super) fn store(&self, folder: &Folder) -> Result<Vec<Note>, StateError> {
        let mut notes = vec![(HEAD_FILE, 0, &self.head)];
        if self.tail_begin() < self.size {
            notes.push((TAIL_FILE, self.tail_begin(), &self.tail));
        }
        let mut kept = Vec::new();
        for (file, offset, bytes) in notes {
            folder.keep_bytes(file, bytes)?;
            kept.push(Note { file: file.to_owned(), offset });
        }
        Ok(kept)
    }

    /// Where the end begins that is held back: only a GPT has something there.
    fn tail_begin(&self) -> u64 {
        let has_gpt = GPT_PLACES.iter().any(|&at| self.head.get(at..at + GPT.len()) == Some(GPT));
        let begin = self.size.saturating_sub(TAIL);
        if has_gpt { (begin - begin % BLOCK).max(self.size.min(HEAD)) } else { self.size }
    }

    /// Keeps its own of these bytes, and gives back the rest with its place.
    pub(super) fn sift<'a>(&mut self, offset: u64, bytes: &'a [u8]) -> (u64, &'a [u8]) {
        let until = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let head_end = self.size.min(HEAD);
        let (head, rest) = bytes.split_at(until(offset, head_end).min(bytes.len()));
        lay(&mut self.head, 0, head, offset);
        let offset = offset.max(head_end);
        // The head is there as a whole now: bytes come in their order.
        let tail_begin = self.tail_begin();
        let (middle, tail) = rest.split_at(until(offset, tail_begin).min(rest.len()));
        if !tail.is_empty() {
            self.tail.resize(until(tail_begin, self.size), 0);
            lay(&mut self.tail, tail_begin, tail, offset.max(tail_begin));
        }
        (offset, middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 3 * 1_024 * 1_024;

    fn image(gpt: bool, size: usize) -> Vec<u8> {
        let mut image: Vec<u8> = (1..=251).flat_map(|byte| [byte; 4_096]).cycle().take(size).collect();
        if gpt {
            image[512..520].copy_from_slice(GPT);
        }
        image
    }

    /// What is written, and what is held back, of an image in pieces of so many bytes.
    fn sifted(image: &[u8], piece: usize) -> (Vec<u8>, Held) {
        let mut held = Held::new(image.len() as u64);
        let mut disk = vec![0; image.len()];
        for (number, bytes) in image.chunks(piece).enumerate() {
            let (offset, rest) = held.sift((number * piece) as u64, bytes);
            lay(&mut disk, 0, rest, offset);
        }
        (disk, held)
    }

    #[test]
    fn tables_and_loaders_are_held_back_and_fit_where_they_belong() {
        for (gpt, size) in [
            (true, SIZE),
            (false, SIZE),
            (true, SIZE + 512),
            (false, 700_000),
            (true, 700_000),
            (true, 1 << 20),
        ] {
            let image = image(gpt, size);
            for piece in [65_536, 2_097_152] {
                let folder = tempfile::tempdir().unwrap();
                let folder = Folder::make(folder.path()).unwrap();
                let (mut disk, held) = sifted(&image, piece);
                assert!(disk[..size.min(1 << 20)].iter().all(|&byte| byte == 0));
                let end = &disk[size - 16_896..];
                assert_eq!(end.iter().all(|&byte| byte == 0), gpt || size <= 1 << 20);
                for Note { file, offset } in held.store(&folder).unwrap() {
                    let bytes = folder.bytes(&file).unwrap().unwrap();
                    assert!(offset.is_multiple_of(4_096));
                    lay(&mut disk, 0, &bytes, offset);
                }
                assert!(disk == image, "gpt {gpt}, {size} bytes");
            }
        }
    }

    #[test]
    fn what_was_held_back_comes_back_and_fits_its_image_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::make(folder.path()).unwrap();
        assert!(Held::load(&folder, SIZE as u64).unwrap().is_none());
        let (_, held) = sifted(&image(true, SIZE), 65_536);
        held.store(&folder).unwrap();
        let again = Held::load(&folder, SIZE as u64).unwrap().unwrap();
        assert!(
            again.head == held.head && again.tail == held.tail && again.tail_begin() == held.tail_begin()
        );
        assert!(Held::load(&folder, 5_000).unwrap().is_none());
    }
}
