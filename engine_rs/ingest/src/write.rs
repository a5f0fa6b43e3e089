//! Records to CSV text, exactly: the way back.
//! May not live here: files, compression, or a choice of what to write.

use std::io::Write;

use replay_core::decimal;
use replay_core::record::{Kind, Record, SIDE_BUY, SIDE_SELL};

use crate::layout::InstrumentLayout;

/// The header line of records of a kind, or None if they have no text form.
pub fn csv_header(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Quote => Some("ts_event,ts_recv,symbol,bid,ask,bid_size,ask_size\n"),
        Kind::Trade => Some("ts_event,ts_recv,symbol,price,size,side,id\n"),
        Kind::Bar => Some("ts_event,ts_recv,symbol,open,high,low,close,volume\n"),
        _ => None,
    }
}

/// Appends the rows of one kind; records of other kinds, or of instruments that are not listed, are left out.
///
/// Times are ns, so that reading the text gives the same records. Returns the number of rows.
pub fn csv_rows(records: &[Record], kind: Kind, instruments: &[InstrumentLayout], out: &mut Vec<u8>) -> usize {
    let mut count = 0;
    for record in records.iter().filter(|record| record.kind == kind as u8) {
        let Some(instrument) = instruments.iter().find(|known| known.index == record.instrument) else {
            continue;
        };
        let price = |raw: i64| decimal::format_fixed(i128::from(raw), instrument.price_decimals);
        let size = |raw: i64| decimal::format_fixed(i128::from(raw), instrument.size_decimals);
        push(out, format_args!("{},{},", record.ts_event, record.ts_recv));
        push_field(out, &instrument.symbol);
        match kind {
            Kind::Quote => push(
                out,
                format_args!(
                    ",{},{},{},{}\n",
                    price(record.a),
                    price(record.b),
                    size(record.c),
                    size(record.d)
                ),
            ),
            Kind::Trade => {
                let side = match record.side {
                    SIDE_BUY => "buy",
                    SIDE_SELL => "sell",
                    _ => "",
                };
                let text = format_args!(",{},{},{side},{}\n", price(record.a), size(record.b), record.c);
                push(out, text);
            }
            _ => push(
                out,
                format_args!(
                    ",{},{},{},{},{}\n",
                    price(record.a),
                    price(record.b),
                    price(record.c),
                    price(record.d),
                    size(record.e)
                ),
            ),
        }
        count += 1;
    }
    count
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes every byte");
}

fn push_field(out: &mut Vec<u8>, text: &str) {
    if text.contains(['"', ',', '\n', '\r']) {
        push(out, format_args!("\"{}\"", text.replace('"', "\"\"")));
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}
