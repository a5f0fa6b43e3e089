//! A row of text fields to a record: numbers on the instrument's scale, times in ns, and the rules that need the text.
//! May not live here: how a source separates its rows and fields.

use replay_core::decimal::{self, DecimalError};
use replay_core::record::{Kind, Record, FLAG_BAR_LENGTH_MASK, SIDE_BUY, SIDE_NONE, SIDE_SELL};
use replay_core::sequencer::RAW_MAX;

use crate::error::IngestError;
use crate::layout::{
    Excess, InstrumentLayout, Layout, RowKind, Sizes, Stamp, SLOT_COUNT, SLOT_RECEIVE, SLOT_SYMBOL, SLOT_TIME,
    SLOT_VALUES,
};
use crate::output::Reason;
use crate::symbols::Symbols;
use crate::time::TimeReader;

/// The texts of a row by slot; None where the source has no such column or the row no such field.
pub type Slots<'a> = [Option<&'a [u8]>; SLOT_COUNT];

/// Why a row gave no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The row is dead, because of the text in a slot.
    Dead(Reason, usize),
    /// The source is not read on; the slot says where.
    Halt(IngestError, usize),
}

/// Makes records of rows.
#[derive(Clone, Debug)]
pub struct RowReader {
    layout: Layout,
    symbols: Symbols,
    time: TimeReader,
    receive: Option<TimeReader>,
    /// A boolean side says whether the buyer was the maker: so its column is named.
    side_is_maker_flag: bool,
    /// Decimals of the numbers that are integers on a scale, by field.
    scales: [u32; SLOT_COUNT - SLOT_VALUES],
    pub rounded: u64,
}

impl RowReader {
    /// `side_column` is the name of the column with a trade's side, if there is one.
    pub fn new(layout: &Layout, side_column: Option<&str>) -> RowReader {
        RowReader {
            symbols: Symbols::new(&layout.instruments),
            time: TimeReader::new(&layout.time),
            receive: layout.receive.as_ref().map(TimeReader::new),
            side_is_maker_flag: side_column.is_some_and(|name| name.to_ascii_lowercase().contains("maker")),
            scales: layout.field_scales(),
            layout: layout.clone(),
            rounded: 0,
        }
    }

    /// The record of a row.
    #[inline]
    pub fn read(&mut self, slots: &Slots<'_>) -> Result<Record, Refusal> {
        let symbol = match &self.layout.symbol {
            Some(symbol) => symbol.as_bytes(),
            None => present(slots, SLOT_SYMBOL)?,
        };
        let instrument = self
            .symbols
            .find(symbol)
            .ok_or(Refusal::Dead(Reason::UnknownSymbol, SLOT_SYMBOL))?;
        let mut record = Record {
            instrument: instrument.index,
            ..Record::default()
        };
        let dead_time = |slot| Refusal::Dead(Reason::BadTime, slot);
        record.ts_event = self.time.read(present(slots, SLOT_TIME)?).ok_or(dead_time(SLOT_TIME))?;
        if self.layout.records == RowKind::Bar && self.layout.stamp == Stamp::Start {
            record.ts_event = record
                .ts_event
                .checked_add(self.layout.bar_length_ns)
                .ok_or(dead_time(SLOT_TIME))?;
        }
        record.ts_recv = match &mut self.receive {
            Some(receive) => receive
                .read(present(slots, SLOT_RECEIVE)?)
                .ok_or(dead_time(SLOT_RECEIVE))?,
            None => record.ts_event,
        };
        let mut numbers = Numbers {
            slots,
            instrument,
            excess: self.layout.excess_decimals,
            scales: &self.scales,
            rounded: &mut self.rounded,
        };
        match self.layout.records {
            RowKind::Quote => quote(&mut record, &mut numbers, self.layout.sizes)?,
            RowKind::Trade => {
                trade(&mut record, &mut numbers, self.layout.sizes)?;
                record.side = side(slots[SLOT_VALUES + 3].unwrap_or(b""), self.side_is_maker_flag)?;
            }
            RowKind::Bar => {
                bar(&mut record, &mut numbers, self.layout.sizes)?;
                record.side = self.layout.price as u8;
                record.flags = u16::from(self.layout.bar_length_index) & FLAG_BAR_LENGTH_MASK;
            }
        }
        Ok(record)
    }
}

