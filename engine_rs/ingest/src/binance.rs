//! Raw captures of Binance streams to records: lines of `<receive time, ns> <frame as received>`.
//! May not live here: order books; depth updates are counted and left out.

use memchr::memchr;
use memchr::memmem;
use replay_core::decimal::{self, DecimalError};
use replay_core::record::{Kind, Record, SIDE_BUY, SIDE_SELL};
use replay_core::sequencer::RAW_MAX;

use crate::error::IngestError;
use crate::json::{members, Text};
use crate::layout::{Excess, InstrumentLayout};
use crate::lines::{without_return, Lines};
use crate::output::{Counters, Output, Reason};
use crate::symbols::Symbols;

const NS_PER_MS: i64 = 1_000_000;
/// Where the name of the stream stands; a line that names its depth stream there need not be scanned.
const STREAM_NAME_BYTES: usize = 96;

/// A decoder of one capture. `bookTicker` becomes a quote, `trade` and `aggTrade` a trade.
///
/// ts_recv is the local time of the line, ts_event the venue's transaction time `T`. Spot quotes have none: their
/// ts_event is the receive time plus `receive_offset_ns`, the offset that is added to every receive time later.
#[derive(Clone, Debug)]
pub struct BinanceDecoder {
    symbols: Symbols,
    excess: Excess,
    receive_offset_ns: i64,
    lines: Lines,
    counters: Counters,
}

/// The members of a frame that matter.
#[derive(Default)]
struct Frame<'a> {
    stream: Option<&'a [u8]>,
    event: Option<&'a [u8]>,
    symbol: Option<&'a [u8]>,
    transaction_time: Option<&'a [u8]>,
    bid: Option<&'a [u8]>,
    bid_size: Option<&'a [u8]>,
    ask: Option<&'a [u8]>,
    ask_size: Option<&'a [u8]>,
    price: Option<&'a [u8]>,
    quantity: Option<&'a [u8]>,
    trade_id: Option<&'a [u8]>,
    buyer_is_maker: Option<&'a [u8]>,
    execution: Option<&'a [u8]>,
    is_snapshot: bool,
}

enum Row {
    Record(Record),
    Ignored(&'static str),
}

enum Refusal {
    Dead(Reason, &'static str),
    Halt(IngestError),
}

impl BinanceDecoder {
    pub fn new(instruments: &[InstrumentLayout], excess: Excess, receive_offset_ns: i64) -> BinanceDecoder {
        BinanceDecoder {
            symbols: Symbols::new(instruments),
            excess,
            receive_offset_ns,
            lines: Lines::default(),
            counters: Counters::default(),
        }
    }

    /// Takes the next bytes of the capture and appends what became of the lines that they complete.
    ///
    /// Errors: a number with excess decimals; a line that does not end.
    pub fn feed(&mut self, data: &[u8], output: &mut Output) -> Result<(), IngestError> {
        let mut lines = std::mem::take(&mut self.lines);
        let result = lines.feed(data, |bytes, line| {
            let mut at = 0;
            let mut count = 0;
            while let Some(end) = memchr(b'\n', &bytes[at..]) {
                let result = self.take_line(&bytes[at..at + end], line + count + 1, output);
                if result.is_err() {
                    return (at, count, result);
                }
                count += 1;
                at += end + 1;
            }
            (at, count, Ok(()))
        });
        self.lines = lines;
        result
    }

    /// Takes the end of the capture: a last line may lack its end.
    pub fn finish(&mut self, output: &mut Output) -> Result<(), IngestError> {
        let rest = self.lines.take_rest();
        if !rest.is_empty() {
            self.lines.line += 1;
        }
        self.take_line(&rest, self.lines.line, output)
    }

    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Bytes of the capture that are decoded, and lines.
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

