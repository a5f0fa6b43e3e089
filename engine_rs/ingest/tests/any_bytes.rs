//! Whatever the bytes and however they are cut: no decoder panics, chunks change nothing, and no row is lost.

use proptest::prelude::*;
use replay_core::record::BarPrice;
use replay_ingest::binance::BinanceDecoder;
use replay_ingest::csv::CsvDecoder;
use replay_ingest::gunzip::Gunzip;
use replay_ingest::layout::{Excess, InstrumentLayout, Layout, RowKind, Sizes, Stamp, TimeLayout, TimeUnit};
use replay_ingest::ndjson::NdjsonDecoder;
use replay_ingest::{Counters, Output};

fn instruments() -> Vec<InstrumentLayout> {
    vec![InstrumentLayout {
        symbol: "X".into(),
        index: 0,
        price_decimals: 2,
        size_decimals: 3,
        allow_negative_price: false,
    }]
}

fn layout(records: RowKind, unit: TimeUnit) -> Layout {
    Layout {
        scales: std::collections::BTreeMap::new(),
        records,
        instruments: instruments(),
        symbol: None,
        symbol_column: Some("symbol".into()),
        time: TimeLayout {
            column: "time".into(),
            unit,
            local: false,
        },
        receive: None,
        columns: Default::default(),
        bar_length_ns: i64::MAX / 2,
        bar_length_index: 0,
        stamp: Stamp::Start,
        price: BarPrice::Trade,
        excess_decimals: Excess::Round,
        delimiter: ',',
        sizes: Sizes::Full,
    }
}

/// Text that looks like rows now and then.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\n".to_string()),
        Just("\r\n".to_string()),
        Just(",".to_string()),
        Just("\"".to_string()),
        Just("X".to_string()),
        Just("1700000000".to_string()),
        Just("2024-02-29 23:59:59.999999999Z".to_string()),
        Just("9223372036854775807".to_string()),
        Just("-1e308".to_string()),
        Just("nan".to_string()),
        Just("{\"time\":1,\"price\":1.5,\"size\":\"2\",\"symbol\":\"X\"}\n".to_string()),
        Just(
            "1 {\"data\":{\"e\":\"trade\",\"s\":\"X\",\"p\":\"1\",\"q\":\"1\",\"T\":1,\"t\":1,\"m\":true}}\n"
                .to_string()
        ),
        Just("1700000000,X,1,2\n".to_string()),
        "[ -~]{0,6}",
    ];
    prop_oneof![
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

/// Decodes in chunks; (output, counters, reason of the error).
macro_rules! decode {
    ($decoder:expr, $text:expr, $chunk:expr) => {{
        let mut decoder = $decoder;
        let mut output = Output::default();
        let mut error = None;
        for part in $text.chunks($chunk) {
            if error.is_none() {
                error = decoder.feed(part, &mut output).err();
            }
        }
        if error.is_none() {
            error = decoder.finish(&mut output).err();
        }
        (output, decoder.counters(), error.map(|error| error.reason))
    }};
}

fn check(output: &Output, counters: &Counters, error: Option<&str>) {
    let ignored: u64 = counters.ignored.values().sum();
    let lost = counters.rows - counters.records - counters.dead - ignored;
    assert_eq!(
        lost,
        u64::from(error == Some("excess_decimals")),
        "{counters:?} {error:?}"
    );
    assert_eq!(counters.records as usize, output.records.len());
    assert_eq!(counters.dead as usize, output.dead.len());
}

proptest! {
    #[test]
    fn csv_takes_any_bytes(
        text in text(),
        chunk in 1..64_usize,
        kind in prop_oneof![Just(RowKind::Quote), Just(RowKind::Trade), Just(RowKind::Bar)],
        unit in prop_oneof![Just(TimeUnit::S), Just(TimeUnit::Ms), Just(TimeUnit::Ns), Just(TimeUnit::Iso)],
        has_header in any::<bool>(),
    ) {
        let header = match kind {
            RowKind::Quote => "time,symbol,bid,ask,bid_size,ask_size\n",
            RowKind::Trade => "time,symbol,price,size\n",
            RowKind::Bar => "time,symbol,open,high,low,close,volume\n",
        };
        let text = [if has_header { header.as_bytes() } else { b"" }, &text].concat();
        let whole = decode!(CsvDecoder::new(layout(kind, unit)).unwrap(), text, text.len().max(1));
        let cut = decode!(CsvDecoder::new(layout(kind, unit)).unwrap(), text, chunk);
        prop_assert_eq!(&whole, &cut);
        check(&whole.0, &whole.1, whole.2);
    }

    #[test]
    fn ndjson_takes_any_bytes(text in text(), chunk in 1..64_usize) {
        let layout = layout(RowKind::Trade, TimeUnit::Ns);
        let whole = decode!(NdjsonDecoder::new(&layout).unwrap(), text, text.len().max(1));
        let cut = decode!(NdjsonDecoder::new(&layout).unwrap(), text, chunk);
        prop_assert_eq!(&whole, &cut);
        check(&whole.0, &whole.1, whole.2);
    }

    #[test]
    fn captures_take_any_bytes(text in text(), chunk in 1..64_usize) {
        let decoder = || BinanceDecoder::new(&instruments(), Excess::Round, i64::MAX);
        let whole = decode!(decoder(), text, text.len().max(1));
        let cut = decode!(decoder(), text, chunk);
        prop_assert_eq!(&whole, &cut);
        check(&whole.0, &whole.1, whole.2);
    }

    #[test]
    fn gunzip_takes_any_bytes(mut data in proptest::collection::vec(any::<u8>(), 0..200), is_gzip in any::<bool>()) {
        if is_gzip {
            data.splice(0..0, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0]);
        }
        let mut gunzip = Gunzip::default();
        let _ = gunzip.feed(&data).and_then(|()| gunzip.finish());
        gunzip.take(usize::MAX);
    }
}