/// The text of a slot that must not be empty.
#[inline]
fn present<'a>(slots: &Slots<'a>, slot: usize) -> Result<&'a [u8], Refusal> {
    slots[slot]
        .filter(|text| !text.is_empty())
        .ok_or(Refusal::Dead(Reason::MissingField, slot))
}

/// The numbers of one row.
struct Numbers<'a> {
    slots: &'a Slots<'a>,
    instrument: &'a InstrumentLayout,
    excess: Excess,
    scales: &'a [u32; SLOT_COUNT - SLOT_VALUES],
    rounded: &'a mut u64,
}

impl Numbers<'_> {
    #[inline]
    fn price(&mut self, place: usize) -> Result<i64, Refusal> {
        self.number(place, self.instrument.price_decimals)
    }

    /// A size, which is not negative.
    #[inline]
    fn size(&mut self, place: usize) -> Result<i64, Refusal> {
        let size = self.number(place, self.instrument.size_decimals)?;
        if size < 0 {
            return dead(Reason::BadSize, place);
        }
        Ok(size)
    }

    fn is_empty(&self, place: usize) -> bool {
        self.slots[SLOT_VALUES + place].is_none_or(<[u8]>::is_empty)
    }

    fn is_valid_price(&self, price: i64) -> bool {
        price > 0 || self.instrument.allow_negative_price
    }

    #[inline]
    fn number(&mut self, place: usize, decimals: u32) -> Result<i64, Refusal> {
        let slot = SLOT_VALUES + place;
        let text = present(self.slots, slot)?;
        let scale = self.scales[place];
        if scale > decimals {
            // Finer than the instrument's: the exponent says so, since no scale below 0 is possible.
            let shifted = [text, format!("e-{scale}").as_bytes()].concat();
            return self.parsed(&shifted, place, decimals, decimals);
        }
        self.parsed(text, place, decimals - scale, decimals)
    }

    /// The number of a text at some decimals; `shown` are those of the instrument.
    #[inline]
    fn parsed(&mut self, text: &[u8], place: usize, decimals: u32, shown: u32) -> Result<i64, Refusal> {
        let value = match decimal::parse(text, decimals) {
            Ok(value) => value,
            Err(DecimalError::ExcessDecimals) if self.excess == Excess::Round => {
                *self.rounded += 1;
                match decimal::parse_rounded(text, decimals) {
                    Ok((value, _)) => value,
                    Err(_) => return dead(Reason::Overflow, place),
                }
            }
            Err(DecimalError::ExcessDecimals) => return Err(self.excess_decimals(text, SLOT_VALUES + place, shown)),
            Err(DecimalError::Empty) => return dead(Reason::MissingField, place),
            Err(DecimalError::Syntax) => return dead(Reason::BadNumber, place),
            Err(DecimalError::NotFinite) => return dead(Reason::NotFinite, place),
            Err(DecimalError::Overflow) => return dead(Reason::Overflow, place),
        };
        if value.unsigned_abs() > RAW_MAX as u64 {
            return dead(Reason::Overflow, place);
        }
        Ok(value)
    }

    #[cold]
    fn excess_decimals(&self, text: &[u8], slot: usize, decimals: u32) -> Refusal {
        let symbol = &self.instrument.symbol;
        let error = IngestError::data(
            "excess_decimals",
            format!(
                "{} has more than the {decimals} decimals of {symbol}",
                String::from_utf8_lossy(text)
            ),
            "set price_decimals or size_decimals of the instrument, or excess_decimals = \"round\" for the feed"
                .to_string(),
        );
        Refusal::Halt(error, slot)
    }
}

