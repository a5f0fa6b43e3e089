//! A stream cut at arbitrary places to whole lines, with the position behind the last of them.
//! May not live here: what stands on a line.

use crate::error::IngestError;

/// A line that is longer is no line: the source is not what it is said to be.
pub const LINE_BYTES_MAX: usize = 1 << 19;

/// Holds back what does not end with a line end yet.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    /// Bytes of the stream that were given back as whole lines.
    pub offset: u64,
    /// Lines given back.
    pub line: u64,
}

impl Lines {
    /// Takes bytes; `take` gets all that is there and returns (bytes, lines) that it consumed, and an error if it stopped
    /// at one: the position is then before the row at fault.
    ///
    /// Errors: those of `take`, and a line that does not end.
    pub fn feed(
        &mut self,
        data: &[u8],
        take: impl FnOnce(&[u8], u64) -> (usize, u64, Result<(), IngestError>),
    ) -> Result<(), IngestError> {
        let buffer = if self.held.is_empty() {
            None
        } else {
            let mut buffer = std::mem::take(&mut self.held);
            buffer.extend_from_slice(data);
            Some(buffer)
        };
        let bytes = buffer.as_deref().unwrap_or(data);
        let (consumed, lines, result) = take(bytes, self.line);
        self.offset += consumed as u64;
        self.line += lines;
        result?;
        if bytes.len() - consumed > LINE_BYTES_MAX {
            return Err(IngestError::data(
                "line_too_long",
                format!("a line does not end within {LINE_BYTES_MAX} bytes"),
                "check that the file is text with line ends, and that every quote is closed".to_string(),
            )
            .at(format!("line {}", self.line + 1)));
        }
        self.held = match buffer {
            Some(mut buffer) => {
                buffer.drain(..consumed);
                buffer
            }
            None => data[consumed..].to_vec(),
        };
        Ok(())
    }

    /// Bytes held back.
    pub fn pending(&self) -> usize {
        self.held.len()
    }

    /// Takes the held bytes, at the end of the stream.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.offset += self.held.len() as u64;
        std::mem::take(&mut self.held)
    }

    /// Goes on at a place of the stream, as it was given before.
    pub fn resume(&mut self, offset: u64, line: u64) {
        *self = Lines {
            held: Vec::new(),
            offset,
            line,
        };
    }
}

/// The line without its line end, LF or CRLF.
#[inline]
pub fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
