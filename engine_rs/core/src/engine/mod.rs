//! The engine: takes one record after the other and says when a strategy's handler is to be called.
//! May not live here: fill rules (matching), money (ledger), or anything that calls out: the shell calls the handlers.
//!
//! `advance` is resumable: it returns the next handler call, or that the records are used up. Between two calls the shell
//! runs the handler, whose commands wait in `commands` and are admitted when `advance` goes on. So nothing is ever
//! borrowed while user code runs, and a handler sees one unchanging world.

mod apply;
mod dispatch;
mod timeline;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::due::{Arrival, Queue, Timer, VenueClock, DUE_KINDS};
use crate::equity::EquityCurve;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::handles;
use crate::ledger::Ledger;
use crate::reason::Reason;
use crate::record::{CommandCause, Kind, OperatorCommand, Record};
use crate::rng::Rng;
use crate::series::SeriesTable;
use crate::setup::Setup;
use crate::trading::{Operation, Trading};

/// Items of one due list at one time, besides those that waited before it, beyond which a strategy is taken to loop.
pub const DUE_ITEMS_MAX: u32 = 10_000;
/// Timers that may fire between two records.
pub const TIMERS_IN_GAP_MAX: u32 = 1_000_000;

/// A handler that the shell is to call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Start,
    /// The record is `Engine::record`.
    Quote,
    Trade,
    Book,
    /// The bar is the last one of this series.
    Bar(u32),
    /// The event is `Engine::event`.
    Order,
    Fill,
    /// The timer's name.
    Timer(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All records are taken.
    Exhausted,
    Call {
        strategy: u32,
        call: Call,
    },
}

