//! The one error of this crate: what is wrong with a source as a whole, where, and what to do about it.
//! May not live here: faults of single rows; those are dead rows (output.rs).

/// Whose fault it is: what was asked for, or what the data are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestErrorKind {
    /// The layout does not fit the source: a missing column, a wrong delimiter.
    Config,
    /// The data cannot be read as what they are said to be.
    Data,
}

/// A source that cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestError {
    pub kind: IngestErrorKind,
    /// The code that stands in metrics: `missing_column`, `excess_decimals`, `truncated`, ...
    pub reason: &'static str,
    pub message: String,
    /// Where in the source: `line 17, column 'open'`; empty if it is the source as a whole.
    pub place: String,
    /// What to do about it.
    pub remedy: String,
}

impl IngestError {
    pub fn config(reason: &'static str, message: String, remedy: String) -> IngestError {
        IngestError {
            kind: IngestErrorKind::Config,
            reason,
            message,
            place: String::new(),
            remedy,
        }
    }

    pub fn data(reason: &'static str, message: String, remedy: String) -> IngestError {
        IngestError {
            kind: IngestErrorKind::Data,
            ..IngestError::config(reason, message, remedy)
        }
    }

    /// The same error at a place.
    pub fn at(mut self, place: String) -> IngestError {
        self.place = place;
        self
    }
}

impl std::fmt::Display for IngestError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.place.is_empty() {
            write!(formatter, "{}: ", self.place)?;
        }
        write!(formatter, "{}", self.message)?;
        if !self.remedy.is_empty() {
            write!(formatter, " ({})", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for IngestError {}

/// The choice that a misspelt name most likely means: the fewest edits, at most a third of its length (never fewer than
/// two are allowed), case ignored.
pub fn nearest<'a>(name: &str, choices: &'a [String]) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    choices
        .iter()
        .map(|choice| (edit_distance(&wanted, &choice.to_lowercase()), choice.as_str()))
        .filter(|(distance, choice)| *distance <= (wanted.chars().count().max(choice.chars().count()) / 3).max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, choice)| choice)
}

/// Levenshtein's distance: insertions, deletions and substitutions of characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, character) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(character != *other);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_the_one_with_the_fewest_edits() {
        let choices = ["timestamp", "open", "Volume"].map(String::from);
        assert_eq!(nearest("timestmp", &choices), Some("timestamp"));
        assert_eq!(nearest("volume", &choices), Some("Volume"));
        assert_eq!(nearest("opne", &choices), Some("open"));
        assert_eq!(nearest("bid_size", &choices), None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn edit_distance_counts_characters() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("é", "e"), 1);
    }
}
