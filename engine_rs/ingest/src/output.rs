//! What a decoder gives back: records, dead rows with their reason and raw text, and counters.
//! May not live here: how a row is read.

use std::collections::BTreeMap;

use replay_core::record::Record;

/// Raw text of a dead row is kept up to this length.
pub const RAW_BYTES_MAX: usize = 4096;

/// Why a row is not a record. Where the sequencer has the same rule, the name is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A row with another number of fields than the header, an unclosed quote, or no structure at all.
    BadRow,
    /// A line that is not a JSON object.
    BadJson,
    /// A field that the row needs is not there, or is empty.
    MissingField,
    /// A time that cannot be read, or that 64-bit nanoseconds cannot hold.
    BadTime,
    /// Text that is not a decimal number.
    BadNumber,
    /// NaN or an infinity.
    NotFinite,
    /// A number that does not fit, or whose products would not fit the ledger.
    Overflow,
    /// A symbol that the run does not name.
    UnknownSymbol,
    /// A price at or below zero where the instrument forbids it.
    BadPrice,
    /// A negative size, or a trade of size 0.
    BadSize,
    /// A bar whose high and low do not enclose its open and close.
    BadBar,
    /// A side that is neither buy nor sell.
    BadSide,
}

impl Reason {
    /// The name that stands in dead letters and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Reason::BadRow => "bad_row",
            Reason::BadJson => "bad_json",
            Reason::MissingField => "missing_field",
            Reason::BadTime => "bad_time",
            Reason::BadNumber => "bad_number",
            Reason::NotFinite => "not_finite",
            Reason::Overflow => "overflow",
            Reason::UnknownSymbol => "unknown_symbol",
            Reason::BadPrice => "bad_price",
            Reason::BadSize => "bad_size",
            Reason::BadBar => "bad_bar",
            Reason::BadSide => "bad_side",
        }
    }
}

/// A row that is not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRow {
    pub reason: Reason,
    /// The line on which it starts, from 1.
    pub line: u64,
    /// The column or field at fault; empty if it is the row as a whole.
    pub column: String,
    /// Its text without the line end, cut at [`RAW_BYTES_MAX`].
    pub raw: Vec<u8>,
}

/// What became of the rows: `rows` = `records` + `dead` + the sum of `ignored`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub rows: u64,
    pub records: u64,
    pub dead: u64,
    /// Numbers that were rounded to the instrument's decimals.
    pub rounded: u64,
    /// Rows that are none of ours, by what they are: depth updates, snapshots, instruments that the run does not name.
    pub ignored: BTreeMap<&'static str, u64>,
}

/// What one call of a decoder gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    pub records: Vec<Record>,
    pub dead: Vec<DeadRow>,
}

impl Output {
    /// Keeps a dead row.
    pub fn bury(&mut self, reason: Reason, line: u64, column: &str, raw: &[u8]) {
        self.dead.push(DeadRow {
            reason,
            line,
            column: column.to_string(),
            raw: raw[..raw.len().min(RAW_BYTES_MAX)].to_vec(),
        });
    }
}
