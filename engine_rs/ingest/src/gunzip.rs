//! Gzip to bytes, in chunks of any size; several members in a row are one stream.
//! May not live here: files, or what the bytes mean.

use std::io::Write;

use flate2::write::MultiGzDecoder;

use crate::error::IngestError;

/// Inflated bytes are handed out up to here before their room is used again.
const SPENT_BYTES_MAX: usize = 1 << 20;

/// An inflater: compressed bytes in, as many bytes out as are asked for.
#[derive(Debug)]
pub struct Gunzip {
    inflater: MultiGzDecoder<Vec<u8>>,
    consumed: u64,
    /// Bytes at the front of what is inflated that were handed out.
    spent: usize,
}

impl Default for Gunzip {
    fn default() -> Gunzip {
        Gunzip {
            inflater: MultiGzDecoder::new(Vec::new()),
            consumed: 0,
            spent: 0,
        }
    }
}

impl Gunzip {
    /// Takes compressed bytes.
    ///
    /// Errors: bytes that are not gzip, or whose checksum is wrong.
    pub fn feed(&mut self, data: &[u8]) -> Result<(), IngestError> {
        if self.spent > SPENT_BYTES_MAX || self.available() == 0 {
            self.inflater.get_mut().drain(..self.spent);
            self.spent = 0;
        }
        let result = self.inflater.write_all(data).and_then(|()| self.inflater.flush());
        result.map_err(|error| self.broken(&error))?;
        self.consumed += data.len() as u64;
        Ok(())
    }

    /// Takes the end of the file.
    ///
    /// Errors: a file that ends inside a member.
    pub fn finish(&mut self) -> Result<(), IngestError> {
        self.inflater.try_finish().map_err(|_| {
            IngestError::data(
                "truncated",
                format!(
                    "the gzip file is cut off after {} bytes, or broken near its end",
                    self.consumed
                ),
                "copy it again: what came before was read, the rest is missing".to_string(),
            )
        })
    }

    /// Inflated bytes that were not handed out.
    pub fn available(&self) -> usize {
        self.inflater.get_ref().len() - self.spent
    }

    /// Hands out the next bytes, at most `size` of them.
    pub fn take(&mut self, size: usize) -> &[u8] {
        let start = self.spent;
        self.spent += size.min(self.available());
        &self.inflater.get_ref()[start..self.spent]
    }

    fn broken(&self, error: &std::io::Error) -> IngestError {
        IngestError::data(
            "bad_gzip",
            format!("is not whole gzip: {error}"),
            "check how the file was written or copied".to_string(),
        )
        .at(format!("behind byte {} of the compressed file", self.consumed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use flate2::Compression;

    fn zipped(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(data: &[u8], chunk: usize) -> Result<Vec<u8>, IngestError> {
        let mut gunzip = Gunzip::default();
        let mut out = Vec::new();
        for part in data.chunks(chunk) {
            gunzip.feed(part)?;
            out.extend(gunzip.take(1000));
        }
        gunzip.finish()?;
        out.extend(gunzip.take(usize::MAX));
        Ok(out)
    }

    #[test]
    fn members_in_a_row_are_one_stream_in_chunks_of_any_size() {
        let text: Vec<u8> = (0..50_000_u32).flat_map(|number| number.to_le_bytes()).collect();
        let mut data = zipped(&text);
        data.extend(zipped(b"tail"));
        let expected = [text, b"tail".to_vec()].concat();
        for chunk in [1, 7, 4096, data.len()] {
            assert_eq!(inflate(&data, chunk).unwrap(), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn a_cut_file_and_one_that_is_not_gzip_are_errors() {
        let data = zipped(&vec![7; 100_000]);
        for length in [1, 5, data.len() / 2, data.len() - 1] {
            assert_eq!(
                inflate(&data[..length], 64).unwrap_err().reason,
                "truncated",
                "{length} bytes"
            );
        }
        assert_eq!(inflate(b"timestamp,open\n1,2\n", 64).unwrap_err().reason, "bad_gzip");
        let mut wrong = data.clone();
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        assert_eq!(inflate(&wrong, 64).unwrap_err().reason, "truncated");
        wrong.extend(zipped(b"tail"));
        assert_eq!(inflate(&wrong, 64).unwrap_err().reason, "bad_gzip");
    }
}
