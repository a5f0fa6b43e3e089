//! The record: the one 64-byte form of every tick, bar, clock beat and command.
//! May not live here: anything that interprets a record (sequencer, engine) or does I/O.

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// One market-data event, clock beat or operator command: 64 bytes, one cache line, little-endian.
///
/// What `a` to `e` mean depends on `kind`; see [`Kind`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable, Serialize, Deserialize)]
pub struct Record {
    /// Venue time, ns since the Unix epoch, UTC.
    pub ts_event: i64,
    /// Time of receipt, ns; equal to `ts_event` where the source has one time only.
    pub ts_recv: i64,
    pub a: i64,
    pub b: i64,
    pub c: i64,
    pub d: i64,
    pub e: i64,
    /// Index into the session's instrument table.
    pub instrument: u32,
    pub kind: u8,
    pub side: u8,
    pub flags: u16,
}

pub const RECORD_BYTES: usize = 64;
const _: () = assert!(std::mem::size_of::<Record>() == RECORD_BYTES);

/// What a record is. The numbers are pinned: they stand in tapes and journals.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// a=bid b=ask c=bid size d=ask size.
    Quote = 1,
    /// a=price b=size c=trade id; side: the aggressor.
    Trade = 2,
    /// a=open b=high c=low d=close e=volume; `ts_event` is its end; low byte of flags: index of its length; side: [`BarPrice`].
    Bar = 3,
    /// a=price b=size (0 removes).
    Book = 4,
    /// a=price b=size c=order id.
    Order = 5,
    /// a=rate b=mark c=index.
    Funding = 6,
    Status = 7,
    /// a=venue index, -1 for all.
    Clock = 8,
    /// a=operator command, see [`OperatorCommand`]; b=its cause, see [`CommandCause`].
    Command = 9,
}

impl Kind {
    pub const COUNT: usize = 10;

    pub fn from_u8(value: u8) -> Option<Kind> {
        Some(match value {
            1 => Kind::Quote,
            2 => Kind::Trade,
            3 => Kind::Bar,
            4 => Kind::Book,
            5 => Kind::Order,
            6 => Kind::Funding,
            7 => Kind::Status,
            8 => Kind::Clock,
            9 => Kind::Command,
            _ => return None,
        })
    }
}

pub const SIDE_NONE: u8 = 0;
pub const SIDE_BUY: u8 = 1;
pub const SIDE_SELL: u8 = 2;

/// Low byte of a Bar's flags: index into the tape's table of bar lengths.
pub const FLAG_BAR_LENGTH_MASK: u16 = 0x00ff;
pub const FLAG_SNAPSHOT: u16 = 1 << 8;
pub const FLAG_LAST_OF_EVENT: u16 = 1 << 9;
pub const FLAG_CLEAR: u16 = 1 << 10;
/// Records are missing before this one (a sequence gap, a feed that restarted).
pub const FLAG_GAP_BEFORE: u16 = 1 << 11;

/// Of which price a bar is made (a Bar record's `side`).
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BarPrice {
    Trade = 0,
    Bid = 1,
    Ask = 2,
    Mid = 3,
}

impl BarPrice {
    pub fn from_u8(value: u8) -> Option<BarPrice> {
        Some(match value {
            0 => BarPrice::Trade,
            1 => BarPrice::Bid,
            2 => BarPrice::Ask,
            3 => BarPrice::Mid,
            _ => return None,
        })
    }
}

/// A Command record's `a`: what the operator wants; it is given on behalf of every strategy.
#[repr(i64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorCommand {
    /// Cancels every open order.
    CancelAll = 1,
    /// Cancels every order, closes every position, and leaves trading paused.
    Flatten = 2,
    /// New orders of strategies are refused.
    Pause = 3,
    /// Lifts a pause or a stop, and arms the risk switches.
    Resume = 4,
    /// Pauses, and ends the session after this record.
    Stop = 5,
}

impl OperatorCommand {
    pub fn from_i64(value: i64) -> Option<OperatorCommand> {
        Some(match value {
            1 => OperatorCommand::CancelAll,
            2 => OperatorCommand::Flatten,
            3 => OperatorCommand::Pause,
            4 => OperatorCommand::Resume,
            5 => OperatorCommand::Stop,
            _ => return None,
        })
    }
}

/// A Command record's `b`: who wanted it. The numbers are pinned: they stand in tapes and journals.
#[repr(i64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandCause {
    /// A person, or a program of theirs.
    Operator = 0,
    /// The risk switches. The first three act within the engine, so that no record of theirs is on the tape.
    Drawdown = 1,
    Position = 2,
    OrderRate = 3,
    StaleFeed = 4,
    ClockJump = 5,
    Disk = 6,
    /// A session that was stopped is started again.
    Restart = 7,
}

impl CommandCause {
    pub const COUNT: i64 = 8;

    pub fn from_i64(value: i64) -> Option<CommandCause> {
        Some(match value {
            0 => CommandCause::Operator,
            1 => CommandCause::Drawdown,
            2 => CommandCause::Position,
            3 => CommandCause::OrderRate,
            4 => CommandCause::StaleFeed,
            5 => CommandCause::ClockJump,
            6 => CommandCause::Disk,
            7 => CommandCause::Restart,
            _ => return None,
        })
    }

    /// The name that stands in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            CommandCause::Operator => "operator",
            CommandCause::Drawdown => "drawdown",
            CommandCause::Position => "position",
            CommandCause::OrderRate => "order_rate",
            CommandCause::StaleFeed => "stale_feed",
            CommandCause::ClockJump => "clock_jump",
            CommandCause::Disk => "disk",
            CommandCause::Restart => "restart",
        }
    }

    /// Whether a risk switch wanted it.
    pub fn is_switch(self) -> bool {
        !matches!(self, CommandCause::Operator | CommandCause::Restart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_commands_and_causes_are_pinned() {
        use CommandCause::*;
        use OperatorCommand::{CancelAll, Flatten, Pause, Resume, Stop};
        let commands = [CancelAll, Flatten, Pause, Resume, Stop];
        for (number, command) in (1..).zip(commands) {
            assert_eq!(
                (command as i64, OperatorCommand::from_i64(number)),
                (number, Some(command))
            );
        }
        assert_eq!([0, 6].map(OperatorCommand::from_i64), [None, None]);
        let causes = [
            Operator, Drawdown, Position, OrderRate, StaleFeed, ClockJump, Disk, Restart,
        ];
        for (number, cause) in (0..).zip(causes) {
            assert_eq!((cause as i64, CommandCause::from_i64(number)), (number, Some(cause)));
        }
        assert_eq!([-1, CommandCause::COUNT].map(CommandCause::from_i64), [None, None]);
    }

    #[test]
    fn layout_of_a_record_is_pinned() {
        let record = Record {
            ts_event: 1,
            ts_recv: 2,
            a: 3,
            b: 4,
            c: 5,
            d: 6,
            e: -7,
            instrument: 8,
            kind: 9,
            side: 10,
            flags: 0x0b0c,
        };
        let bytes: &[u8] = bytemuck::bytes_of(&record);
        assert_eq!(bytes.len(), 64);
        let word = |i: usize| i64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().unwrap());
        assert_eq!((0..7).map(word).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, -7]);
        assert_eq!(bytes[56..64], [8, 0, 0, 0, 9, 10, 0x0c, 0x0b]);
    }
}
