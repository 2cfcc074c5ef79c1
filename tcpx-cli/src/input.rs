//! What others wrote is read up to a limit: a wrong name may be that of a device without an end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most that is read of a file in one of our languages: a script, an experiment.
pub const SOURCE: u64 = MIB;
/// The most that is read of a file with data to send.
pub const DATA: u64 = 64 * MIB;
/// The most that is read of a record of what happened.
pub const RECORD: u64 = 256 * MIB;

const MIB: u64 = 1 << 20;

/// Reads `reader` to its end, but not more than `most` bytes.
///
/// # Errors
/// A read fails, or there are more than `most` bytes.
pub fn bytes_of(reader: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match reader.take(most + 1).read_to_end(&mut bytes)? as u64 > most {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {} MiB, the limit", most / MIB),
        )),
        false => Ok(bytes),
    }
}

/// The same as text.
///
/// # Errors
/// Those of [`bytes_of`]; the bytes are not UTF-8.
pub fn text_of(reader: impl Read, most: u64) -> io::Result<String> {
    String::from_utf8(bytes_of(reader, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// What a file has.
///
/// # Errors
/// Those of opening it and of [`bytes_of`].
pub fn bytes_in(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    bytes_of(File::open(path)?, most)
}

/// The text that a file has.
///
/// # Errors
/// Those of opening it and of [`text_of`].
pub fn text_in(path: &Path, most: u64) -> io::Result<String> {
    text_of(File::open(path)?, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_the_limit_is_read_and_more_is_refused_with_it() {
        let zeros = |bytes| io::repeat(0).take(bytes);
        assert_eq!(bytes_of(zeros(SOURCE), SOURCE).unwrap().len(), 1 << 20);
        let error = bytes_of(zeros(SOURCE + 1), SOURCE).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 1 MiB, the limit");
    }

    #[test]
    fn device_without_an_end_a_directory_and_binary_data_are_refused() {
        let refused = |path: &str| text_in(Path::new(path), SOURCE).unwrap_err();
        assert_eq!(refused("/dev/zero").kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(refused("/dev/full").kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(refused("/").kind(), io::ErrorKind::IsADirectory);
        assert_eq!(
            text_of(&b"\xff"[..], SOURCE).unwrap_err().to_string(),
            "it is not UTF-8 text"
        );
    }
}
