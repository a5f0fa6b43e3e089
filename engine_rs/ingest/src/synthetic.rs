//! The synthetic market: quotes and trades of several instruments from a seed, in integer arithmetic only.
//! May not live here: clocks, floats, or anything that differs between machines or chunk sizes.

use replay_core::record::{Kind, Record, SIDE_BUY, SIDE_SELL};
use replay_core::rng::Rng;
use serde::Deserialize;

use crate::error::IngestError;

/// The stream of the run's seed that makes the market; strategies have theirs by index.
const MARKET_STREAM: u64 = 0x6d61_726b_6574;
/// Of a thousand records, this many are trades.
const TRADES_PER_MILLE: u64 = 250;
/// Of a thousand quotes, this many move the mid.
const MOVES_PER_MILLE: u64 = 400;
/// A drift lasts this many moves at most.
const DRIFT_MOVES_MAX: u64 = 400;

/// The market to make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntheticSpec {
    pub seed: u64,
    pub start_ns: i64,
    /// Mean time between two records of the market, all instruments together.
    pub interval_ns: u64,
    /// A record is received this long after its event, at least and at most.
    pub latency_min_ns: u64,
    pub latency_max_ns: u64,
    pub instruments: Vec<SyntheticInstrument>,
}

/// One instrument of the market; prices and sizes are raw integers on its scales.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntheticInstrument {
    /// Its index in the records.
    pub index: u32,
    pub tick: i64,
    pub lot: i64,
    /// The mid starts here and stays between half and one and a half of it.
    pub price: i64,
    /// The largest step of the mid, in ticks.
    pub step_ticks: u64,
    /// The widest spread, in ticks.
    pub spread_ticks: u64,
    /// The largest size at the top, in lots.
    pub size_lots: u64,
}

/// A market under way. The same spec gives the same records, in chunks of any size.
#[derive(Clone, Debug)]
pub struct Synthetic {
    spec: SyntheticSpec,
    rng: Rng,
    now_ns: i64,
    last_received_ns: i64,
    made: u64,
    states: Vec<State>,
}

#[derive(Clone, Debug)]
struct State {
    mid_ticks: i64,
    /// Added to each move, in ticks; it changes sign and strength now and then, so that there are trends.
    drift_ticks: i64,
    drift_moves: u64,
    bid: i64,
    ask: i64,
    bid_size: i64,
    ask_size: i64,
    trade_id: i64,
}

impl Synthetic {
    /// Errors: no instruments, or an instrument whose numbers cannot make a market.
    pub fn new(spec: SyntheticSpec) -> Result<Synthetic, IngestError> {
        let refuse = |message: String| Err(IngestError::config("bad_market", message, String::new()));
        if spec.instruments.is_empty() {
            return refuse("a synthetic market needs an instrument".to_string());
        }
        if spec.interval_ns == 0 || spec.latency_min_ns > spec.latency_max_ns {
            return refuse("the interval must be above 0, and the least latency not above the largest".to_string());
        }
        if spec.interval_ns > 1 << 50 || spec.latency_max_ns > 1 << 50 {
            return refuse("the interval and the latency must be below 13 days".to_string());
        }
        for instrument in &spec.instruments {
            let ticks = instrument.price / instrument.tick.max(1);
            let is_possible = instrument.tick > 0
                && instrument.lot > 0
                && instrument.step_ticks > 0
                && instrument.spread_ticks > 0
                && instrument.size_lots > 0
                && instrument.step_ticks < 1 << 40
                && instrument.spread_ticks < 1 << 40
                && ticks / 4 > (instrument.step_ticks + instrument.spread_ticks) as i64
                && instrument.price < 1 << 59
                && i128::from(instrument.lot) * i128::from(instrument.size_lots) < 1 << 59;
            if !is_possible {
                return refuse(format!(
                    "instrument {} cannot make a market: tick, lot, step, spread and size must be above 0, and the price \
                     at least four steps and spreads",
                    instrument.index
                ));
            }
        }
        let mut rng = Rng::new(spec.seed, MARKET_STREAM);
        let mut states = Vec::with_capacity(spec.instruments.len());
        for instrument in &spec.instruments {
            let mut state = State {
                mid_ticks: instrument.price / instrument.tick,
                drift_ticks: 0,
                drift_moves: 0,
                bid: 0,
                ask: 0,
                bid_size: 0,
                ask_size: 0,
                trade_id: 0,
            };
            state.requote(instrument, &mut rng);
            states.push(state);
        }
        Ok(Synthetic {
            now_ns: spec.start_ns,
            last_received_ns: spec.start_ns,
            made: 0,
            spec,
            rng,
            states,
        })
    }