    fn take_line(&mut self, line: &[u8], number: u64, output: &mut Output) -> Result<(), IngestError> {
        let line = without_return(line);
        if line.is_empty() {
            return Ok(());
        }
        self.counters.rows += 1;
        match self.row(line) {
            Ok(Row::Record(record)) => {
                output.records.push(record);
                self.counters.records += 1;
            }
            Ok(Row::Ignored(what)) => *self.counters.ignored.entry(what).or_default() += 1,
            Err(Refusal::Dead(reason, member)) => {
                output.bury(reason, number, member, line);
                self.counters.dead += 1;
            }
            Err(Refusal::Halt(error)) => return Err(error.at(format!("line {number}"))),
        }
        Ok(())
    }

    fn row(&mut self, line: &[u8]) -> Result<Row, Refusal> {
        let space = memchr(b' ', line).ok_or(Refusal::Dead(Reason::BadRow, ""))?;
        let (received, json) = (&line[..space], &line[space + 1..]);
        let received_ns = decimal::parse(received, 0).map_err(|_| Refusal::Dead(Reason::BadTime, "receive time"))?;
        let head = &json[..json.len().min(STREAM_NAME_BYTES)];
        if memmem::find(head, b"@depth").is_some() {
            return Ok(Row::Ignored("depth"));
        }
        let frame = Frame::read(json).ok_or(Refusal::Dead(Reason::BadJson, ""))?;
        let kind = match frame.event.or(frame.stream_kind()) {
            _ if frame.is_snapshot => return Ok(Row::Ignored("depth_snapshot")),
            Some(b"bookTicker") => Kind::Quote,
            Some(b"trade" | b"aggTrade") => Kind::Trade,
            Some(b"depthUpdate") => return Ok(Row::Ignored("depth")),
            None if frame.bid.is_some() && frame.ask_size.is_some() => Kind::Quote,
            _ => return Ok(Row::Ignored("other_stream")),
        };
        if kind == Kind::Trade && frame.execution.is_some_and(|execution| execution != b"MARKET") {
            return Ok(Row::Ignored("trade_not_market"));
        }
        let symbol = frame.symbol.ok_or(Refusal::Dead(Reason::MissingField, "s"))?;
        let Some(instrument) = self.symbols.find(symbol) else {
            return Ok(Row::Ignored("not_named"));
        };
        let mut numbers = Numbers {
            instrument,
            excess: self.excess,
            rounded: &mut self.counters.rounded,
        };
        let mut record = Record {
            ts_recv: received_ns,
            instrument: numbers.instrument.index,
            kind: kind as u8,
            ..Record::default()
        };
        record.ts_event = match frame.transaction_time {
            Some(text) => decimal::parse(text, 0)
                .ok()
                .and_then(|time_ms| time_ms.checked_mul(NS_PER_MS))
                .ok_or(Refusal::Dead(Reason::BadTime, "T"))?,
            None if kind == Kind::Quote => received_ns
                .checked_add(self.receive_offset_ns)
                .ok_or(Refusal::Dead(Reason::BadTime, "receive time"))?,
            None => return Err(Refusal::Dead(Reason::MissingField, "T")),
        };
        if kind == Kind::Quote {
            record.a = numbers.price(frame.bid, "b")?;
            record.b = numbers.price(frame.ask, "a")?;
            record.c = numbers.size(frame.bid_size, "B")?;
            record.d = numbers.size(frame.ask_size, "A")?;
            numbers.check_shown(record.a, record.c, "b")?;
            numbers.check_shown(record.b, record.d, "a")?;
        } else {
            record.a = numbers.price(frame.price, "p")?;
            record.b = numbers.size(frame.quantity, "q")?;
            numbers.check_shown(record.a, 1, "p")?;
            if record.b == 0 {
                return Err(Refusal::Dead(Reason::BadSize, "q"));
            }
            let id = frame.trade_id.ok_or(Refusal::Dead(Reason::MissingField, "t"))?;
            record.c = decimal::parse(id, 0).map_err(|error| Refusal::Dead(reason_of(error), "t"))?;
            record.side = match frame.buyer_is_maker {
                Some(b"true") => SIDE_SELL,
                Some(b"false") => SIDE_BUY,
                _ => return Err(Refusal::Dead(Reason::BadSide, "m")),
            };
        }
        Ok(Row::Record(record))
    }
}

impl<'a> Frame<'a> {
    /// The members of a frame, wrapped as `{"stream":..,"data":{..}}` or bare; None if it is not JSON.
    fn read(json: &'a [u8]) -> Option<Frame<'a>> {
        let mut frame = Frame::default();
        let mut aggregate_id = None;
        members(json, &|path| path == [b"data"], &mut |path, value| {
            let Text::Plain(text) = value else {
                return;
            };
            let place = match path {
                [b"stream"] => &mut frame.stream,
                [b"lastUpdateId"] => {
                    frame.is_snapshot = true;
                    return;
                }
                [key] | [b"data", key] => match *key {
                    b"e" => &mut frame.event,
                    b"s" => &mut frame.symbol,
                    b"T" => &mut frame.transaction_time,
                    b"b" => &mut frame.bid,
                    b"B" => &mut frame.bid_size,
                    b"a" => &mut frame.ask,
                    b"A" => &mut frame.ask_size,
                    b"p" => &mut frame.price,
                    b"q" => &mut frame.quantity,
                    b"t" => &mut frame.trade_id,
                    b"m" => &mut frame.buyer_is_maker,
                    b"X" => &mut frame.execution,
                    _ => return,
                },
                _ => return,
            };
            *place = Some(text);
        })
        .ok()?;
        if frame.event == Some(b"aggTrade") {
            std::mem::swap(&mut aggregate_id, &mut frame.ask);
            frame.trade_id = aggregate_id;
        }
        Some(frame)
    }

    fn stream_kind(&self) -> Option<&'a [u8]> {
        let stream = self.stream?;
        memchr::memrchr(b'@', stream).map(|at| &stream[at + 1..])
    }
}

struct Numbers<'a> {
    instrument: &'a InstrumentLayout,
    excess: Excess,
    rounded: &'a mut u64,
}

impl Numbers<'_> {
    fn price(&mut self, text: Option<&[u8]>, member: &'static str) -> Result<i64, Refusal> {
        self.number(text, member, self.instrument.price_decimals)
    }