fn dead<T>(reason: Reason, place: usize) -> Result<T, Refusal> {
    Err(Refusal::Dead(reason, SLOT_VALUES + place))
}

/// A side of a quote is absent if its size is 0, or if its price is not written and its size neither.
#[inline]
fn quote(record: &mut Record, numbers: &mut Numbers<'_>, sizes: Sizes) -> Result<(), Refusal> {
    let mut prices = [0; 2];
    let mut shown = [0; 2];
    for side in 0..2 {
        let is_absent = sizes == Sizes::Full && numbers.is_empty(side) && numbers.is_empty(side + 2);
        if is_absent {
            continue;
        }
        prices[side] = numbers.price(side)?;
        if sizes == Sizes::Full {
            shown[side] = numbers.size(side + 2)?;
        }
        let has_side = sizes == Sizes::None || shown[side] != 0;
        if has_side && !numbers.is_valid_price(prices[side]) {
            return dead(Reason::BadPrice, side);
        }
    }
    [record.a, record.b] = prices;
    [record.c, record.d] = shown;
    record.kind = Kind::Quote as u8;
    Ok(())
}

#[inline]
fn trade(record: &mut Record, numbers: &mut Numbers<'_>, sizes: Sizes) -> Result<(), Refusal> {
    record.a = numbers.price(0)?;
    if !numbers.is_valid_price(record.a) {
        return dead(Reason::BadPrice, 0);
    }
    if sizes == Sizes::Full {
        record.b = numbers.size(1)?;
        if record.b == 0 {
            return dead(Reason::BadSize, 1);
        }
    }
    if !numbers.is_empty(2) {
        let text = present(numbers.slots, SLOT_VALUES + 2)?;
        record.c = match decimal::parse(text, 0) {
            Ok(id) => id,
            Err(DecimalError::Overflow) => return dead(Reason::Overflow, 2),
            Err(_) => return dead(Reason::BadNumber, 2),
        };
    }
    record.kind = Kind::Trade as u8;
    Ok(())
}

#[inline]
fn bar(record: &mut Record, numbers: &mut Numbers<'_>, sizes: Sizes) -> Result<(), Refusal> {
    let open = numbers.price(0)?;
    let high = numbers.price(1)?;
    let low = numbers.price(2)?;
    let close = numbers.price(3)?;
    if !numbers.is_valid_price(low) {
        return dead(Reason::BadPrice, 2);
    }
    if low > open.min(close) {
        return dead(Reason::BadBar, 2);
    }
    if high < open.max(close) {
        return dead(Reason::BadBar, 1);
    }
    if sizes == Sizes::Full {
        record.e = numbers.size(4)?;
    }
    [record.a, record.b, record.c, record.d] = [open, high, low, close];
    record.kind = Kind::Bar as u8;
    Ok(())
}

/// The aggressor's side; empty if the source does not know it.
///
/// In a column named after the maker (`is_buyer_maker`), true means that the buyer was the maker: the aggressor sold.
fn side(text: &[u8], is_maker_flag: bool) -> Result<u8, Refusal> {
    let is = |names: &[&str]| names.iter().any(|name| text.eq_ignore_ascii_case(name.as_bytes()));
    if is_maker_flag && is(&["true", "1", "t"]) {
        return Ok(SIDE_SELL);
    }
    if is_maker_flag && is(&["false", "0", "f"]) {
        return Ok(SIDE_BUY);
    }
    if is(&["buy", "b", "bid", "buyer"]) {
        return Ok(SIDE_BUY);
    }
    if is(&["sell", "s", "ask", "a", "seller"]) {
        return Ok(SIDE_SELL);
    }
    if is(&["", "none", "n", "unknown", "no_aggressor"]) {
        return Ok(SIDE_NONE);
    }
    dead(Reason::BadSide, 3)
}
