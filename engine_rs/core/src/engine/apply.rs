//! One record is applied: watermark, market, matching, marks, bars and indicators (steps 2 and 3 of SEMANTICS, section 1).
//! May not live here: what is due around it, or handlers.

use super::Engine;
use crate::record::{Kind, FLAG_BAR_LENGTH_MASK};
use crate::setup::Source;

impl Engine {
    #[inline]
    pub(super) fn apply(&mut self) {
        let ts_event = self.record.ts_event;
        if self.is_clock_for_all() {
            for clock in &mut self.clocks {
                clock.watermark = Some(clock.watermark.unwrap_or(i64::MIN).max(ts_event));
            }
        } else if let Some(clock) = self.record_clock {
            let watermark = &mut self.clocks[clock as usize].watermark;
            self.is_late = watermark.is_some_and(|watermark| ts_event < watermark);
            *watermark = Some(self.event_time);
        }
        self.exchange.now = self.take_time;
        if self.is_late && self.record.kind != Kind::Clock as u8 {
            self.exchange.counters.late += 1;
        }
        match self.record.kind {
            kind if kind == Kind::Quote as u8 => self.apply_quote(),
            kind if kind == Kind::Trade as u8 => self.apply_trade(),
            kind if kind == Kind::Bar as u8 => self.apply_bar(),
            _ => {}
        }
    }

    #[inline]
    fn apply_quote(&mut self) {
        let record = &self.record;
        let index = record.instrument;
        let setup = &self.exchange.setup;
        let (source, sizes) = (
            setup.instruments[index as usize].source,
            setup.instruments[index as usize].sizes,
        );
        let market = &mut self.exchange.markets[index as usize];
        if record.ts_event < market.quote_time {
            self.is_stale = true;
            self.exchange.counters.stale += 1;
            return;
        }
        market.show_quote(record, sizes);
        if source.has_quotes() {
            if !self.exchange.working[index as usize].ids.is_empty() {
                self.exchange.follow_queues(index);
                self.exchange.match_quote(index, self.event_time);
            }
            let market = &mut self.exchange.markets[index as usize];
            if market.bid.is_present() && market.ask.is_present() {
                let doubled = market.bid.price + market.ask.price;
                market.mark(doubled);
            }
        }
        if self.series.builds_from_quotes(index) {
            self.series.add_quote(
                record,
                &mut self.clocks,
                &self.exchange.setup,
                &mut self.exchange.counters,
            );
            self.note_next_due();
        }
    }

    #[inline(never)]
    fn apply_trade(&mut self) {
        let record = &self.record;
        let index = record.instrument;
        let market = &mut self.exchange.markets[index as usize];
        let is_newest = !self.is_late || record.ts_event >= market.trade_time;
        if is_newest {
            market.last_price = Some(record.a);
            market.last_trade = Some(*record);
        }
        market.trade_time = market.trade_time.max(record.ts_event);
        if !self.exchange.working[index as usize].ids.is_empty() {
            let venue_time = if self.is_late { record.ts_event } else { self.event_time };
            self.exchange.match_trade(index, record, self.is_late, venue_time);
        }
        if is_newest && self.exchange.setup.instruments[index as usize].source == Source::Trade {
            self.exchange.markets[index as usize].mark(2 * record.a);
        }
        if self.series.builds_from_trades(index) {
            self.series.add_trade(
                record,
                &mut self.clocks,
                &self.exchange.setup,
                &mut self.exchange.counters,
            );
            self.note_next_due();
        }
    }

    #[inline(never)]
    fn apply_bar(&mut self) {
        let record = &self.record;
        let index = record.instrument;
        let length_index = (record.flags & FLAG_BAR_LENGTH_MASK) as u8;
        let instrument = &self.exchange.setup.instruments[index as usize];
        let decides = instrument.source == Source::Bar
            && instrument.bar_length == length_index as u32
            && instrument.bar_price as u8 == record.side;
        let length = self.exchange.setup.bar_lengths[length_index as usize];
        let market = &mut self.exchange.markets[index as usize];
        if !market.admit_bar(length_index, record.side, record.ts_event) {
            self.is_stale = true;
            self.exchange.counters.stale += 1;
            return;
        }
        if decides {
            let start = (record.ts_event - length).max(market.bar_end);
            let budget = if self.exchange.working[index as usize].ids.is_empty() {
                market.extremes.add(2 * record.c);
                market.extremes.add(2 * record.b);
                None
            } else {
                Some(self.exchange.match_bar(index, record, start))
            };
            let market = &mut self.exchange.markets[index as usize];
            market.bar_start = start;
            market.bar_end = record.ts_event;
            market.bar_close = Some(record.d);
            market.bar_range = (record.c, record.b);
            market.bar_volume = record.e;
            market.bar_budget = budget;
            market.mark(2 * record.d);
        }
        self.series.add_bar(record, length_index, length);
    }
}
