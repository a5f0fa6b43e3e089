//! The core of replay: a deterministic state machine from records to events.
//! May not live here, nor anywhere in this crate: files, sockets, clocks, threads, environment, hash-ordered containers,
//! unseeded random numbers.

#![forbid(unsafe_code)]

pub mod admission;
pub mod arith;
pub mod bars;
pub mod calendar;
pub mod command;
pub mod counted_bars;
pub mod counters;
pub mod decimal;
pub mod desk;
pub mod due;
pub mod duration;
pub mod engine;
pub mod equity;
pub mod event;
pub mod exchange;
pub mod excursion;
pub mod fees;
pub mod handles;
pub mod indicators;
pub mod ledger;
pub mod lifecycle;
pub mod log;
pub mod market;
mod matching;
pub mod order;
pub mod order_table;
pub mod position;
pub mod reason;
pub mod record;
pub mod rng;
pub mod sequencer;
pub mod series;
pub mod setup;
pub mod told;
pub mod trading;
pub mod working;
