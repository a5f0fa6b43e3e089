//! Everything between the bytes of a file or stream and records: decoders without I/O, and the synthetic market.
//! May not live here: files, sockets, clocks, and the checks that do not need the text (the core's sequencer has those).
#![forbid(unsafe_code)]

pub mod binance;
pub mod checksum;
pub mod csv;
pub mod error;
pub mod frames;
pub mod gunzip;
pub mod json;
pub mod layout;
pub mod lines;
pub mod ndjson;
pub mod output;
pub mod row;
pub mod symbols;
pub mod synthetic;
pub mod time;
pub mod write;

pub use error::{IngestError, IngestErrorKind};
pub use output::{Counters, DeadRow, Output, Reason};
