//! Digests in lower-case hexadecimal digits, as manifests and checksum files write them.

use std::io::{self, Read};

use ring::digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// Bytes read at once.
const CHUNK: usize = 128 * 1024;

/// Digest of bytes in memory.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&ring::digest::digest(&SHA256, bytes))
}

/// SHA-1 of bytes in memory, for a format that asks for it. It proves nothing.
pub(crate) fn sha1(bytes: &[u8]) -> String {
    hexadecimal(&ring::digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes))
}

/// Digest of everything a reader gives.
pub(crate) fn sha256_file(mut file: impl Read) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok(hexadecimal(&context.finish()));
        }
        context.update(chunk.get(..count).unwrap_or_default());
    }
}

fn hexadecimal(digest: &Digest) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_known_digest() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), known);
        assert_eq!(sha256_file(b"abc".as_slice()).unwrap(), known);
        assert_eq!(sha1(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