    /// Appends the next `count` records.
    pub fn next(&mut self, count: usize, records: &mut Vec<Record>) {
        records.reserve(count);
        for _ in 0..count {
            let record = self.step();
            records.push(record);
        }
    }

    /// Makes records and drops them.
    pub fn skip(&mut self, count: u64) {
        for _ in 0..count {
            self.step();
        }
    }

    /// Records made so far.
    pub fn made(&self) -> u64 {
        self.made
    }

    #[inline]
    fn step(&mut self) -> Record {
        let Synthetic { spec, rng, .. } = self;
        // Uniform between 1 and twice the mean less 1, in ns: never two events at one time.
        self.now_ns += 1 + rng.below(2 * spec.interval_ns - 1) as i64;
        let latency_ns = spec.latency_min_ns + rng.below(spec.latency_max_ns - spec.latency_min_ns + 1);
        self.last_received_ns = self.last_received_ns.max(self.now_ns + latency_ns as i64);
        let place = rng.below(spec.instruments.len() as u64) as usize;
        let instrument = &spec.instruments[place];
        let state = &mut self.states[place];
        let mut record = Record {
            ts_event: self.now_ns,
            ts_recv: self.last_received_ns,
            instrument: instrument.index,
            ..Record::default()
        };
        // An instrument shows a quote before it trades.
        if self.made >= 16 && rng.below(1000) < TRADES_PER_MILLE && state.trade(instrument, rng, &mut record) {
            record.kind = Kind::Trade as u8;
        } else {
            if rng.below(1000) < MOVES_PER_MILLE {
                state.step(instrument, rng);
            }
            state.requote(instrument, rng);
            record.kind = Kind::Quote as u8;
            [record.a, record.b] = [state.bid, state.ask];
            [record.c, record.d] = [state.bid_size, state.ask_size];
        }
        self.made += 1;
        record
    }
}

/// A number in 1..=limit, small ones more often: the smaller of two draws.
fn skewed(rng: &mut Rng, limit: u64) -> u64 {
    1 + rng.below(limit).min(rng.below(limit))
}

impl State {
    /// Moves the mid: a triangular step, the drift, and back inside its bounds.
    fn step(&mut self, instrument: &SyntheticInstrument, rng: &mut Rng) {
        if self.drift_moves == 0 {
            self.drift_moves = 1 + rng.below(DRIFT_MOVES_MAX);
            let strength = instrument.step_ticks / 64 + 1;
            self.drift_ticks = rng.below(2 * strength + 1) as i64 - strength as i64;
        }
        self.drift_moves -= 1;
        let span = instrument.step_ticks + 1;
        self.mid_ticks += rng.below(span) as i64 - rng.below(span) as i64 + self.drift_ticks;
        let anchor = instrument.price / instrument.tick;
        let (lowest, highest) = (anchor - anchor / 2, anchor + anchor / 2);
        if self.mid_ticks < lowest || self.mid_ticks > highest {
            self.drift_ticks = -self.drift_ticks;
            self.mid_ticks = self.mid_ticks.clamp(lowest, highest);
        }
    }

    /// Shows new prices around the mid, with new sizes.
    fn requote(&mut self, instrument: &SyntheticInstrument, rng: &mut Rng) {
        let spread = skewed(rng, instrument.spread_ticks) as i64;
        let bid_ticks = self.mid_ticks - spread / 2;
        self.bid = bid_ticks * instrument.tick;
        self.ask = (bid_ticks + spread) * instrument.tick;
        self.bid_size = skewed(rng, instrument.size_lots) as i64 * instrument.lot;
        self.ask_size = skewed(rng, instrument.size_lots) as i64 * instrument.lot;
    }

