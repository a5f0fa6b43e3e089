//! Which handlers a strategy has: one bit each.
//! May not live here: how a handler is called.

pub const START: u32 = 1;
pub const QUOTE: u32 = 1 << 1;
pub const TRADE: u32 = 1 << 2;
pub const BAR: u32 = 1 << 3;
pub const BOOK: u32 = 1 << 4;
pub const ORDER: u32 = 1 << 5;
pub const FILL: u32 = 1 << 6;
pub const TIMER: u32 = 1 << 7;
pub const STOP: u32 = 1 << 8;
