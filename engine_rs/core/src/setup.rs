//! The setup of a run: instruments, venues, account and rules, as text from the shell and as integers for the engine.
//! May not live here: state that changes while a run goes on.

use serde::{Deserialize, Serialize};

use crate::arith::pow10;
use crate::calendar::Calendar;
use crate::decimal;
use crate::fees::FeeSchedule;
pub use crate::fees::{FeeCurrency, FeeRounding, RATE_DECIMALS};
use crate::record::BarPrice;

const LEVERAGE_DECIMALS: u32 = 4;
const SHARE_DECIMALS: u32 = 6;

// ------------------------------------------------------------------ as text

/// What the shell hands over: decimals as text, times in ns.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetupText {
    pub seed: u64,
    #[serde(default)]
    pub trading_start_ns: Option<i64>,
    pub equity_every_ns: i64,
    pub one_clock: bool,
    #[serde(default = "default_max_ahead")]
    pub max_ahead_ns: i64,
    #[serde(default = "default_max_gap")]
    pub max_gap_ns: i64,
    #[serde(default)]
    pub plausible_from_ns: Option<i64>,
    #[serde(default)]
    pub late: Policy,
    #[serde(default = "quarantine")]
    pub leap: Policy,
    #[serde(default = "halt")]
    pub gap: Policy,
    #[serde(default)]
    pub bar_lengths: Vec<i64>,
    pub currencies: Vec<CurrencyText>,
    pub account: AccountText,
    #[serde(default)]
    pub risk: RiskText,
    pub venues: Vec<VenueText>,
    pub instruments: Vec<InstrumentText>,
    pub strategies: Vec<StrategyText>,
}

fn default_max_ahead() -> i64 {
    10_000_000_000
}
fn default_max_gap() -> i64 {
    30 * 86_400_000_000_000
}
fn quarantine() -> Policy {
    Policy::Quarantine
}
fn halt() -> Policy {
    Policy::Halt
}