    /// Takes a part of the best bid or ask; false if nothing is left there. The aggressor follows the drift a little.
    fn trade(&mut self, instrument: &SyntheticInstrument, rng: &mut Rng, record: &mut Record) -> bool {
        let is_buy = rng.below(100) < (50 + self.drift_ticks.signum() * 6) as u64;
        let (price, shown) = match is_buy {
            true => (self.ask, &mut self.ask_size),
            false => (self.bid, &mut self.bid_size),
        };
        let lots = *shown / instrument.lot;
        if lots == 0 {
            return false;
        }
        let size = skewed(rng, lots as u64) as i64 * instrument.lot;
        *shown -= size;
        self.trade_id += 1;
        record.a = price;
        record.b = size;
        record.c = self.trade_id;
        record.side = if is_buy { SIDE_BUY } else { SIDE_SELL };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(seed: u64) -> SyntheticSpec {
        let instrument = |index, price| SyntheticInstrument {
            index,
            tick: 1,
            lot: 10,
            price,
            step_ticks: 300,
            spread_ticks: 12,
            size_lots: 5_000,
        };
        SyntheticSpec {
            seed,
            start_ns: 1_700_000_000_000_000_000,
            interval_ns: 1_000_000,
            latency_min_ns: 100_000,
            latency_max_ns: 2_000_000,
            instruments: vec![instrument(0, 4_200_000), instrument(3, 250_000)],
        }
    }

    fn made(seed: u64, count: usize) -> Vec<Record> {
        let mut records = Vec::new();
        Synthetic::new(spec(seed)).unwrap().next(count, &mut records);
        records
    }

    #[test]
    fn chunk_size_never_changes_the_market() {
        let whole = made(7, 10_000);
        for chunk in [1, 7, 4096] {
            let mut market = Synthetic::new(spec(7)).unwrap();
            let mut records = Vec::new();
            while records.len() < whole.len() {
                let count = chunk.min(whole.len() - records.len());
                market.next(count, &mut records);
            }
            assert_eq!(records, whole, "chunks of {chunk}");
        }
        let mut market = Synthetic::new(spec(7)).unwrap();
        market.skip(9_990);
        let mut tail = Vec::new();
        market.next(10, &mut tail);
        assert_eq!(tail, whole[9_990..]);
        assert_ne!(made(8, 100), whole[..100]);
    }

    #[test]
    fn records_are_plausible() {
        let mut last_recv = 0;
        let mut last_event = 0;
        let mut trades = 0;
        for record in made(7, 200_000) {
            assert!(record.ts_event > last_event && record.ts_recv >= last_recv && record.ts_recv > record.ts_event);
            (last_event, last_recv) = (record.ts_event, record.ts_recv);
            let anchor = if record.instrument == 0 { 4_200_000 } else { 250_000 };
            let is_near = |price: i64| price > anchor / 3 && price < anchor * 2;
            if record.kind == Kind::Quote as u8 {
                assert!(record.a < record.b && record.b - record.a <= 12);
                assert!(is_near(record.a) && is_near(record.b));
                assert!(record.c > 0 && record.d > 0 && record.c % 10 == 0 && record.d <= 50_000);
            } else {
                trades += 1;
                assert_eq!(record.kind, Kind::Trade as u8);
                assert!(is_near(record.a) && record.b > 0 && record.b % 10 == 0 && record.c > 0);
                assert!(record.side == SIDE_BUY || record.side == SIDE_SELL);
            }
        }
        assert!((40_000..60_000).contains(&trades), "{trades} trades");
    }

    #[test]
    fn an_impossible_market_is_refused() {
        let mut none = spec(1);
        none.instruments.clear();
        assert!(Synthetic::new(none).is_err());
        let mut flat = spec(1);
        flat.instruments[0].price = 100;
        assert!(Synthetic::new(flat).is_err());
        let mut still = spec(1);
        still.interval_ns = 0;
        assert!(Synthetic::new(still).is_err());
    }
}
