//! The symbols of a run: text to the index and the scales of an instrument.
//! May not live here: what is done with a symbol that is not among them.

use std::collections::HashMap;

use crate::layout::InstrumentLayout;

/// Symbols with their instruments. Rows of one symbol tend to follow each other: the last one is tried first.
#[derive(Clone, Debug)]
pub struct Symbols {
    instruments: Vec<InstrumentLayout>,
    places: HashMap<Vec<u8>, usize>,
    last: usize,
}

impl Symbols {
    pub fn new(instruments: &[InstrumentLayout]) -> Symbols {
        let places = instruments
            .iter()
            .enumerate()
            .map(|(place, instrument)| (instrument.symbol.as_bytes().to_vec(), place))
            .collect();
        Symbols {
            instruments: instruments.to_vec(),
            places,
            last: 0,
        }
    }

    /// The instrument of a symbol, exactly as written.
    #[inline]
    pub fn find(&mut self, symbol: &[u8]) -> Option<&InstrumentLayout> {
        if self
            .instruments
            .get(self.last)
            .is_none_or(|known| known.symbol.as_bytes() != symbol)
        {
            self.last = *self.places.get(symbol)?;
        }
        self.instruments.get(self.last)
    }
}
