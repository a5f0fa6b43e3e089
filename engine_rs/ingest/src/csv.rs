//! CSV to records: RFC 4180 rows with a header, in chunks of any size.
//! May not live here: files and compression (gunzip.rs), or the meaning of the fields (row.rs).

use memchr::{memchr, memchr_iter};

use crate::error::{nearest, IngestError};
use crate::layout::{Layout, Wanted, SLOT_COUNT, SLOT_TIME, SLOT_VALUES};
use crate::lines::{without_return, Lines};
use crate::output::{Counters, Output, Reason};
use crate::row::{Refusal, RowReader, Slots};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const NO_COLUMN: usize = usize::MAX;

/// A decoder of one CSV stream: bytes in, records and dead rows out.
#[derive(Clone, Debug)]
pub struct CsvDecoder {
    layout: Layout,
    lines: Lines,
    header: Option<Header>,
    scratch: Scratch,
    counters: Counters,
}

/// The header row, resolved.
#[derive(Clone, Debug)]
struct Header {
    names: Vec<String>,
    /// Column of each slot, or `NO_COLUMN`.
    columns: [usize; SLOT_COUNT],
    /// The second column of a time that stands in two (`Date+Time`).
    second_time: Option<usize>,
    reader: RowReader,
}

/// Buffers that every row uses again.
#[derive(Clone, Debug, Default)]
struct Scratch {
    /// Ends of the fields of a row without quotes; starts and ends of one with quotes.
    ends: Vec<usize>,
    ranges: Vec<(usize, usize)>,
    unquoted: Vec<u8>,
    joined: Vec<u8>,
}

impl CsvDecoder {
    /// Errors: a layout that no file could have.
    pub fn new(layout: Layout) -> Result<CsvDecoder, IngestError> {
        layout.wanted()?;
        Ok(CsvDecoder {
            layout,
            lines: Lines::default(),
            header: None,
            scratch: Scratch::default(),
            counters: Counters::default(),
        })
    }

    /// Takes the next bytes of the stream and appends what became of the rows that they complete.
    ///
    /// Errors: a header that lacks a column; a number with excess decimals; a row that does not end.
    pub fn feed(&mut self, data: &[u8], output: &mut Output) -> Result<(), IngestError> {
        let (header, layout) = (&mut self.header, &self.layout);
        let (scratch, counters) = (&mut self.scratch, &mut self.counters);
        self.lines.feed(data, |bytes, line| {
            let mut work = Work {
                bytes,
                at: 0,
                line,
                delimiter: layout.delimiter as u8,
                is_last: false,
                scratch,
                counters,
            };
            let result = work.rows(header, layout, output);
            (work.at, work.line - line, result)
        })
    }

    /// Takes the end of the stream: a last row may lack its line end.
    ///
    /// Errors: as `feed`, and a stream without a header.
    pub fn finish(&mut self, output: &mut Output) -> Result<(), IngestError> {
        let line = self.lines.line;
        let rest = self.lines.take_rest();
        let mut work = Work {
            bytes: &rest,
            at: 0,
            line,
            delimiter: self.layout.delimiter as u8,
            is_last: true,
            scratch: &mut self.scratch,
            counters: &mut self.counters,
        };
        work.rows(&mut self.header, &self.layout, output)?;
        self.lines.line = work.line;
        if self.header.is_none() {
            return Err(IngestError::data(
                "empty",
                "the file is empty: there is no header line".to_string(),
                "a CSV file starts with a line that names its columns".to_string(),
            ));
        }
        Ok(())
    }

    /// The names of the columns, once the header was read.
    pub fn columns(&self) -> Option<&[String]> {
        self.header.as_ref().map(|header| header.names.as_slice())
    }

    pub fn counters(&self) -> Counters {
        let rounded = self.header.as_ref().map_or(0, |header| header.reader.rounded);
        Counters {
            rounded,
            ..self.counters.clone()
        }
    }

    /// Bytes of the stream that are decoded, and lines.
    pub fn position(&self) -> (u64, u64) {
        (self.lines.offset, self.lines.line)
    }

    /// Bytes of an unfinished row that are held back.
    pub fn pending(&self) -> usize {
        self.lines.pending()
    }

    /// Goes on at a position that `position` gave before; the header must have been read, by feeding the stream's start.
    pub fn resume(&mut self, offset: u64, line: u64) {
        self.lines.resume(offset, line);
        self.counters = Counters::default();
    }
}

/// One pass over the bytes at hand.
struct Work<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Lines before `at`.
    line: u64,
    delimiter: u8,
    /// Nothing follows: the last row may lack its line end.
    is_last: bool,
    scratch: &'a mut Scratch,
    counters: &'a mut Counters,
}

