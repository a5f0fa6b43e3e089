//! The sequencer (SEMANTICS, sections 1 and 2): what is raised, quarantined, counted, halted; never reordered.
//! May not live here: what an admitted record does.

mod support;

use std::sync::Arc;

use replay_core::record::{CommandCause, OperatorCommand, Record};
use replay_core::sequencer::{Fault, Sequencer, Verdict, RAW_MAX};
use replay_core::setup::{Policy, Setup, SetupText, Sizes};
use support::*;

fn admit(text: &SetupText, batch: &[Record]) -> (Sequencer, Verdict) {
    let mut sequencer = Sequencer::new(Arc::new(Setup::new(text).unwrap()));
    let verdict = sequencer.admit(batch);
    (sequencer, verdict)
}

fn fault_of(text: &SetupText, record: Record) -> Option<Fault> {
    let (_, verdict) = admit(text, &[record]);
    verdict.rejected.first().or(verdict.halted.as_ref()).map(|row| row.1)
}

#[test]
fn a_batch_without_fault_passes_as_it_is() {
    let (sequencer, verdict) = admit(&quotes(), &[quote(100, 99, 101), quote(100, 99, 101).received(105)]);
    assert_eq!(verdict, Verdict::default());
    assert_eq!(sequencer.admitted, 2);
}

#[test]
fn a_receipt_before_the_event_is_raised_to_it_and_counted_without_reordering() {
    let batch = [
        quote(100, 99, 101),
        quote(300, 99, 101).received(120),
        quote(200, 99, 101).received(250),
    ];
    let (sequencer, verdict) = admit(&quotes(), &batch);
    let times: Vec<_> = verdict
        .changed
        .unwrap()
        .iter()
        .map(|one| (one.ts_event, one.ts_recv))
        .collect();
    assert_eq!(times, [(100, 100), (300, 300), (200, 250)]);
    assert_eq!((sequencer.raised, sequencer.late), (1, 1));
}

#[test]
fn a_record_too_far_ahead_of_its_receipt_is_quarantined_before_it_is_raised() {
    let mut text = quotes();
    text.max_ahead_ns = 50;
    let batch = [
        quote(150, 99, 101).received(100),
        quote(151, 99, 101).received(100),
        quote(160, 99, 101),
    ];
    let (sequencer, verdict) = admit(&text, &batch);
    assert_eq!(verdict.rejected, [(1, Fault::Ahead)]);
    assert_eq!((sequencer.raised, sequencer.admitted), (1, 2));
    text.leap = Policy::Accept;
    assert_eq!(admit(&text, &batch).0.admitted, 3);
}

#[test]
fn on_one_time_data_a_leap_over_the_longest_gap_halts_and_names_the_row() {
    let mut text = quotes();
    text.max_gap_ns = 1_000;
    let batch = [
        quote(100, 99, 101),
        quote(1_100, 99, 101),
        quote(2_101, 99, 101),
        quote(2_102, 99, 101),
    ];
    let (sequencer, verdict) = admit(&text, &batch);
    assert_eq!(verdict.halted, Some((2, Fault::Gap)));
    assert_eq!((verdict.changed.unwrap().len(), sequencer.admitted), (2, 2));
    text.gap = Policy::Quarantine;
    assert_eq!(admit(&text, &batch).1.rejected, [(2, Fault::Gap), (3, Fault::Gap)]);
    text.gap = Policy::Accept;
    assert_eq!(admit(&text, &batch).0.admitted, 4);
    // Backwards is a leap, too.
    text.gap = Policy::Halt;
    assert_eq!(
        admit(&text, &[quote(5_000, 99, 101), quote(100, 99, 101)]).1.halted,
        Some((1, Fault::Gap))
    );
    // Data with two times are not held to it.
    let batch = [quote(100, 99, 101).received(110), quote(9_000, 99, 101).received(9_100)];
    assert_eq!(admit(&text, &batch).0.admitted, 2);
}

#[test]
fn what_was_admitted_is_admitted_again_as_it_is() {
    // A record received before its event is raised to one time: the re-run of a journal sees it so.
    let mut text = quotes();
    text.max_gap_ns = 1_000;
    text.gap = Policy::Quarantine;
    let batch = [
        quote(100, 99, 101),
        quote(9_000, 99, 101).received(8_990),
        quote(200, 99, 101),
    ];
    let (sequencer, verdict) = admit(&text, &batch);
    assert_eq!(verdict.rejected, [(1, Fault::Gap)]);
    let again = admit(&text, &verdict.changed.unwrap());
    assert_eq!((again.0.admitted, again.1.rejected), (sequencer.admitted, vec![]));
}

#[test]
fn an_operators_command_says_nothing_of_the_datas_time() {
    let mut text = quotes();
    text.max_gap_ns = 1_000;
    let batch = [
        quote(5_000, 99, 101),
        command(0, OperatorCommand::CancelAll),
        quote(5_010, 99, 101),
    ];
    let (sequencer, verdict) = admit(&text, &batch);
    assert_eq!(verdict, Verdict::default());
    assert_eq!((sequencer.admitted, sequencer.late), (3, 0));
}

#[test]
fn a_time_before_the_plausible_halts_since_its_unit_is_wrong() {
    let mut text = quotes();
    text.plausible_from_ns = Some(1_000);
    assert_eq!(
        admit(&text, &[quote(999, 99, 101)]).1.halted,
        Some((0, Fault::ImplausibleTime))
    );
}

