//! Excursions: how far the marks of an instrument went while a position in it stood between two of its fills.
//! May not live here: what that was worth (the shell knows its round trips), or what a mark is (market).

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

use crate::event::ABSENT;

pub const EXCURSION_BYTES: usize = 16;

/// The lowest and the highest of some marks, doubled as marks are; empty before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extremes {
    low: i64,
    high: i64,
}

impl Default for Extremes {
    fn default() -> Extremes {
        Extremes {
            low: i64::MAX,
            high: i64::MIN,
        }
    }
}

impl Extremes {
    #[inline]
    pub fn add(&mut self, doubled: i64) {
        self.low = self.low.min(doubled);
        self.high = self.high.max(doubled);
    }

    fn join(&mut self, other: Extremes) {
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
    }
}

/// What a fill ends: the extremes of the marks since its position's fill before it, [`ABSENT`] where no mark came or
/// nothing was held. There is one for each fill, in their order, beside the event log and not part of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Serialize, Deserialize)]
pub struct Excursion {
    pub doubled_low: i64,
    pub doubled_high: i64,
}

const _: () = assert!(std::mem::size_of::<Excursion>() == EXCURSION_BYTES);

impl Excursion {
    pub const NONE: Excursion = Excursion {
        doubled_low: ABSENT,
        doubled_high: ABSENT,
    };

    fn of(extremes: Extremes) -> Excursion {
        if extremes.low > extremes.high {
            return Excursion::NONE;
        }
        Excursion {
            doubled_low: extremes.low,
            doubled_high: extremes.high,
        }
    }
}

/// The extremes since the last fill of each position, and the rows that wait for the shell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Excursions {
    /// strategy * instruments + instrument; without what the market has noted since the instrument's last fill.
    positions: Vec<Extremes>,
    instruments: usize,
    waiting: Vec<Excursion>,
}

impl Excursions {
    pub fn new(strategies: usize, instruments: usize) -> Excursions {
        Excursions {
            positions: vec![Extremes::default(); strategies * instruments],
            instruments,
            waiting: Vec::new(),
        }
    }

    /// A fill of `strategy`: what the market has noted goes to every position in the instrument, and the row of this one,
    /// which held something before it or not, is added. From here on both begin anew.
    pub fn end(&mut self, strategy: u32, instrument: u32, noted: &mut Extremes, is_held: bool) {
        let noted = std::mem::take(noted);
        for position in self.positions[instrument as usize..]
            .iter_mut()
            .step_by(self.instruments)
        {
            position.join(noted);
        }
        let own = std::mem::take(&mut self.positions[strategy as usize * self.instruments + instrument as usize]);
        self.waiting
            .push(if is_held { Excursion::of(own) } else { Excursion::NONE });
    }

    /// Rows that wait to be taken.
    pub fn waiting(&self) -> &[Excursion] {
        &self.waiting
    }

    /// The rows since the last call.
    pub fn take(&mut self) -> Vec<Excursion> {
        self.take_with(<[Excursion]>::to_vec)
    }

    /// Hands over the rows since the last call; their room is kept for those of the next batch.
    pub fn take_with<T>(&mut self, read: impl FnOnce(&[Excursion]) -> T) -> T {
        let outcome = read(&self.waiting);
        self.waiting.clear();
        outcome
    }
}
