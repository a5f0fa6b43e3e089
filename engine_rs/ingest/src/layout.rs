//! The layout of a text source: which column is what, on which scale, and what happens to excess decimals.
//! May not live here: reading of rows.

use std::collections::BTreeMap;

use replay_core::record::BarPrice;
use serde::Deserialize;

use crate::error::IngestError;

/// How a text source is to be read: the feed's entry in the run file, resolved.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    pub records: RowKind,
    pub instruments: Vec<InstrumentLayout>,
    /// The instrument of all rows; else `symbol_column` says it.
    #[serde(default)]
    pub symbol: Option<String>,
    #[serde(default)]
    pub symbol_column: Option<String>,
    pub time: TimeLayout,
    #[serde(default)]
    pub receive: Option<TimeLayout>,
    /// Field to column, where they do not have the same name.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Field to decimals, where its numbers are integers on a scale: 12345 at 2 is 123.45.
    #[serde(default)]
    pub scales: BTreeMap<String, u32>,
    #[serde(default)]
    pub bar_length_ns: i64,
    /// Index into the tape's table of bar lengths.
    #[serde(default)]
    pub bar_length_index: u8,
    #[serde(default)]
    pub stamp: Stamp,
    #[serde(default = "trade_price")]
    pub price: BarPrice,
    #[serde(default)]
    pub excess_decimals: Excess,
    #[serde(default = "comma")]
    pub delimiter: char,
    #[serde(default)]
    pub sizes: Sizes,
}

fn comma() -> char {
    ','
}

fn trade_price() -> BarPrice {
    BarPrice::Trade
}

/// What each row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowKind {
    Quote,
    Trade,
    Bar,
}

/// Whether a bar's time is its start or its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stamp {
    Start,
    #[default]
    End,
}

/// What happens to a number with more decimals than its scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Excess {
    /// The source is not read on: the error names the number and the place.
    #[default]
    Error,
    /// Rounded half to even, and counted.
    Round,
}

/// Whether the source carries sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sizes {
    #[default]
    Full,
    None,
}

/// One instrument that the run names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstrumentLayout {
    pub symbol: String,
    /// Its index in the records.
    pub index: u32,
    pub price_decimals: u32,
    pub size_decimals: u32,
    #[serde(default)]
    pub allow_negative_price: bool,
}

/// A column of times.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeLayout {
    pub column: String,
    pub unit: TimeUnit,
    /// The texts are local times of a zone that the shell converts: one that states its own offset is refused.
    #[serde(default)]
    pub local: bool,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    S,
    Ms,
    Us,
    Ns,
    Iso,
}

/// Places of a row's fields; the values start at [`SLOT_VALUES`] in the order of [`RowKind::fields`].
pub const SLOT_TIME: usize = 0;
pub const SLOT_RECEIVE: usize = 1;
pub const SLOT_SYMBOL: usize = 2;
pub const SLOT_VALUES: usize = 3;
pub const SLOT_COUNT: usize = 8;

impl RowKind {
    /// The fields of a row, in the order of the record's a to e; a trade's side has no place there.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            RowKind::Quote => &["bid", "ask", "bid_size", "ask_size"],
            RowKind::Trade => &["price", "size", "id", "side"],
            RowKind::Bar => &["open", "high", "low", "close", "volume"],
        }
    }

    /// Whether a source without sizes has this field, and whether a source may lack it.
    fn need(self, field: &str, sizes: Sizes) -> Need {
        match field {
            "side" | "id" => Need::IfThere,
            "bid_size" | "ask_size" | "size" | "volume" if sizes == Sizes::None => Need::Never,
            _ => Need::Always,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Always,
    IfThere,
    Never,
}

/// A column that is wanted, by slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub slot: usize,
    pub column: String,
    /// Named in the run file, or needed: its absence is an error.
    pub required: bool,
    /// The name was not given but is the field's own: it matches in any case of letters.
    pub any_case: bool,
}

impl Layout {
    /// The columns to look for.
    ///
    /// Errors: a field that rows of this kind do not have; no symbol; a bar without length; a delimiter beyond ASCII.
    pub fn wanted(&self) -> Result<Vec<Wanted>, IngestError> {
        self.check()?;
        let mut wanted = vec![named(SLOT_TIME, &self.time.column)];
        if let Some(receive) = &self.receive {
            wanted.push(named(SLOT_RECEIVE, &receive.column));
        }
        if let Some(column) = self.symbol_column.as_ref().filter(|_| self.symbol.is_none()) {
            wanted.push(named(SLOT_SYMBOL, column));
        }
        for (place, field) in self.records.fields().iter().enumerate() {
            let need = self.records.need(field, self.sizes);
            match self.columns.get(*field) {
                _ if need == Need::Never => {}
                Some(column) => wanted.push(named(SLOT_VALUES + place, column)),
                None => wanted.push(Wanted {
                    slot: SLOT_VALUES + place,
                    column: (*field).to_string(),
                    required: need == Need::Always,
                    any_case: true,
                }),
            }
        }
        Ok(wanted)
    }

    /// The scale of each field's numbers, in the order of [`RowKind::fields`]; 0 for plain numbers.
    pub fn field_scales(&self) -> [u32; SLOT_COUNT - SLOT_VALUES] {
        let mut scales = [0; SLOT_COUNT - SLOT_VALUES];
        for (place, field) in self.records.fields().iter().enumerate() {
            scales[place] = self.scales.get(*field).copied().unwrap_or(0);
        }
        scales
    }

    fn check(&self) -> Result<(), IngestError> {
        let fields = self.records.fields();
        let named = self.columns.keys().chain(self.scales.keys());
        if let Some(field) = named.into_iter().find(|field| !fields.contains(&field.as_str())) {
            return Err(IngestError::config(
                "unknown_field",
                format!("rows of this kind have no field '{field}'"),
                format!("choices: {}", fields.join(", ")),
            ));
        }
        if self.symbol.is_none() && self.symbol_column.is_none() {
            return Err(IngestError::config(
                "no_symbol",
                "the feed does not say whose rows these are".to_string(),
                "set symbol = \"BTCUSDT\", or symbol = { column = \"symbol\" }".to_string(),
            ));
        }
        if self.records == RowKind::Bar && self.bar_length_ns <= 0 {
            return Err(IngestError::config(
                "no_bar_length",
                "the feed does not say how long its bars are".to_string(),
                "set bar = \"1m\"".to_string(),
            ));
        }
        if !self.delimiter.is_ascii() || matches!(self.delimiter, '"' | '\n' | '\r') {
            return Err(IngestError::config(
                "bad_delimiter",
                format!("{:?} cannot be a delimiter", self.delimiter),
                "use one ASCII character such as ',' or ';'".to_string(),
            ));
        }
        Ok(())
    }
}

fn named(slot: usize, column: &str) -> Wanted {
    Wanted {
        slot,
        column: column.to_string(),
        required: true,
        any_case: false,
    }
}