/// Why the engine stopped the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// One due list gave too many items at one time, or too many timers in one gap.
    Livelock {
        strategy: u32,
        kind: &'static str,
        time: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Idle,
    Start(u32),
    DueBefore,
    DueAtRecord,
    Operator(u32),
    /// (strategy, how many of its closed bars are done)
    Bars(u32, u32),
    Own(u32),
    DueAtEnd,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Engine {
    pub exchange: Exchange,
    /// What the strategies have been told the account owns.
    pub told: Ledger,
    pub series: SeriesTable,
    pub equity: EquityCurve,
    pub trading: Trading,
    /// What is being done on behalf of the strategies.
    operation: Option<Operation>,
    rngs: Vec<Rng>,
    clocks: Vec<VenueClock>,
    clock_of_instrument: Vec<u32>,
    timers: Queue<Timer>,
    /// The time of the first timer; of each clock's first item.
    next_timer: i64,
    next_clock_due: Vec<i64>,
    handlers: Vec<u32>,
    /// Whether any strategy has a handler that records call.
    has_handlers_per_record: bool,
    phase: Phase,
    record: Record,
    /// The clock that the record belongs to; None where it belongs to all or to none.
    record_clock: Option<u32>,
    /// e and t of the record that is being taken (SEMANTICS, section 1).
    event_time: i64,
    take_time: i64,
    is_stale: bool,
    is_late: bool,
    /// Commands were sent while this record is taken: to any venue.
    has_sent: bool,
    event: Event,
    /// Whether the timer that is being told is a repeating one.
    fires_again: bool,
    calling: Option<u32>,
    commands: Vec<Command>,
    disabled: Vec<bool>,
    pub tape_seq: u64,
    is_started: bool,
    is_stopping: bool,
    livelock_time: i64,
    /// Items of each kind that may still be taken at that time.
    livelock_left: [u32; DUE_KINDS],
    timers_in_gap: u32,
    /// The record that the two counts are of.
    gap_seq: u64,
}

/// Whether a record ends a stop: a pause or a resume does.
#[inline(never)]
fn wakes(record: &Record) -> bool {
    record.kind == Kind::Command as u8 && Trading::is_woken_by(OperatorCommand::from_i64(record.a))
}

impl Engine {
    /// `handlers`: the handlers of each strategy, as bits of [`handles`].
    pub fn new(setup: Setup, handlers: &[u32]) -> Engine {
        assert_eq!(
            setup.strategies.len(),
            handlers.len(),
            "one set of handlers for each strategy"
        );
        let setup = Arc::new(setup);
        Engine {
            told: Ledger::new(&setup),
            series: SeriesTable::new(setup.instruments.len()),
            equity: EquityCurve::new(setup.equity_every),
            trading: Trading::new(setup.switches.clone()),
            operation: None,
            rngs: (0..handlers.len())
                .map(|index| Rng::new(setup.seed, index as u64))
                .collect(),
            clock_of_instrument: setup.instruments.iter().map(|instrument| instrument.clock).collect(),
            clocks: (0..setup.clocks).map(|_| VenueClock::default()).collect(),
            timers: Queue::default(),
            next_timer: i64::MAX,
            next_clock_due: vec![i64::MAX; setup.clocks as usize],
            handlers: handlers.to_vec(),
            has_handlers_per_record: handlers
                .iter()
                .any(|bits| bits & (handles::QUOTE | handles::TRADE | handles::BAR | handles::BOOK) != 0),
            phase: Phase::Idle,
            record: Record::default(),
            record_clock: None,
            event_time: i64::MIN,
            take_time: i64::MIN,
            is_stale: false,
            is_late: false,
            has_sent: false,
            event: Event::default(),
            fires_again: false,
            calling: None,
            commands: Vec::new(),
            disabled: vec![false; handlers.len()],
            tape_seq: 0,
            is_started: false,
            is_stopping: false,
            livelock_time: i64::MIN,
            livelock_left: [DUE_ITEMS_MAX; DUE_KINDS],
            timers_in_gap: 0,
            gap_seq: u64::MAX,
            exchange: Exchange::new(setup),
        }
    }

    pub fn setup(&self) -> &Arc<Setup> {
        &self.exchange.setup
    }

    /// The strategy's clock.
    pub fn now(&self) -> i64 {
        self.exchange.now
    }

    /// The record that is being taken.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The answer that is being told.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Whether the timer that is being told will be told again.
    pub fn fires_again(&self) -> bool {
        self.fires_again
    }

    /// How much is kept of what a run makes more and more of: each has a bound that its length does not move.
    pub fn kept(&self) -> [(&'static str, usize); 9] {
        let exchange = &self.exchange;
        let of_clocks = |count: fn(&VenueClock) -> usize| self.clocks.iter().map(count).sum();
        [
            ("orders", exchange.orders.len()),
            (
                "working",
                exchange.working.iter().map(|working| working.ids.len()).sum(),
            ),
            (
                "expiries",
                of_clocks(|clock| clock.expiries.len() + clock.bar_expiries.len()),
            ),
            ("arrivals", of_clocks(|clock| clock.arrivals.len())),
            ("answers", exchange.answers.len()),
            ("timers", self.timers.len()),
            ("events", exchange.log.waiting().len()),
            ("equity_points", self.equity.waiting().len()),
            ("excursions", exchange.excursions.waiting().len()),
        ]
    }

    pub fn rng(&mut self, strategy: u32) -> &mut Rng {
        &mut self.rngs[strategy as usize]
    }

    /// Whether some record calls a handler: then the shell need not let go of its interpreter in between.
    pub fn calls_per_record(&self) -> bool {
        self.has_handlers_per_record
    }

    /// The handlers of each strategy, as bits of [`handles`].
    pub fn handlers(&self) -> &[u32] {
        &self.handlers
    }

    /// Whether no record is being taken: only then is the whole state here, and none of it in a handler.
    pub fn is_between_records(&self) -> bool {
        self.phase == Phase::Idle && self.calling.is_none()
    }

    /// When the next timer is due, for a live shell.
    pub fn next_timer(&self) -> Option<i64> {
        let time = self.timers.next_time();
        (time != i64::MAX).then_some(time)
    }

    /// Depths of the due lists: arrivals, answers, timers.
    pub fn due_depths(&self) -> (usize, usize, usize) {
        let arrivals = self.clocks.iter().map(|clock| clock.arrivals.len()).sum();
        (arrivals, self.exchange.answers.len(), self.timers.len())
    }

    /// Commands under way to their venues, by venue time.
    pub fn in_flight(&self) -> Vec<(i64, Arrival)> {
        let mut all: Vec<_> = self
            .clocks
            .iter()
            .flat_map(|clock| clock.arrivals.sorted())
            .map(|row| (row.0, row.1, row.2))
            .collect();
        all.sort_by_key(|row| (row.0, row.1));
        all.into_iter().map(|row| (row.0, row.2)).collect()
    }

    // -------------------------------------------------------------- the loop

    /// Takes records from `records[*position..]` until a handler is to be called or all are taken.
    ///
    /// The shell passes the same records again after each call; commands given meanwhile are admitted first.
    pub fn advance(&mut self, records: &[Record], position: &mut usize) -> Result<Step, Halt> {
        if self.calling.is_some() {
            self.admit_commands();
        }
        loop {
            match self.phase {
                Phase::Idle => {
                    let Some(record) = records.get(*position) else {
                        return Ok(Step::Exhausted);
                    };
                    *position += 1;
                    if self.trading.is_stopped() && !wakes(record) {
                        // After a stop nothing is decided, however much of a batch is left.
                        self.tape_seq += 1;
                        continue;
                    }
                    self.begin(record);
                    // The common case, straight through: nothing is due.
                    if self.phase == Phase::DueBefore && self.is_quiet_before() {
                        self.apply();
                        self.phase = Phase::DueAtRecord;
                        if self.is_quiet_at() && self.record.kind < Kind::Command as u8 {
                            if self.has_handlers_per_record {
                                self.phase = self.first_calls();
                            } else if self.trading.is_watching() {
                                self.phase = Phase::DueAtEnd;
                            } else {
                                self.end_record();
                                self.phase = Phase::Idle;
                            }
                        }
                    }
                }
                Phase::Start(strategy) => {
                    if strategy as usize == self.handlers.len() {
                        self.series.subscribe_unsubscribed(&self.exchange.setup, &self.handlers);
                        self.phase = Phase::DueBefore;
                    } else {
                        self.phase = Phase::Start(strategy + 1);
                        if let Some(step) = self.call(strategy, handles::START, Call::Start) {
                            return Ok(step);
                        }
                    }
                }
                Phase::DueBefore => {
                    if !self.is_quiet_before() {
                        if let Some(step) = self.run_due(true)? {
                            return Ok(step);
                        }
                    }
                    self.apply();
                    self.phase = Phase::DueAtRecord;
                }
                Phase::DueAtRecord => {
                    if !self.is_quiet_at() {
                        if let Some(step) = self.run_due(false)? {
                            return Ok(step);
                        }
                    }
                    if self.record.kind == Kind::Command as u8 {
                        self.phase = self.begin_command();
                    } else if self.has_handlers_per_record {
                        self.phase = self.first_calls();
                    } else {
                        self.phase = Phase::DueAtEnd;
                    }
                }
                Phase::Operator(strategy) => {
                    if strategy as usize == self.handlers.len() {
                        self.operation = None;
                        self.phase = Phase::DueAtEnd;
                    } else {
                        self.phase = Phase::Operator(strategy + 1);
                        self.operate(strategy);
                    }
                }
                Phase::Bars(strategy, done) => {
                    if strategy as usize == self.handlers.len() {
                        self.phase = Phase::DueAtEnd;
                        continue;
                    }
                    match self.series.closed_for(strategy, done) {
                        Some(series) => {
                            self.phase = if done + 1 < self.series.closed_count() {
                                Phase::Bars(strategy, done + 1)
                            } else {
                                self.after_bars(strategy)
                            };
                            if let Some(step) = self.call(strategy, handles::BAR, Call::Bar(series)) {
                                return Ok(step);
                            }
                        }
                        None => self.phase = self.after_bars(strategy),
                    }
                }
                Phase::Own(strategy) => {
                    if strategy as usize == self.handlers.len() {
                        self.phase = Phase::DueAtEnd;
                        continue;
                    }
                    self.phase = if self.series.has_closed() {
                        Phase::Bars(strategy + 1, 0)
                    } else {
                        Phase::Own(strategy + 1)
                    };
                    if self.is_stale {
                        continue;
                    }
                    let call = match self.record.kind {
                        kind if kind == Kind::Quote as u8 => Some((handles::QUOTE, Call::Quote)),
                        kind if kind == Kind::Trade as u8 => Some((handles::TRADE, Call::Trade)),
                        kind if kind == Kind::Book as u8 || kind == Kind::Order as u8 => {
                            Some((handles::BOOK, Call::Book))
                        }
                        _ => None,
                    };
                    if let Some((bit, call)) = call {
                        if let Some(step) = self.call(strategy, bit, call) {
                            return Ok(step);
                        }
                    }
                }
                Phase::DueAtEnd => {
                    if !self.is_quiet_at() {
                        if let Some(step) = self.run_due(false)? {
                            return Ok(step);
                        }
                    }
                    if self.trading.is_watching() {
                        self.operation = self.watch();
                        if self.operation.is_some() {
                            self.phase = Phase::Operator(0);
                            continue;
                        }
                    }
                    self.end_record();
                    self.phase = Phase::Idle;
                }
            }
        }
    }

    /// An operator's command takes hold; gives the phase that carries it out.
    fn begin_command(&mut self) -> Phase {
        let command = OperatorCommand::from_i64(self.record.a);
        let cause = CommandCause::from_i64(self.record.b).unwrap_or(CommandCause::Operator);
        self.operation =
            command.and_then(|command| self.trading.command(command, cause, self.exchange.now, self.tape_seq));
        match self.operation {
            Some(_) => Phase::Operator(0),
            None => Phase::DueAtEnd,
        }
    }

    /// The risk switches look at what the record has made of the account; gives what is to be done about it.
    ///
    /// Equity is reckoned only where the record can have changed it: after a fill, and at a mark of what is held.
    #[inline(never)]
    fn watch(&mut self) -> Option<Operation> {
        let (now, seq) = (self.exchange.now, self.tape_seq);
        if now >= self.exchange.setup.trading_start {
            let ledger = &self.exchange.ledger;
            let is_held = || self.record.kind <= Kind::Bar as u8 && ledger.net[self.record.instrument as usize] != 0;
            let limits = self.trading.limits();
            if limits.drawdown.is_some()
                && (self.exchange.filled || self.trading.peak.is_none() || ledger.cash.len() > 1 || is_held())
            {
                let mark = |index: u32| self.exchange.doubled_mark(index);
                if let Some(equity) = ledger.doubled_equity(&self.exchange.setup, mark) {
                    self.trading.look_at_equity(equity, now, seq);
                }
            }
            if self.exchange.filled || self.record.kind == Kind::Command as u8 {
                self.trading.look_at_positions(&self.exchange.ledger.net, now, seq);
            }
        }
        if self.trading.is_flattening && self.is_flat() {
            self.trading.end_flatten();
        }
        self.trading.take_wanted(now)
    }

    /// Where the handlers that the record calls begin.
    #[inline]
    fn first_calls(&self) -> Phase {
        if self.series.has_closed() {
            Phase::Bars(0, 0)
        } else {
            Phase::Own(0)
        }
    }

    /// What follows a strategy's closed bars: the record's own handler, which a Bar record does not have.
    #[inline]
    fn after_bars(&self, strategy: u32) -> Phase {
        if self.record.kind != Kind::Bar as u8 {
            Phase::Own(strategy)
        } else if strategy as usize + 1 < self.handlers.len() {
            Phase::Bars(strategy + 1, 0)
        } else {
            Phase::DueAtEnd
        }
    }

    #[inline]
    fn call(&mut self, strategy: u32, bit: u32, call: Call) -> Option<Step> {
        if self.handlers[strategy as usize] & bit == 0 || self.disabled[strategy as usize] {
            return None;
        }
        self.calling = Some(strategy);
        self.exchange.counters.calls[strategy as usize] += 1;
        Some(Step::Call { strategy, call })
    }

    #[inline]
    fn begin(&mut self, record: &Record) {
        self.record = *record;
        self.exchange.counters.records[record.kind as usize] += 1;
        self.exchange.log.begin_record(self.tape_seq);
        self.exchange.ts_recv = record.ts_recv;
        self.take_time = self.exchange.now.max(record.ts_recv);
        self.is_stale = false;
        self.is_late = false;
        self.has_sent = false;
        self.record_clock = self.clock_of(record);
        self.event_time = match self.record_clock {
            Some(clock) => self.clocks[clock as usize]
                .watermark
                .unwrap_or(i64::MIN)
                .max(record.ts_event),
            None => record.ts_event,
        };
        if self.is_started {
            self.phase = Phase::DueBefore;
        } else {
            self.is_started = true;
            self.exchange.now = self.take_time;
            self.phase = Phase::Start(0);
        }
    }

    #[inline]
    fn end_record(&mut self) {
        if self.exchange.filled || self.take_time >= self.equity.next_time() {
            self.add_equity_point();
        }
        self.series.forget_closed();
        self.trading.end_record(self.take_time, self.tape_seq);
        self.tape_seq += 1;
    }

    #[inline]
    fn clock_of(&self, record: &Record) -> Option<u32> {
        if record.kind <= Kind::Status as u8 {
            Some(self.clock_of_instrument[record.instrument as usize])
        } else if record.kind == Kind::Clock as u8 {
            if self.exchange.setup.one_clock {
                Some(0)
            } else {
                u32::try_from(record.a).ok()
            }
        } else {
            None
        }
    }

    #[inline(never)]
    fn add_equity_point(&mut self) {
        let (exchange, ledger) = (&self.exchange, &self.exchange.ledger);
        let mark = |index: u32| exchange.doubled_mark(index);
        let (equity, exposure) = ledger.doubled_equity_and_exposure(&exchange.setup, mark);
        let cash = ledger.cash[exchange.setup.account_currency as usize];
        self.equity.add(self.take_time, self.tape_seq, equity, cash, exposure);
        self.exchange.filled = false;
    }

    fn is_clock_for_all(&self) -> bool {
        self.record.kind == Kind::Clock as u8 && self.record.a < 0 && !self.exchange.setup.one_clock
    }

    pub(crate) fn is_in_start(&self) -> bool {
        matches!(self.phase, Phase::Start(_))
    }

    /// The instrument of an order: known, or sent earlier in this handler.
    pub fn instrument_of(&self, id: u64) -> Option<u32> {
        if let Some(order) = self.exchange.orders.find(id) {
            return Some(order.request.instrument);
        }
        let position = id.checked_sub(self.exchange.orders.next_id())? as usize;
        let mut sent = self.commands.iter().filter_map(|command| match command {
            Command::Submit(request) => Some(request.instrument),
            _ => None,
        });
        sent.nth(position)
    }

    /// The quote that stands, as a record.
    pub fn last_quote(&self, instrument: u32) -> Option<Record> {
        let market = &self.exchange.markets[instrument as usize];
        (market.quote_time != i64::MIN).then(|| Record {
            ts_event: market.quote_time,
            ts_recv: market.quote_time,
            a: market.bid.price,
            b: market.ask.price,
            c: market.bid.size,
            d: market.ask.size,
            instrument,
            kind: Kind::Quote as u8,
            ..Record::default()
        })
    }

    /// The last trade's price, as a record.
    pub fn last_trade(&self, instrument: u32) -> Option<Record> {
        let market = &self.exchange.markets[instrument as usize];
        market.last_trade
    }

    pub(crate) fn push_command(&mut self, command: Command) {
        self.commands.push(command);
    }

    pub(crate) fn pending_commands(&self) -> &[Command] {
        &self.commands
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// The id that the next order sent in this handler will get.
    pub(crate) fn next_order_id(&self) -> u64 {
        let sent = self
            .commands
            .iter()
            .filter(|command| matches!(command, Command::Submit(_)))
            .count();
        self.exchange.orders.next_id() + sent as u64
    }

    /// The handler raised: its commands are dropped and the strategy's orders cancelled at once.
    pub fn abandon(&mut self, strategy: u32) {
        self.commands.clear();
        self.calling = None;
        self.disabled[strategy as usize] = true;
        self.exchange.cancel_all_at_once(strategy, Reason::StrategyHalted);
        self.note_next_due();
    }

    /// The tape is over, or the run is stopped: this decides nothing. Commands raise from now on.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }
}