impl<'a> Work<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn rows(&mut self, header: &mut Option<Header>, layout: &Layout, output: &mut Output) -> Result<(), IngestError> {
        if header.is_none() && !self.header(header, layout)? {
            return Ok(());
        }
        let Some(header) = header else {
            return Ok(());
        };
        let has_quotes = memchr(b'"', self.rest()).is_some();
        loop {
            let rest = self.rest();
            let (end, next) = match memchr(b'\n', rest) {
                Some(end) => (end, end + 1),
                None if self.is_last && !rest.is_empty() => (rest.len(), rest.len()),
                None => return Ok(()),
            };
            if has_quotes && memchr(b'"', &rest[..end]).is_some() {
                let Some((end, next)) = self.quoted_row(rest) else {
                    return Ok(());
                };
                self.take_row(header, &rest[..end], true, output)?;
                self.line += memchr_iter(b'\n', &rest[..next]).count() as u64;
                self.line += u64::from(!rest[..next].ends_with(b"\n"));
                self.at += next;
                continue;
            }
            let row = without_return(&rest[..end]);
            if !row.is_empty() {
                self.scratch.ends.clear();
                self.scratch.ends.extend(memchr_iter(self.delimiter, row));
                self.scratch.ends.push(row.len());
                self.take_row(header, row, false, output)?;
            }
            self.line += 1;
            self.at += next;
        }
    }

    /// Reads the header line; false if it is not complete yet.
    fn header(&mut self, header: &mut Option<Header>, layout: &Layout) -> Result<bool, IngestError> {
        loop {
            let rest = self.rest();
            if !self.is_last && BYTE_ORDER_MARK.starts_with(rest) {
                return Ok(false);
            }
            let mark = if self.line == 0 && rest.starts_with(BYTE_ORDER_MARK) {
                3
            } else {
                0
            };
            let rest = &rest[mark..];
            if rest.is_empty() && self.is_last {
                self.at += mark;
                return Ok(false);
            }
            let Some((end, next)) = self.quoted_row(rest) else {
                return Ok(false);
            };
            self.line += memchr_iter(b'\n', &rest[..next]).count().max(1) as u64;
            self.at += mark + next;
            if end == 0 {
                continue;
            }
            let names: Vec<String> = self
                .scratch
                .ranges
                .iter()
                .map(|&(start, end)| {
                    let name = String::from_utf8_lossy(&self.scratch.unquoted[start..end]);
                    name.trim().to_string()
                })
                .collect();
            *header = Some(Header::new(layout, names).map_err(|error| error.at(format!("line {}", self.line)))?);
            return Ok(true);
        }
    }

    /// Splits a row that has quotes into the scratch; returns where its text and its line end, or None if it is not whole.
    fn quoted_row(&mut self, rest: &[u8]) -> Option<(usize, usize)> {
        let Scratch { ranges, unquoted, .. } = &mut *self.scratch;
        ranges.clear();
        unquoted.clear();
        let mut start = 0;
        let mut at = 0;
        let mut is_quoted = false;
        let mut is_field_start = true;
        while at < rest.len() {
            let byte = rest[at];
            if is_quoted {
                if byte == b'\n' {
                    // Market data have no line ends within a field: one quote left open must not swallow what follows.
                    ranges.clear();
                    return Some((at - usize::from(at > 0 && rest[at - 1] == b'\r'), at + 1));
                } else if byte != b'"' {
                    unquoted.push(byte);
                } else if rest.get(at + 1) == Some(&b'"') {
                    unquoted.push(b'"');
                    at += 1;
                } else if at + 1 == rest.len() && !self.is_last {
                    return None;
                } else {
                    is_quoted = false;
                }
            } else if byte == b'"' && is_field_start {
                is_quoted = true;
                is_field_start = false;
            } else if byte == self.delimiter {
                ranges.push((start, unquoted.len()));
                start = unquoted.len();
                is_field_start = true;
            } else if byte == b'\n' {
                let has_return = at > 0 && rest[at - 1] == b'\r' && unquoted.len() > start && unquoted.ends_with(b"\r");
                unquoted.truncate(unquoted.len() - usize::from(has_return));
                ranges.push((start, unquoted.len()));
                return Some((at - usize::from(at > 0 && rest[at - 1] == b'\r'), at + 1));
            } else {
                unquoted.push(byte);
                is_field_start = is_field_start && byte == b' ';
                if is_field_start {
                    unquoted.pop();
                }
            }
            at += 1;
        }
        if !self.is_last || rest.is_empty() {
            return None;
        }
        if is_quoted {
            // A quote that is never closed: no field of it is taken at its word.
            ranges.clear();
        } else {
            if unquoted.len() > start && unquoted.ends_with(b"\r") {
                unquoted.pop();
            }
            ranges.push((start, unquoted.len()));
        }
        Some((rest.len(), rest.len()))
    }

    #[inline]
    fn take_row(
        &mut self,
        header: &mut Header,
        row: &[u8],
        is_quoted: bool,
        output: &mut Output,
    ) -> Result<(), IngestError> {
        self.counters.rows += 1;
        let Scratch {
            ends,
            ranges,
            unquoted,
            joined,
        } = &mut *self.scratch;
        let count = if is_quoted { ranges.len() } else { ends.len() };
        if count != header.names.len() {
            output.bury(Reason::BadRow, self.line + 1, "", row);
            self.counters.dead += 1;
            return Ok(());
        }
        let field = |column: usize| -> &[u8] {
            let text = if is_quoted {
                let (start, end) = ranges[column];
                &unquoted[start..end]
            } else {
                let start = if column == 0 { 0 } else { ends[column - 1] + 1 };
                &row[start..ends[column]]
            };
            trimmed(text)
        };
        let mut slots: Slots<'_> = [None; SLOT_COUNT];
        for (slot, &column) in slots.iter_mut().zip(&header.columns) {
            if column != NO_COLUMN {
                *slot = Some(field(column));
            }
        }
        if let Some(second) = header.second_time {
            joined.clear();
            joined.extend_from_slice(field(header.columns[SLOT_TIME]));
            joined.push(b' ');
            joined.extend_from_slice(field(second));
            slots[SLOT_TIME] = Some(joined);
        }
        match header.reader.read(&slots) {
            Ok(record) => {
                output.records.push(record);
                self.counters.records += 1;
            }
            Err(Refusal::Dead(reason, slot)) => {
                output.bury(reason, self.line + 1, header.column_of(slot), row);
                self.counters.dead += 1;
            }
            Err(Refusal::Halt(error, slot)) => {
                let place = format!("line {}, column '{}'", self.line + 1, header.column_of(slot));
                return Err(error.at(place));
            }
        }
        Ok(())
    }
}