    fn size(&mut self, text: Option<&[u8]>, member: &'static str) -> Result<i64, Refusal> {
        let size = self.number(text, member, self.instrument.size_decimals)?;
        if size < 0 {
            return Err(Refusal::Dead(Reason::BadSize, member));
        }
        Ok(size)
    }

    /// A price that is shown with a size must be one.
    fn check_shown(&self, price: i64, size: i64, member: &'static str) -> Result<(), Refusal> {
        if size != 0 && price <= 0 && !self.instrument.allow_negative_price {
            return Err(Refusal::Dead(Reason::BadPrice, member));
        }
        Ok(())
    }

    fn number(&mut self, text: Option<&[u8]>, member: &'static str, decimals: u32) -> Result<i64, Refusal> {
        let text = text.ok_or(Refusal::Dead(Reason::MissingField, member))?;
        let value = match decimal::parse(text, decimals) {
            Err(DecimalError::ExcessDecimals) if self.excess == Excess::Round => {
                *self.rounded += 1;
                decimal::parse_rounded(text, decimals).map(|(value, _)| value)
            }
            Err(DecimalError::ExcessDecimals) => {
                return Err(Refusal::Halt(IngestError::data(
                    "excess_decimals",
                    format!(
                        "{} ('{member}') has more than the {decimals} decimals of {}",
                        String::from_utf8_lossy(text),
                        self.instrument.symbol
                    ),
                    "set price_decimals or size_decimals of the instrument, or excess_decimals = \"round\"".to_string(),
                )))
            }
            result => result,
        };
        let value = value.map_err(|error| Refusal::Dead(reason_of(error), member))?;
        if value.unsigned_abs() > RAW_MAX as u64 {
            return Err(Refusal::Dead(Reason::Overflow, member));
        }
        Ok(value)
    }
}

fn reason_of(error: DecimalError) -> Reason {
    match error {
        DecimalError::Empty => Reason::MissingField,
        DecimalError::Syntax | DecimalError::ExcessDecimals => Reason::BadNumber,
        DecimalError::NotFinite => Reason::NotFinite,
        DecimalError::Overflow => Reason::Overflow,
    }
}
