//! The trading calendar of an instrument: a table of sessions in UTC.
//! May not live here: time zones, holidays, or what an order does at a session's end.

use serde::{Deserialize, Serialize};

/// One session: it holds the times t with open_ns <= t < close_ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub open_ns: i64,
    pub close_ns: i64,
}

/// Sessions in order of time, none overlapping another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    sessions: Vec<Session>,
}

/// A table of sessions that is not one; `row` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarError {
    /// A session does not end after it begins.
    Empty { row: usize, open_ns: i64, close_ns: i64 },
    /// A session begins before the one above it ends.
    Overlap {
        row: usize,
        open_ns: i64,
        previous_close_ns: i64,
    },
}

impl std::fmt::Display for CalendarError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CalendarError::Empty { row, open_ns, close_ns } => {
                write!(
                    formatter,
                    "session {row} ends at {close_ns} ns, which is not after its open at {open_ns} ns"
                )
            }
            CalendarError::Overlap {
                row,
                open_ns,
                previous_close_ns,
            } => write!(
                formatter,
                "session {row} opens at {open_ns} ns, before the previous one ends at {previous_close_ns} ns: \
                 list sessions in order of time"
            ),
        }
    }
}

impl std::error::Error for CalendarError {}

impl Calendar {
    /// Takes rows of [open_ns, close_ns): in order of time, not overlapping (they may touch). No rows: never open.
    pub fn new(rows: &[(i64, i64)]) -> Result<Calendar, CalendarError> {
        let mut sessions: Vec<Session> = Vec::with_capacity(rows.len());
        for (row, &(open_ns, close_ns)) in rows.iter().enumerate() {
            if close_ns <= open_ns {
                return Err(CalendarError::Empty { row, open_ns, close_ns });
            }
            if let Some(previous) = sessions.last() {
                if open_ns < previous.close_ns {
                    return Err(CalendarError::Overlap {
                        row,
                        open_ns,
                        previous_close_ns: previous.close_ns,
                    });
                }
            }
            sessions.push(Session { open_ns, close_ns });
        }
        Ok(Calendar { sessions })
    }

    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// The session that holds x or, where none does (x exactly at an end included), the next one.
    pub fn session_at_or_after(&self, x: i64) -> Option<Session> {
        let first_unfinished = self.sessions.partition_point(|session| session.close_ns <= x);
        self.sessions.get(first_unfinished).copied()
    }

    /// When a DAY order that arrives at x expires: the end of [`Calendar::session_at_or_after`]. None: no session is left.
    pub fn session_end(&self, x: i64) -> Option<i64> {
        self.session_at_or_after(x).map(|session| session.close_ns)
    }

    /// Whether a session holds t; its end does not belong to it.
    pub fn is_open(&self, t: i64) -> bool {
        self.session_at_or_after(t).is_some_and(|session| session.open_ns <= t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_days() -> Calendar {
        Calendar::new(&[(100, 200), (300, 400)]).unwrap()
    }

    #[test]
    fn a_day_order_ends_with_the_session_that_holds_it() {
        assert_eq!(two_days().session_end(100), Some(200));
        assert_eq!(two_days().session_end(199), Some(200));
        assert_eq!(two_days().session_end(399), Some(400));
    }

    #[test]
    fn a_time_at_an_end_or_outside_belongs_to_the_next_session() {
        assert_eq!(two_days().session_end(i64::MIN), Some(200));
        assert_eq!(two_days().session_end(99), Some(200));
        assert_eq!(two_days().session_end(200), Some(400));
        assert_eq!(two_days().session_end(299), Some(400));
    }

    #[test]
    fn without_a_next_session_there_is_no_end() {
        assert_eq!(two_days().session_end(400), None);
        assert_eq!(two_days().session_end(i64::MAX), None);
        assert_eq!(Calendar::new(&[]).unwrap().session_end(0), None);
    }

    #[test]
    fn a_session_is_open_from_its_open_until_before_its_end() {
        let open: Vec<i64> = [99, 100, 199, 200, 299, 300, 399, 400]
            .into_iter()
            .filter(|&t| two_days().is_open(t))
            .collect();
        assert_eq!(open, [100, 199, 300, 399]);
    }

    #[test]
    fn sessions_may_touch() {
        let calendar = Calendar::new(&[(100, 200), (200, 300)]).unwrap();
        assert_eq!(calendar.session_end(200), Some(300));
        assert!(calendar.is_open(200));
    }

    #[test]
    fn a_table_that_is_not_one_is_refused_by_row() {
        let empty = Calendar::new(&[(100, 200), (300, 300)]);
        assert_eq!(
            empty,
            Err(CalendarError::Empty {
                row: 1,
                open_ns: 300,
                close_ns: 300
            })
        );
        let overlap = Calendar::new(&[(100, 200), (199, 300)]);
        assert_eq!(
            overlap,
            Err(CalendarError::Overlap {
                row: 1,
                open_ns: 199,
                previous_close_ns: 200
            })
        );
        let disorder = Calendar::new(&[(300, 400), (100, 200)]).unwrap_err();
        assert_eq!(
            disorder.to_string(),
            "session 1 opens at 100 ns, before the previous one ends at 400 ns: list sessions in order of time"
        );
    }
}