#[inline]
fn trimmed(text: &[u8]) -> &[u8] {
    match text {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => text.trim_ascii(),
        _ => text,
    }
}

impl Header {
    fn new(layout: &Layout, names: Vec<String>) -> Result<Header, IngestError> {
        let mut columns = [NO_COLUMN; SLOT_COUNT];
        let mut second_time = None;
        for wanted in layout.wanted()? {
            let found = find(&names, &wanted);
            if found.is_none() && wanted.slot == SLOT_TIME {
                if let Some((date, time)) = wanted.column.split_once('+') {
                    let place = |name: &str| names.iter().position(|known| known == name.trim());
                    if let (Some(date), Some(time)) = (place(date), place(time)) {
                        columns[SLOT_TIME] = date;
                        second_time = Some(time);
                        continue;
                    }
                }
            }
            match found {
                Some(column) => columns[wanted.slot] = column,
                None if wanted.required => return Err(missing_column(layout, &wanted, &names)),
                None => {}
            }
        }
        let side = columns[SLOT_VALUES + 3];
        let side_column = names.get(side).map(String::as_str);
        Ok(Header {
            reader: RowReader::new(layout, side_column),
            names,
            columns,
            second_time,
        })
    }

    fn column_of(&self, slot: usize) -> &str {
        self.names.get(self.columns[slot]).map_or("", String::as_str)
    }
}

fn find(names: &[String], wanted: &Wanted) -> Option<usize> {
    let exact = names.iter().position(|name| *name == wanted.column);
    if exact.is_some() || !wanted.any_case {
        return exact;
    }
    names.iter().position(|name| name.eq_ignore_ascii_case(&wanted.column))
}

/// The column is not there: because it is called otherwise, or because the delimiter is another.
fn missing_column(layout: &Layout, wanted: &Wanted, names: &[String]) -> IngestError {
    let listed = names
        .iter()
        .map(|name| format!("'{name}'"))
        .collect::<Vec<_>>()
        .join(", ");
    let other_delimiter = [',', ';', '\t', '|']
        .into_iter()
        .find(|delimiter| *delimiter != layout.delimiter && names.len() == 1 && names[0].contains(*delimiter));
    let (reason, remedy) = match (other_delimiter, nearest(&wanted.column, names)) {
        (Some(delimiter), _) => ("wrong_delimiter", format!("set delimiter = {delimiter:?}")),
        (None, Some(name)) => ("missing_column", format!("did you mean '{name}'?")),
        (None, None) => (
            "missing_column",
            "name the column in the feed's time, symbol or columns".to_string(),
        ),
    };
    let message = if other_delimiter.is_some() {
        format!(
            "there is no column '{}': with the delimiter {:?} the header is one column, {listed}",
            wanted.column, layout.delimiter
        )
    } else {
        format!("there is no column '{}' among {listed}", wanted.column)
    };
    IngestError::config(reason, message, remedy)
}