#[test]
fn late_records_are_accepted_and_counted_or_quarantined_or_halt() {
    let batch = [
        quote(200, 99, 101),
        trade(100, 99, 1).received(210),
        quote(220, 99, 101),
    ];
    let mut text = quotes_and_trades();
    assert_eq!(admit(&text, &batch).0.late, 1);
    text.late = Policy::Quarantine;
    let (sequencer, verdict) = admit(&text, &batch);
    assert_eq!((verdict.rejected, sequencer.admitted), (vec![(1, Fault::Late)], 2));
    text.late = Policy::Halt;
    assert_eq!(admit(&text, &batch).1.halted, Some((1, Fault::Late)));
}

#[test]
fn a_clock_moves_the_watermark_that_lateness_is_measured_by() {
    let mut text = with_two_venues(quotes());
    text.late = Policy::Quarantine;
    let late = quote(150, 99, 101).received(210);
    assert_eq!(admit(&text, &[clock(200, 0), late]).1.rejected, [(1, Fault::Late)]);
    assert_eq!(admit(&text, &[clock(200, -1), late]).1.rejected, [(1, Fault::Late)]);
    assert!(admit(&text, &[clock(200, 1), late]).1.rejected.is_empty());
    text.one_clock = true;
    assert_eq!(admit(&text, &[clock(200, 1), late]).1.rejected, [(1, Fault::Late)]);
}

#[test]
fn venues_have_watermarks_of_their_own() {
    let text = with_two_venues(quotes());
    let (sequencer, _) = admit(&text, &[quote(200, 99, 101), quote(100, 99, 101).on(1).received(210)]);
    assert_eq!(sequencer.late, 0);
}

#[test]
fn broken_prices_sizes_and_bars_are_quarantined() {
    let text = bars();
    let faults = [
        (quote(100, 0, 101), Some(Fault::BadPrice)),
        (quote(100, -5, 101), Some(Fault::BadPrice)),
        (sized_quote(100, (0, 0), (101, 5)), None),
        (sized_quote(100, (99, -1), (101, 5)), Some(Fault::BadSize)),
        (trade(100, 0, 1), Some(Fault::BadPrice)),
        (trade(100, 5, 0), Some(Fault::BadSize)),
        (trade(100, 5, -1), Some(Fault::BadSize)),
        (trade(100, 5, 1).by(3), Some(Fault::BadSide)),
        (bar(100, [50, 49, 40, 45]), Some(Fault::BadBar)),
        (bar(100, [50, 60, 51, 55]), Some(Fault::BadBar)),
        (bar(100, [50, 60, 40, 61]), Some(Fault::BadBar)),
        (bar(100, [50, 60, 0, 50]), Some(Fault::BadPrice)),
        (bar(100, [50; 4]).volume(-1), Some(Fault::BadSize)),
        (bar(100, [50; 4]).by(4), Some(Fault::BadSide)),
        (
            Record {
                flags: 7,
                ..bar(100, [50; 4])
            },
            Some(Fault::UnknownBarLength),
        ),
        (quote(100, 99, RAW_MAX + 1), Some(Fault::Overflow)),
        (quote(100, 99, i64::MIN), Some(Fault::Overflow)),
        (quote(100, 99, 101).on(1), Some(Fault::UnknownInstrument)),
        (clock(100, 1), Some(Fault::UnknownInstrument)),
        (
            Record {
                kind: 0,
                ..quote(100, 99, 101)
            },
            Some(Fault::UnknownKind),
        ),
        (
            Record {
                kind: 10,
                ..quote(100, 99, 101)
            },
            Some(Fault::UnknownKind),
        ),
        (bar(100, [50, 60, 40, 55]), None),
    ];
    for (record, expected) in faults {
        assert_eq!(fault_of(&text, record), expected, "{record:?}");
    }
}

#[test]
fn negative_prices_pass_where_they_are_allowed() {
    let mut text = quotes();
    text.instruments[0].allow_negative_price = true;
    assert_eq!(fault_of(&text, quote(100, -7, -5)), None);
    assert_eq!(fault_of(&text, bar(100, [-5, -4, -9, -6])), None);
}

#[test]
fn a_feed_without_sizes_may_leave_them_at_zero() {
    let mut text = quotes();
    text.instruments[0].sizes = Sizes::None;
    assert_eq!(fault_of(&text, sized_quote(100, (99, 0), (101, 0))), None);
    assert_eq!(fault_of(&text, trade(100, 5, 0)), None);
}

#[test]
fn crossed_quotes_are_accepted_and_counted_and_locked_ones_are_not_crossed() {
    let (sequencer, verdict) = admit(&quotes(), &[quote(100, 102, 101), quote(110, 101, 101)]);
    assert_eq!(
        (sequencer.crossed, sequencer.admitted, verdict),
        (1, 2, Verdict::default())
    );
}

#[test]
fn nothing_is_lost_what_is_admitted_and_what_is_rejected_are_the_batch() {
    let batch = [
        quote(100, 99, 101),
        trade(110, 0, 1),
        quote(120, 99, 101).received(90),
        trade(130, 5, -1),
        quote(140, 1, 2),
    ];
    let (sequencer, verdict) = admit(&quotes(), &batch);
    assert_eq!(verdict.changed.unwrap().len() + verdict.rejected.len(), batch.len());
    assert_eq!(sequencer.faults.iter().sum::<u64>(), 2);
    assert_eq!(sequencer.admitted, 3);
}

#[test]
fn an_unknown_command_or_cause_is_quarantined() {
    let mut unknown = command(100, OperatorCommand::Pause);
    unknown.a = 6;
    let mut causeless = command(100, OperatorCommand::Pause);
    causeless.b = CommandCause::COUNT;
    let (sequencer, verdict) = admit(&quotes(), &[unknown, causeless, command(100, OperatorCommand::Stop)]);
    assert_eq!(
        verdict.rejected,
        [(0, Fault::UnknownCommand), (1, Fault::UnknownCommand)]
    );
    assert_eq!(sequencer.admitted, 1);
}
