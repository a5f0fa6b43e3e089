//! The market of one instrument as the venue shows it, and what own orders took of it (the liquidity ledger).
//! May not live here: orders, money, or time.

use serde::{Deserialize, Serialize};

use crate::excursion::Extremes;
use crate::order::Side;
use crate::record::Record;
use crate::setup::{BeyondTop, Crossed, Instrument, Sizes, Venue};

/// Further levels that a market order may walk beyond the displayed one.
pub const SYNTHETIC_LEVELS: usize = 10;
/// A size that a feed without sizes stands for.
pub const UNSIZED: i64 = i64::MAX;

/// One side of a quote: what is shown, and what own orders took at the top and at the synthetic levels behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Display {
    pub price: i64,
    /// 0: the side is absent.
    pub size: i64,
    taken: [i64; SYNTHETIC_LEVELS + 1],
    is_taken_from: bool,
}

impl Display {
    /// A new quote of this side. While the best price stays, what was taken stays taken, at most the new size.
    #[inline]
    fn show(&mut self, price: i64, size: i64) {
        if self.is_taken_from {
            self.keep_taken(price, size);
        }
        self.price = price;
        self.size = size;
    }

    #[cold]
    fn keep_taken(&mut self, price: i64, size: i64) {
        if price == self.price && size != 0 && self.size != 0 {
            for taken in &mut self.taken {
                *taken = (*taken).min(size);
            }
        } else {
            self.taken = [0; SYNTHETIC_LEVELS + 1];
            self.is_taken_from = false;
        }
    }

    #[inline]
    pub fn is_present(&self) -> bool {
        self.size != 0
    }

    /// What is still free at a level: 0 is the top. Floored to a lot.
    pub fn free(&self, level: usize, lot: i64) -> i64 {
        if self.size == UNSIZED {
            return UNSIZED;
        }
        let free = (self.size - self.taken[level]).max(0);
        free - free % lot
    }

    pub fn take(&mut self, level: usize, size: i64) {
        if self.size != UNSIZED {
            self.taken[level] += size;
            self.is_taken_from = true;
        }
    }
}

/// One piece of a planned take: at one price, from one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub price: i64,
    pub size: i64,
    pub level: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Market {
    crossed: Crossed,
    pub bid: Display,
    pub ask: Display,
    /// ts_event of the last applied quote; i64::MIN before any.
    pub quote_time: i64,
    pub last_price: Option<i64>,
    pub last_trade: Option<Record>,
    /// The highest ts_event of a trade so far.
    pub trade_time: i64,
    /// End of the last bar of the deciding kind.
    pub bar_end: i64,
    /// Start of the last deciding bar.
    pub bar_start: i64,
    pub bar_close: Option<i64>,
    /// Low and high of the last deciding bar.
    pub bar_range: (i64, i64),
    /// What own orders may still take of the last deciding bar, at its close.
    pub bar_budget: Option<i64>,
    /// Its volume.
    pub bar_volume: i64,
    /// End of the last bar per bar length and price kind: (length index, price kind, end).
    bar_ends: Vec<(u8, u8, i64)>,
    /// Twice the mark.
    pub doubled_mark: Option<i64>,
    /// The first mark of the run, doubled, for buy and hold.
    pub first_doubled_mark: Option<i64>,
    /// Of the marks since the last fill in this instrument.
    pub extremes: Extremes,
}

impl Market {
    pub fn new(crossed: Crossed) -> Market {
        Market {
            crossed,
            quote_time: i64::MIN,
            trade_time: i64::MIN,
            bar_end: i64::MIN,
            bar_start: i64::MIN,
            ..Market::default()
        }
    }

    /// The side that an order of `side` takes from: the ask for a buy.
    pub fn opposite(&self, side: Side) -> &Display {
        match side {
            Side::Buy => &self.ask,
            Side::Sell => &self.bid,
        }
    }

    pub fn opposite_mut(&mut self, side: Side) -> &mut Display {
        match side {
            Side::Buy => &mut self.ask,
            Side::Sell => &mut self.bid,
        }
    }

    /// The side that an order of `side` rests on: the bid for a buy.
    pub fn own(&self, side: Side) -> &Display {
        match side {
            Side::Buy => &self.bid,
            Side::Sell => &self.ask,
        }
    }

    /// Bid above ask: while it lasts nothing is matched.
    #[inline]
    pub fn is_crossed(&self) -> bool {
        self.bid.size != 0 && self.ask.size != 0 && self.bid.price > self.ask.price && self.crossed == Crossed::Wait
    }

    #[inline]
    pub fn show_quote(&mut self, record: &Record, sizes: Sizes) {
        let (bid_size, ask_size) = match sizes {
            Sizes::Full => (record.c, record.d),
            Sizes::None => (UNSIZED, UNSIZED),
        };
        self.bid.show(record.a, bid_size);
        self.ask.show(record.b, ask_size);
        self.quote_time = record.ts_event;
    }

    #[inline]
    pub fn mark(&mut self, doubled: i64) {
        self.doubled_mark = Some(doubled);
        if self.first_doubled_mark.is_none() {
            self.first_doubled_mark = Some(doubled);
        }
        self.extremes.add(doubled);
    }

    /// Keeps the end of this bar; false where it does not end after the last bar of its length and price.
    pub fn admit_bar(&mut self, length: u8, price: u8, end: i64) -> bool {
        match self.bar_ends.iter_mut().find(|row| (row.0, row.1) == (length, price)) {
            Some(row) if end <= row.2 => false,
            Some(row) => {
                row.2 = end;
                true
            }
            None => {
                self.bar_ends.push((length, price, end));
                true
            }
        }
    }

    /// What an order would take from the quote now, best first: the free top, then the synthetic levels behind it.
    ///
    /// `limit` bounds the price. The plan changes nothing; FOK judges on it, everyone else carries it out.
    pub fn plan(
        &self,
        instrument: &Instrument,
        venue: &Venue,
        side: Side,
        quantity: i64,
        limit: Option<i64>,
    ) -> Vec<Piece> {
        let display = self.opposite(side);
        let mut pieces = Vec::new();
        if !display.is_present() || self.is_crossed() {
            return pieces;
        }
        let mut left = quantity;
        let levels = match venue.beyond_top {
            BeyondTop::Walk => SYNTHETIC_LEVELS + 1,
            BeyondTop::All | BeyondTop::Top => 1,
            BeyondTop::NextTick => 2,
        };
        for level in 0..levels {
            let price = display.price + side.sign() * instrument.tick * level as i64;
            let refused = price <= 0 && level > 0 && !instrument.allow_negative_price;
            if left == 0 || refused || limit.is_some_and(|limit| !side.within(price, limit)) {
                break;
            }
            let free = match venue.beyond_top {
                BeyondTop::All => left,
                BeyondTop::NextTick if level == 1 => left,
                _ => display.free(level, instrument.lot),
            };
            let size = left.min(free);
            if size > 0 {
                pieces.push(Piece { price, size, level });
                left -= size;
            }
        }
        pieces
    }
}

/// Moves a price against `side` by the venue's slippage, never to 0 or below where that is forbidden.
pub fn slipped(instrument: &Instrument, venue: &Venue, side: Side, price: i64) -> i64 {
    if venue.slippage_ticks == 0 {
        return price;
    }
    let moved = price + side.sign() * venue.slippage_ticks * instrument.tick;
    if moved <= 0 && !instrument.allow_negative_price {
        price.min(instrument.tick)
    } else {
        moved
    }
}
