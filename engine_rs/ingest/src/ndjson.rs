//! NDJSON to records: one JSON object a line, its members named in the layout, its numbers read from their text.
//! May not live here: the scanner of JSON (json.rs), or the meaning of the fields (row.rs).

use std::borrow::Cow;

use memchr::memchr;

use crate::error::IngestError;
use crate::json::{members, unescape, Text};
use crate::layout::{Layout, SLOT_COUNT, SLOT_VALUES};
use crate::lines::{without_return, Lines};
use crate::output::{Counters, Output, Reason};
use crate::row::{Refusal, RowReader, Slots};

/// A decoder of one NDJSON stream. A member inside an object is named by its path: `data.price`.
#[derive(Clone, Debug)]
pub struct NdjsonDecoder {
    paths: Vec<Path>,
    reader: RowReader,
    lines: Lines,
    counters: Counters,
}

#[derive(Clone, Debug)]
struct Path {
    slot: usize,
    /// Further slots that the same member fills, such as the time of receipt where there is one time only.
    also: Vec<usize>,
    name: String,
    keys: Vec<Vec<u8>>,
}

impl Path {
    fn fills(&self, slot: usize) -> bool {
        self.slot == slot || self.also.contains(&slot)
    }

    fn starts_with(&self, path: &[&[u8]]) -> bool {
        self.keys.len() > path.len() && self.keys.iter().zip(path).all(|(key, other)| key == other)
    }

    fn is(&self, path: &[&[u8]]) -> bool {
        self.keys.len() == path.len() && self.keys.iter().zip(path).all(|(key, other)| key == other)
    }
}

impl NdjsonDecoder {
    /// Errors: a layout that no stream could have.
    pub fn new(layout: &Layout) -> Result<NdjsonDecoder, IngestError> {
        let mut paths: Vec<Path> = Vec::new();
        for wanted in layout.wanted()? {
            match paths.iter_mut().find(|path| path.name == wanted.column) {
                Some(path) => path.also.push(wanted.slot),
                None => paths.push(Path {
                    slot: wanted.slot,
                    also: Vec::new(),
                    keys: wanted.column.split('.').map(|key| key.as_bytes().to_vec()).collect(),
                    name: wanted.column,
                }),
            }
        }
        let side = paths.iter().find(|path| path.fills(SLOT_VALUES + 3));
        Ok(NdjsonDecoder {
            reader: RowReader::new(layout, side.map(|path| path.name.as_str())),
            paths,
            lines: Lines::default(),
            counters: Counters::default(),
        })
    }

    /// Takes the next bytes of the stream and appends what became of the lines that they complete.
    ///
    /// Errors: a number with excess decimals; a line that does not end.
    pub fn feed(&mut self, data: &[u8], output: &mut Output) -> Result<(), IngestError> {
        let (paths, reader, counters) = (&self.paths, &mut self.reader, &mut self.counters);
        self.lines.feed(data, |bytes, line| {
            let mut at = 0;
            let mut lines = 0;
            while let Some(end) = memchr(b'\n', &bytes[at..]) {
                let result = take_line(paths, reader, counters, &bytes[at..at + end], line + lines + 1, output);
                if result.is_err() {
                    return (at, lines, result);
                }
                lines += 1;
                at += end + 1;
            }
            (at, lines, Ok(()))
        })
    }

    /// Takes the end of the stream: a last line may lack its end.
    pub fn finish(&mut self, output: &mut Output) -> Result<(), IngestError> {
        let rest = self.lines.take_rest();
        if !rest.is_empty() {
            self.lines.line += 1;
        }
        let line = self.lines.line;
        take_line(&self.paths, &mut self.reader, &mut self.counters, &rest, line, output)
    }

    pub fn counters(&self) -> Counters {
        Counters {
            rounded: self.reader.rounded,
            ..self.counters.clone()
        }
    }

    /// Bytes of the stream that are decoded, and lines.
    pub fn position(&self) -> (u64, u64) {
        (self.lines.offset, self.lines.line)
    }

    /// Bytes of an unfinished line that are held back.
    pub fn pending(&self) -> usize {
        self.lines.pending()
    }

    /// Goes on at a position that `position` gave before.
    pub fn resume(&mut self, offset: u64, line: u64) {
        self.lines.resume(offset, line);
        self.counters = Counters::default();
    }
}

fn take_line(
    paths: &[Path],
    reader: &mut RowReader,
    counters: &mut Counters,
    line: &[u8],
    number: u64,
    output: &mut Output,
) -> Result<(), IngestError> {
    let mut text = without_return(line);
    if number == 1 {
        text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    }
    if text.trim_ascii().is_empty() {
        return Ok(());
    }
    counters.rows += 1;
    let mut values: [Option<Cow<'_, [u8]>>; SLOT_COUNT] = Default::default();
    let mut is_wrong = false;
    let scanned = members(
        text,
        &|path| paths.iter().any(|wanted| wanted.starts_with(path)),
        &mut |path, value| {
            if let Some(wanted) = paths.iter().find(|wanted| wanted.is(path)) {
                values[wanted.slot] = match value {
                    Text::Plain(text) | Text::Nested(text) => Some(Cow::Borrowed(text)),
                    Text::Escaped(text) => {
                        let resolved = unescape(text);
                        is_wrong |= resolved.is_none();
                        resolved.map(Cow::Owned)
                    }
                    Text::Null => None,
                };
                for &slot in &wanted.also {
                    values[slot] = values[wanted.slot].clone();
                }
            }
        },
    );
    if scanned.is_err() || is_wrong {
        output.bury(Reason::BadJson, number, "", text);
        counters.dead += 1;
        return Ok(());
    }
    let slots: Slots<'_> = std::array::from_fn(|slot| values[slot].as_deref());
    let name_of = |slot: usize| {
        let path = paths.iter().find(|path| path.fills(slot));
        path.map_or("", |path| path.name.as_str())
    };
    match reader.read(&slots) {
        Ok(record) => {
            output.records.push(record);
            counters.records += 1;
        }
        Err(Refusal::Dead(reason, slot)) => {
            output.bury(reason, number, name_of(slot), text);
            counters.dead += 1;
        }
        Err(Refusal::Halt(error, slot)) => {
            return Err(error.at(format!("line {number}, member '{}'", name_of(slot))));
        }
    }
    Ok(())
}