/// What to do with a record that a check of the sequencer found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    #[default]
    Accept,
    Quarantine,
    Halt,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrencyText {
    pub name: String,
    pub decimals: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountText {
    pub kind: AccountKind,
    pub leverage: String,
    pub currency: String,
    pub cash: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskText {
    #[serde(default)]
    pub max_order_size: Option<String>,
    #[serde(default)]
    pub max_order_notional: Option<String>,
    #[serde(default)]
    pub max_position: Option<String>,
    #[serde(default)]
    pub drawdown: Option<DrawdownText>,
    #[serde(default)]
    pub position: Option<PositionText>,
    #[serde(default)]
    pub order_rate: Option<OrderRateText>,
}

/// What a risk switch does when it trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It says so.
    Alert,
    Pause,
    Flatten,
    Stop,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawdownText {
    /// A share of the highest equity, as a decimal: 0.1 is a tenth.
    #[serde(default)]
    pub share: Option<String>,
    #[serde(default)]
    pub amount: Option<String>,
    pub action: Action,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionText {
    pub limit: String,
    pub action: Action,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRateText {
    pub orders: u32,
    pub per_ns: i64,
    pub action: Action,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeesText {
    pub maker: String,
    pub taker: String,
    #[serde(default)]
    pub rounding: FeeRounding,
    /// For each unit of size: a share, a contract.
    #[serde(default)]
    pub per_share: Option<String>,
    #[serde(default)]
    pub per_order: Option<String>,
    #[serde(default)]
    pub minimum: Option<String>,
    #[serde(default)]
    pub maximum_rate: Option<String>,
    #[serde(default)]
    pub currency: FeeCurrency,
}

impl FeesText {
    /// The schedule of an instrument whose quote currency has this ledger scale.
    fn schedule(&self, place: &str, scale: u32, size_decimals: u32) -> Result<FeeSchedule, SetupError> {
        let parts = |value: &Option<String>, decimals: u32| match value {
            None => Ok(None),
            Some(value) => amount(place, value, decimals).map(Some),
        };
        let schedule = FeeSchedule {
            maker_rate: number(place, &self.maker, RATE_DECIMALS)?,
            taker_rate: number(place, &self.taker, RATE_DECIMALS)?,
            per_size: parts(&self.per_share, scale + RATE_DECIMALS - size_decimals)?.unwrap_or(0),
            per_order: parts(&self.per_order, scale + RATE_DECIMALS)?.unwrap_or(0),
            minimum: parts(&self.minimum, scale + RATE_DECIMALS)?,
            maximum_rate: match &self.maximum_rate {
                None => None,
                Some(rate) => Some(number(place, rate, RATE_DECIMALS)?),
            },
            rounding: self.rounding,
            currency: self.currency,
        };
        if schedule.per_size < 0 || schedule.per_order < 0 {
            return Err(wrong(place, "fees.per_share and fees.per_order must not be negative"));
        }
        if schedule.minimum.is_some_and(|minimum| minimum < 0) || schedule.maximum_rate.is_some_and(|rate| rate < 0) {
            return Err(wrong(place, "fees.minimum and fees.maximum_rate must not be negative"));
        }
        Ok(schedule)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    #[serde(default)]
    pub entry: i64,
    #[serde(default)]
    pub cancel: i64,
    #[serde(default)]
    pub amend: i64,
    #[serde(default)]
    pub response: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueText {
    pub name: String,
    pub fees: FeesText,
    #[serde(default)]
    pub latency_ns: Latency,
    #[serde(default)]
    pub beyond_top: BeyondTop,
    #[serde(default)]
    pub shown_size: ShownSize,
    #[serde(default)]
    pub crossed: Crossed,
    #[serde(default)]
    pub slippage_ticks: i64,
    #[serde(default)]
    pub print_at_limit: PrintAtLimit,
    #[serde(default)]
    pub bar_touch: bool,
    #[serde(default)]
    pub bar_path: BarPath,
    #[serde(default)]
    pub bar_market: BarMarket,
    #[serde(default = "one")]
    pub max_share: String,
    #[serde(default)]
    pub bar_grace_ns: i64,
}

fn one() -> String {
    "1".into()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstrumentText {
    pub symbol: String,
    pub venue: u32,
    pub tick: String,
    pub lot: String,
    pub price_decimals: u32,
    pub size_decimals: u32,
    pub quote: String,
    #[serde(default)]
    pub base: Option<String>,
    #[serde(default = "one")]
    pub multiplier: String,
    #[serde(default)]
    pub min_notional: Option<String>,
    #[serde(default)]
    pub allow_negative_price: bool,
    pub source: Source,
    #[serde(default)]
    pub sizes: Sizes,
    #[serde(default)]
    pub bar_length: Option<u32>,
    #[serde(default = "trade_price")]
    pub bar_price: BarPrice,
    #[serde(default)]
    pub kinds: Vec<String>,
    #[serde(default)]
    pub sessions: Option<Vec<(i64, i64)>>,
}

fn trade_price() -> BarPrice {
    BarPrice::Trade
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrategyText {
    pub name: String,
}

// ------------------------------------------------------------------ choices

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// No shorts, no borrowing: no balance goes below zero.
    Cash,
    /// Shorts and leverage, checked at admission.
    Margin,
}

/// What a market order meets beyond the size that a quote shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BeyondTop {
    /// One tick worse per further displayed size, ten further levels at most.
    #[default]
    Walk,
    /// The whole order at the top.
    All,
    /// The displayed size and nothing more.
    Top,
    /// All of the rest one tick worse.
    #[serde(rename = "next_tick")]
    NextTick,
}

/// What a quote whose bid is above its ask does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crossed {
    /// Nothing is matched while it lasts.
    #[default]
    Wait,
    /// Each side is matched as it is shown.
    Match,
}

/// How often a size that a quote shows fills own orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShownSize {
    /// Once: what own orders took stays taken while the price stays.
    #[default]
    Once,
    /// Anew for every order, as if they had not been there.
    Anew,
}

/// What a print at a resting limit gives on trade data alone, where the queue ahead is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrintAtLimit {
    #[default]
    None,
    All,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BarPath {
    /// Open, the extreme nearer to the open, the other extreme, close.
    #[default]
    Nearer,
    /// Open, high, low, close.
    Ohlc,
    /// The extreme against the account's net position first.
    Worst,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarMarket {
    #[default]
    NextOpen,
    /// At the close of the bar at whose end the order arrives.
    ThisClose,
}

/// The one kind of data that decides an instrument's fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    #[serde(rename = "quote+trade")]
    QuoteTrade,
    #[serde(rename = "quote")]
    Quote,
    #[serde(rename = "trade")]
    Trade,
    #[serde(rename = "bar")]
    Bar,
}

impl Source {
    pub const fn has_quotes(self) -> bool {
        matches!(self, Source::Quote | Source::QuoteTrade)
    }
    pub const fn has_trades(self) -> bool {
        matches!(self, Source::Trade | Source::QuoteTrade)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sizes {
    #[default]
    Full,
    /// The feed shows none: any size at the top, no caps.
    None,
}

// ------------------------------------------------------------------ as integers

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Currency {
    pub name: String,
    pub decimals: u32,
    /// Decimals of every amount of this currency in the ledger: at least those of price x size x multiplier.
    pub ledger_scale: u32,
    pub opening: i128,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Venue {
    pub name: String,
    /// Which watermark it has; all venues share one where `one_clock` holds.
    pub clock: u32,
    pub latency: Latency,
    pub beyond_top: BeyondTop,
    pub shown_size: ShownSize,
    pub crossed: Crossed,
    pub slippage_ticks: i64,
    pub print_at_limit: PrintAtLimit,
    pub bar_touch: bool,
    pub bar_path: BarPath,
    pub bar_market: BarMarket,
    /// Share of a bar's volume that own orders may take, in millionths.
    pub max_share: i64,
    pub bar_grace_ns: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instrument {
    pub symbol: String,
    pub venue: u32,
    pub clock: u32,
    pub tick: i64,
    pub lot: i64,
    pub price_decimals: u32,
    pub size_decimals: u32,
    pub price_unit: f64,
    pub size_unit: f64,
    pub quote: u32,
    pub base: Option<u32>,
    /// price x size x factor = amount on the quote currency's ledger scale.
    pub factor: i128,
    pub fees: FeeSchedule,
    pub min_notional: i128,
    pub allow_negative_price: bool,
    pub source: Source,
    pub sizes: Sizes,
    pub bar_length: u32,
    pub bar_price: BarPrice,
    pub has_quotes: bool,
    pub has_trades: bool,
    pub has_bars: bool,
    pub calendar: Option<Calendar>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    pub seed: u64,
    pub trading_start: i64,
    pub equity_every: i64,
    pub clocks: u32,
    pub one_clock: bool,
    pub max_ahead: i64,
    pub max_gap: i64,
    pub plausible_from: i64,
    pub late: Policy,
    pub leap: Policy,
    pub gap: Policy,
    pub bar_lengths: Vec<i64>,
    pub currencies: Vec<Currency>,
    pub account_kind: AccountKind,
    pub account_currency: u32,
    /// Leverage in units of 10^-4.
    pub leverage: i128,
    pub max_order_size: Vec<Option<i64>>,
    pub max_position: Vec<Option<i64>>,
    pub max_order_notional: Option<i128>,
    pub switches: SwitchLimits,
    pub venues: Vec<Venue>,
    pub instruments: Vec<Instrument>,
    pub strategies: Vec<String>,
}

/// The limits of the risk switches that act on the tape alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchLimits {
    pub drawdown: Option<DrawdownLimit>,
    pub position: Option<PositionLimit>,
    pub order_rate: Option<OrderRateLimit>,
}

impl SwitchLimits {
    #[inline]
    pub fn any(&self) -> bool {
        self.drawdown.is_some() || self.position.is_some() || self.order_rate.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawdownLimit {
    /// In units of 10^-6 of the highest equity.
    pub share: Option<i128>,
    /// Doubled, on the account currency's ledger scale.
    pub doubled_amount: Option<i128>,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionLimit {
    /// By instrument.
    pub quantities: Vec<i64>,
    pub action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRateLimit {
    pub orders: u32,
    pub per: i64,
    pub action: Action,
}

/// The most orders that a rate may name: their times are kept.
pub const ORDER_RATE_MAX: u32 = 100_000;

/// A setup that cannot be run: `place` names the field, `message` the fact and the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError {
    pub place: String,
    pub message: String,
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for SetupError {}

fn wrong(place: impl Into<String>, message: impl Into<String>) -> SetupError {
    SetupError {
        place: place.into(),
        message: message.into(),
    }
}

fn number(place: &str, text: &str, decimals: u32) -> Result<i64, SetupError> {
    decimal::parse(text, decimals).map_err(|error| wrong(place, format!("{text:?} with {decimals} decimals: {error}")))
}

fn amount(place: &str, text: &str, decimals: u32) -> Result<i128, SetupError> {
    decimal::parse_i128(text, decimals)
        .map_err(|error| wrong(place, format!("{text:?} with {decimals} decimals: {error}")))
}

/// A decimal text as (digits, decimals), without trailing zeros.
fn digits(place: &str, text: &str) -> Result<(i64, u32), SetupError> {
    for decimals in 0..=18 {
        if let Ok(value) = decimal::parse(text, decimals) {
            return Ok((value, decimals));
        }
    }
    Err(wrong(
        place,
        format!("{text:?} is not a decimal number of at most 18 decimals"),
    ))
}

impl Setup {
    /// What one raw size of an instrument is in the balance that it is sold from.
    pub fn balance_unit(&self, instrument: u32) -> i128 {
        let definition = &self.instruments[instrument as usize];
        match definition.base {
            Some(base) => pow10(self.currencies[base as usize].ledger_scale - definition.size_decimals),
            None => 1,
        }
    }

    /// Checks the text and turns it into integers.
    pub fn new(text: &SetupText) -> Result<Setup, SetupError> {
        let currency_index = |place: &str, name: &str| {
            text.currencies
                .iter()
                .position(|currency| currency.name == name)
                .map(|index| index as u32)
                .ok_or_else(|| wrong(place, format!("currency {name:?} is not in the table")))
        };
        let mut venues = Vec::new();
        for (index, venue) in text.venues.iter().enumerate() {
            let place = format!("venue {}", venue.name);
            if venue.latency_ns.entry < 0
                || venue.latency_ns.cancel < 0
                || venue.latency_ns.amend < 0
                || venue.latency_ns.response < 0
            {
                return Err(wrong(&place, "a latency is negative"));
            }
            if venue.slippage_ticks < 0 || venue.bar_grace_ns < 0 {
                return Err(wrong(&place, "slippage_ticks and bar_grace must not be negative"));
            }
            venues.push(Venue {
                name: venue.name.clone(),
                clock: if text.one_clock { 0 } else { index as u32 },
                latency: venue.latency_ns,
                beyond_top: venue.beyond_top,
                shown_size: venue.shown_size,
                crossed: venue.crossed,
                slippage_ticks: venue.slippage_ticks,
                print_at_limit: venue.print_at_limit,
                bar_touch: venue.bar_touch,
                bar_path: venue.bar_path,
                bar_market: venue.bar_market,
                max_share: number(&place, &venue.max_share, SHARE_DECIMALS)?,
                bar_grace_ns: venue.bar_grace_ns,
            });
        }
        let mut scales: Vec<u32> = text.currencies.iter().map(|currency| currency.decimals).collect();
        let mut multipliers = Vec::new();
        for instrument in &text.instruments {
            let place = format!("instrument {}", instrument.symbol);
            let (multiplier, decimals) = digits(&place, &instrument.multiplier)?;
            if multiplier <= 0 {
                return Err(wrong(&place, "the multiplier must be above 0"));
            }
            let quote = currency_index(&place, &instrument.quote)? as usize;
            scales[quote] = scales[quote].max(instrument.price_decimals + instrument.size_decimals + decimals);
            if let Some(base) = &instrument.base {
                let base = currency_index(&place, base)? as usize;
                scales[base] = scales[base].max(instrument.size_decimals);
            }
            multipliers.push((multiplier, decimals));
        }
        if let Some(scale) = scales.iter().find(|scale| **scale > 24) {
            return Err(wrong(
                "currencies",
                format!("price and size decimals add up to {scale}: at most 24 are exact here"),
            ));
        }
        let mut instruments = Vec::new();
        for (instrument, (multiplier, decimals)) in text.instruments.iter().zip(multipliers) {
            let place = format!("instrument {}", instrument.symbol);
            let venue = venues
                .get(instrument.venue as usize)
                .ok_or_else(|| wrong(&place, format!("venue {} does not exist", instrument.venue)))?;
            let tick = number(&place, &instrument.tick, instrument.price_decimals)?;
            let lot = number(&place, &instrument.lot, instrument.size_decimals)?;
            if tick <= 0 || lot <= 0 {
                return Err(wrong(&place, "tick and lot must be above 0"));
            }
            let quote = currency_index(&place, &instrument.quote)?;
            let scale = scales[quote as usize];
            let factor =
                multiplier as i128 * pow10(scale - instrument.price_decimals - instrument.size_decimals - decimals);
            let is_in_kind = text.venues[instrument.venue as usize].fees.currency == FeeCurrency::Received;
            if is_in_kind && (instrument.base.is_none() || text.account.kind != AccountKind::Cash) {
                return Err(wrong(
                    &place,
                    "fees in what is received need an instrument with a base and an account of kind \"cash\"",
                ));
            }
            let has = |kind: &str| instrument.kinds.iter().any(|name| name == kind);
            if instrument.source == Source::Bar && instrument.bar_length.is_none() {
                return Err(wrong(&place, "bars decide its fills, but it names no bar length"));
            }
            if let Some(index) = instrument.bar_length {
                if index as usize >= text.bar_lengths.len() {
                    return Err(wrong(&place, format!("bar length {index} is not in the table")));
                }
            }
            let calendar = match &instrument.sessions {
                None => None,
                Some(rows) => Some(Calendar::new(rows).map_err(|error| wrong(&place, format!("{error}")))?),
            };
            instruments.push(Instrument {
                symbol: instrument.symbol.clone(),
                venue: instrument.venue,
                clock: venue.clock,
                tick,
                lot,
                price_decimals: instrument.price_decimals,
                size_decimals: instrument.size_decimals,
                price_unit: pow10(instrument.price_decimals) as f64,
                size_unit: pow10(instrument.size_decimals) as f64,
                quote,
                base: match &instrument.base {
                    Some(name) => Some(currency_index(&place, name)?),
                    None => None,
                },
                factor,
                fees: text.venues[instrument.venue as usize]
                    .fees
                    .schedule(&place, scale, instrument.size_decimals)?,
                min_notional: match &instrument.min_notional {
                    Some(value) => amount(&place, value, scale)?,
                    None => 0,
                },
                allow_negative_price: instrument.allow_negative_price,
                source: instrument.source,
                sizes: instrument.sizes,
                bar_length: instrument.bar_length.unwrap_or(u32::MAX),
                bar_price: instrument.bar_price,
                has_quotes: has("quote"),
                has_trades: has("trade"),
                has_bars: has("bar"),
                calendar,
            });
        }
        let account_currency = currency_index("account", &text.account.currency)?;
        let mut currencies = Vec::new();
        for (index, currency) in text.currencies.iter().enumerate() {
            let opening = match text.account.cash.get(&currency.name) {
                Some(value) => amount("account.cash", value, scales[index])?,
                None => 0,
            };
            if opening < 0 {
                return Err(wrong("account.cash", format!("{} is negative", currency.name)));
            }
            if opening != 0 && index as u32 != account_currency {
                let rated = instruments
                    .iter()
                    .any(|instrument| instrument.base == Some(index as u32) && instrument.quote == account_currency);
                if !rated {
                    return Err(wrong(
                        "account.cash",
                        format!(
                            "{} cannot be valued in {}: no instrument has it as base and {} as quote",
                            currency.name, text.account.currency, text.account.currency
                        ),
                    ));
                }
            }
            currencies.push(Currency {
                name: currency.name.clone(),
                decimals: currency.decimals,
                ledger_scale: scales[index],
                opening,
            });
        }
        for name in text.account.cash.keys() {
            currency_index("account.cash", name)?;
        }
        for instrument in &instruments {
            if instrument.quote != account_currency {
                return Err(wrong(
                    format!("instrument {}", instrument.symbol),
                    format!(
                        "it is quoted in {}, the account is kept in {}: conversion of a quote currency is not built yet",
                        currencies[instrument.quote as usize].name, text.account.currency
                    ),
                ));
            }
        }
        let leverage = amount("account.leverage", &text.account.leverage, LEVERAGE_DECIMALS)?;
        if leverage < pow10(LEVERAGE_DECIMALS) {
            return Err(wrong(
                "account.leverage",
                format!("{} is below 1", text.account.leverage),
            ));
        }
        let per_instrument = |value: &Option<String>| -> Result<Vec<Option<i64>>, SetupError> {
            instruments
                .iter()
                .map(|instrument| match value {
                    None => Ok(None),
                    Some(limit) => number("risk", limit, instrument.size_decimals).map(Some),
                })
                .collect()
        };
        let max_order_notional = match &text.risk.max_order_notional {
            None => None,
            Some(value) => Some(amount("risk", value, scales[account_currency as usize])?),
        };
        let switches = SwitchLimits {
            drawdown: match &text.risk.drawdown {
                None => None,
                Some(limit) => Some(DrawdownLimit {
                    share: match &limit.share {
                        None => None,
                        Some(share) => Some(amount("risk.drawdown", share, SHARE_DECIMALS)?),
                    },
                    doubled_amount: match &limit.amount {
                        None => None,
                        Some(value) => Some(2 * amount("risk.drawdown", value, scales[account_currency as usize])?),
                    },
                    action: limit.action,
                }),
            },
            position: match &text.risk.position {
                None => None,
                Some(limit) => Some(PositionLimit {
                    quantities: instruments
                        .iter()
                        .map(|instrument| number("risk.position", &limit.limit, instrument.size_decimals))
                        .collect::<Result<_, _>>()?,
                    action: limit.action,
                }),
            },
            order_rate: match text.risk.order_rate {
                None => None,
                Some(limit) if limit.orders == 0 || limit.orders > ORDER_RATE_MAX || limit.per_ns <= 0 => {
                    return Err(wrong(
                        "risk.order_rate",
                        format!("{} orders in {} ns is no rate", limit.orders, limit.per_ns),
                    ))
                }
                Some(limit) => Some(OrderRateLimit {
                    orders: limit.orders,
                    per: limit.per_ns,
                    action: limit.action,
                }),
            },
        };
        if text.equity_every_ns <= 0 {
            return Err(wrong("equity_every", "it must be above 0"));
        }
        if let Some(length) = text.bar_lengths.iter().find(|length| **length <= 0) {
            return Err(wrong("bar_lengths", format!("{length} ns is no length")));
        }
        Ok(Setup {
            seed: text.seed,
            trading_start: text.trading_start_ns.unwrap_or(i64::MIN),
            equity_every: text.equity_every_ns,
            clocks: if text.one_clock { 1 } else { venues.len() as u32 },
            one_clock: text.one_clock,
            max_ahead: text.max_ahead_ns,
            max_gap: text.max_gap_ns,
            plausible_from: text.plausible_from_ns.unwrap_or(i64::MIN),
            late: text.late,
            leap: text.leap,
            gap: text.gap,
            bar_lengths: text.bar_lengths.clone(),
            currencies,
            account_kind: text.account.kind,
            account_currency,
            leverage,
            max_order_size: per_instrument(&text.risk.max_order_size)?,
            max_position: per_instrument(&text.risk.max_position)?,
            max_order_notional,
            switches,
            venues,
            instruments,
            strategies: text.strategies.iter().map(|strategy| strategy.name.clone()).collect(),
        })
    }

    /// The index of a symbol.
    pub fn instrument_index(&self, symbol: &str) -> Option<u32> {
        self.instruments
            .iter()
            .position(|instrument| instrument.symbol == symbol)
            .map(|index| index as u32)
    }
}

/// Units of leverage: 1.0 is 10^4.
pub const LEVERAGE_UNIT: i128 = 10_i128.pow(LEVERAGE_DECIMALS);
/// Units of a share of volume: 1.0 is 10^6.
pub const SHARE_UNIT: i128 = 10_i128.pow(SHARE_DECIMALS);
